"""Sphinx extension: what a page fetches is what it uses.

The theme draws its icons twice, by a script of 1.5 MB and by fonts of 400 kB; the book keeps the
few glyphs that its pages show. The index of the search is fetched by the page that searches.
"""

import io
import re
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

_THEME = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
_FONTS = ("fa-solid-900", "fa-regular-400", "fa-brands-400")
_LEFT_OUT = (
    *("scripts/fontawesome.js*", "scripts/*.map", "styles/*.map", "locales"),
    "vendor/fontawesome/webfonts/*.ttf",
)
#: The elements that fetch the script of icons, and the search where nobody has searched.
_FETCHES = re.compile(
    r"\s*(?:<!-- So that users can add custom icons -->)?\s*<script[^>]*"
    r"(?:fontawesome|searchtools|language_data|searchindex)\.js[^>]*></script>"
)
_NAME = re.compile(r"\bfa-[a-z][a-z0-9-]*")
_RULE = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{(content:"[^"]*")\}')
_SECOND_SOURCE = re.compile(r',url\([^)]*\.ttf\) format\("truetype"\)')


def lighter(html: str) -> str:
    """Return a part of a page's head without the scripts that the page does not need.

    >>> lighter('<link href="a.css"> <script defer src="x/fontawesome.js?digest=1"></script>')
    '<link href="a.css">'
    """
    return _FETCHES.sub("", html)


def keep_icons(css: str, names: set[str]) -> tuple[str, set[str]]:
    r"""Return a style sheet without the icons that are not named, and the letters of all others.

    Icons that other rules show, such as those of boxes, keep their letters. An icon is not read
    aloud: its text stands after the slash, for browsers that know it.

    >>> keep_icons('.fa-a:before{content:"\\f001"}.fa-b:before{content:"\\f002"}', {"fa-b"})
    ('.fa-b:before{content:"\\f002";content:"\\f002"/""}', {'\uf002'})
    """

    def kept(rule: re.Match[str]) -> str:
        used = names.intersection(_NAME.findall(rule[1]))
        return f'{rule[1]}{{{rule[2]};{rule[2]}/""}}' if used else ""

    css = _RULE.sub(kept, css)
    escaped = {chr(int(code, 16)) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", css)}
    return css, escaped | set(re.findall("[\ue000-\uf8ff]", css))


def subset_font(font: bytes, letters: set[str]) -> bytes:
    """Return a font with these letters only, as WOFF2."""
    options = subset.Options(flavor="woff2", layout_features=[], notdef_outline=True)
    found, smaller = TTFont(io.BytesIO(font)), io.BytesIO()
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join(letters))
    cutter.subset(found)
    subset.save_font(found, smaller, options)
    return smaller.getvalue()


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Leave out of the built site what its pages do not use (Sphinx's event build-finished)."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    static = site / "_static"
    sources = (
        *site.glob("*.html"),
        *(site / "chapters").rglob("*.html"),
        *static.rglob("*theme.js"),
    )
    names = {name for path in sources for name in _NAME.findall(path.read_text("utf-8"))}
    sheet = "styles/pydata-sphinx-theme.css"
    css, letters = keep_icons((_THEME / sheet).read_text("utf-8"), names)
    for other in (static / "book.css", static / "styles/sphinx-book-theme.css"):
        letters |= keep_icons(other.read_text("utf-8"), set())[1]
    (static / sheet).write_text(_SECOND_SOURCE.sub("", css), "utf-8")
    fonts = static / "vendor/fontawesome/webfonts"
    for name in _FONTS:
        font = (_THEME / f"vendor/fontawesome/webfonts/{name}.woff2").read_bytes()
        (fonts / f"{name}.woff2").write_bytes(subset_font(font, letters))
    for pattern in _LEFT_OUT:
        for path in static.glob(pattern):
            for file in path.rglob("*") if path.is_dir() else [path]:
                if file.is_file():
                    file.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", lambda *given: given[3].update(lighter=lighter))
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
