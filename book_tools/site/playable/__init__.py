"""Sphinx extension: figures to play with, computed and drawn in the page.

A script of this folder adds controls to one figure of a chapter; `play.js` says how. Vega and
Vega-Lite draw it; the site serves them itself, and a page asks for them when such a figure comes
into view. The picture that the chapter's cell has drawn stands for it in print and without scripts.
"""

import json
import re
from pathlib import Path
from typing import Any

import vl_convert
from sphinx.application import Sphinx

from book_tools.site.playable.data import DATA

FOLDER = Path(__file__).parent
#: the name of each figure, and its script
SCRIPTS = {
    name: path
    for path in sorted(FOLDER.glob("*.js"))
    for name in re.findall(r'^PLAYABLE\["(fig-[\w-]+)"\]', path.read_text("utf-8"), re.MULTILINE)
}
_RUNTIME, _STYLE, _VEGA = "play.js", "playable.css", "vega.js"


def vega() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, whose own names stay in it."""
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its snippet is optional
    return f"(() => {{{bundle}}})();"


def script(path: Path) -> str:
    """Return a script, after the data of its figures."""
    code = path.read_text("utf-8")
    lines = [
        f"PLAYABLE_DATA[{json.dumps(name)}] = {json.dumps(DATA[name](), separators=(',', ':'))};\n"
        for name, place in SCRIPTS.items()
        if place == path and name in DATA
    ]
    return "".join([*lines, code])


def files() -> dict[str, str]:
    """Return what a page may ask for: the names of files, and their texts."""
    own = {path.name: script(path) for path in SCRIPTS.values()}
    common = {name: (FOLDER / name).read_text("utf-8") for name in (_RUNTIME, _STYLE)}
    return own | common | {_VEGA: vega()}


def add_scripts(app: Sphinx, _page: str, _template: str, context: dict[str, Any], *_: Any) -> None:
    """Let a page with such figures ask for their scripts (Sphinx's event html-page-context)."""
    body = context.get("body", "")
    found = {path.name for name, path in SCRIPTS.items() if f' id="{name}"' in body}
    for name in (_RUNTIME, *sorted(found)) if found else ():
        app.add_js_file(f"playable/{name}", loading_method="defer")
    if found:
        app.add_css_file(f"playable/{_STYLE}")


def write_scripts(app: Sphinx, exception: Exception | None) -> None:
    """Write the scripts into the built site (Sphinx's event build-finished)."""
    if exception is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "playable"
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (target / name).write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
