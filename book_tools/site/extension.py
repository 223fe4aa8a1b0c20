"""Sphinx extension of the book: MathJax served by the site itself, and cleaner HTML.

The package sphinx-mathjax-offline ships MathJax 3.2.2 with every entry point (24 MB). The book
needs one of them, its fonts, and the parts that a reader's menu loads on demand (speech and the
formula explorer, in English): 3 MB.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from book_tools.site import bibliography

#: What axe-core and the HTML standard object to in the output of docutils and sphinx-exercise: a
#: list whose children are not list items, and one identifier for every exercise of a page. And each
#: figure becomes a link to itself: alone it can be enlarged.
_CLEANER = (
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    (re.compile(r'<section id="((?:exercise|solution)-content)">'), r'<section class="\1">'),
    (
        re.compile(r'(<img [^>]*src="([^"]*_images/[^"]+\.svg)"[^>]*>)'),
        r'<a class="figure-alone" href="\2" title="Open the figure alone">\1</a>',
    ),
)

_ENTRY = "tex-chtml-full.js"
_PARTS = (
    _ENTRY,
    "a11y",
    "output/chtml/fonts/woff-v2",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)


def mathjax_folder() -> Path:
    """Return the folder of MathJax that sphinx-mathjax-offline installed.

    Raises:
        ExtensionError: if the package or its entry point is missing.
    """
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is not installed; run `make env`")
    folder = Path(spec.origin).parent / "static" / "mathjax"
    if not (folder / _ENTRY).is_file():
        raise ExtensionError(f"{folder} holds no {_ENTRY}; reinstall sphinx-mathjax-offline")
    return folder


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the parts of MathJax that a page can ask for into the built site."""
    if exception is not None or app.builder.format != "html":
        return
    source, target = mathjax_folder(), Path(app.outdir) / "_static" / "mathjax"
    for part in _PARTS:
        here, there = source / part, target / part
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, there, dirs_exist_ok=True)
        else:
            shutil.copyfile(here, there)


def clean_html(*arguments: Any) -> None:
    """Mend the body of a page before it is written (Sphinx's event html-page-context)."""
    _app, _page, _template, context, _doctree = arguments
    for pattern, replacement in _CLEANER:
        if "body" in context:
            context["body"] = pattern.sub(replacement, context["body"])


def mend_docstring(*arguments: Any) -> None:
    """Mend what reStructuredText and napoleon make of a docstring in this package's style.

    ``|x|`` means an absolute value and no substitution; and napoleon takes the formula before the
    colon in a property's ``Return n = …: the largest code.`` for a type.

    For Sphinx's event autodoc-process-docstring, whose arguments are the application, the kind,
    the name, the object, the options and the list of lines.
    """
    lines: list[str] = arguments[-1]
    for index, line in enumerate(lines):
        if line.startswith(":type: Return"):
            lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"
            lines[index] = ""
    for index, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")  # odd parts are literal
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[index] = "``".join(parts)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    # Jupyter Book always sets this option of sphinx_comments, which the book does not load.
    app.add_config_value("comments_config", {}, "html")
    app.config.mathjax_path = f"mathjax/{_ENTRY}"
    app.connect("build-finished", copy_mathjax)
    app.connect("html-page-context", clean_html)
    app.connect("autodoc-process-docstring", mend_docstring, priority=900)
    bibliography.register()
    return {"parallel_read_safe": True, "parallel_write_safe": True}
