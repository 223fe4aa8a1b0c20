"""Sphinx extension of the book: MathJax served by the site itself, and cleaner HTML.

The package sphinx-mathjax-offline ships MathJax 3.2.2 with every entry point (24 MB). The book
needs one of them, its fonts, and the parts that a page loads on demand: rare commands of TeX, and
what a reader's menu offers (speech and the formula explorer, in English). Together 3 MB.
"""

import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx

#: What axe-core and the HTML standard object to in the output of docutils and sphinx-exercise: a
#: list whose children are not list items, and one identifier for every exercise of a page. And each
#: figure becomes a link to itself: alone it can be enlarged. What is folded has the name that is
#: written on it. Chinese is marked as Chinese.
_CLEANER = (
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    (re.compile(r'<section id="((?:exercise|solution)-content)">'), r'<section class="\1">'),
    (
        re.compile(r'(<img [^>]*src="([^"]*_images/[^"]+\.svg)"[^>]*>)'),
        r'<a class="figure-alone" href="\2" title="Open the figure alone">\1</a>',
    ),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r"([一-鿿]+(?:[，、。；： ]*[一-鿿]+)*)"), r'<span lang="zh">\1</span>'),
)

#: The spaces of "47 %" and "1.0 ± 0.4", which do not end a line.
_TOGETHER = re.compile(r"(?<=\d) (?=(?:±|%|µs|ms|s|dB|B|KB|MB|KiB|MiB|px)(?!\w))|(?<=±) ")

_ENTRY = "tex-chtml.js"
_PARTS = (
    _ENTRY,
    "a11y",
    "input/tex/extensions",
    "output/chtml/fonts/woff-v2",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the parts of MathJax that a page can ask for into the built site."""
    if exception is not None or app.builder.format != "html":
        return
    package = distribution("sphinx-mathjax-offline")
    source = Path(str(package.locate_file("sphinx-mathjax-offline/static/mathjax")))
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in _PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, target / part)


def keep_together(_app: Sphinx, page: nodes.document, _name: str) -> None:
    """Keep a number and its unit, and both sides of ±, on one line."""
    for text in list(page.findall(nodes.Text)):  # type: ignore[no-untyped-call]
        if not isinstance(text.parent, nodes.FixedTextElement | nodes.literal | nodes.math):
            joined = _TOGETHER.sub("\N{NO-BREAK SPACE}", text)
            text.parent.replace(text, nodes.Text(joined))  # type: ignore[no-untyped-call]


def clean_html(*arguments: Any) -> None:
    """Correct the body of a page before it is written (Sphinx's event html-page-context)."""
    context = arguments[3]
    for pattern, replacement in _CLEANER:
        if "body" in context:
            context["body"] = pattern.sub(replacement, context["body"])


class AuthorYearLabels(BaseLabelStyle):
    """``Hinton et al., 2015``; a letter tells works of the same authors and year apart."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """Yield one label per entry, in order."""
        labels = []
        for entry in sorted_entries:
            persons, fields = dict(entry.persons or {}), dict(entry.fields or {})
            names = [" ".join(person.last_names) for person in persons["author"]]
            who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            label = str(Text.from_latex(f"{who}, {fields['year']}"))
            labels.append(unicodedata.normalize("NFC", label))
        for place, label in enumerate(labels):
            letter = chr(ord("a") + labels[:place].count(label))
            yield label + letter * (labels.count(label) > 1)


class BookStyle(PlainStyle):
    """The plain style with the labels above."""

    default_label_style = AuthorYearLabels  # type: ignore[assignment]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    # Jupyter Book always sets this option of sphinx_comments, which the book does not load.
    app.add_config_value("comments_config", {}, "html")
    app.config.mathjax_path = f"mathjax/{_ENTRY}"
    app.connect("build-finished", copy_mathjax)
    app.connect("doctree-resolved", keep_together)
    app.connect("html-page-context", clean_html)
    register_plugin("pybtex.style.formatting", "book_author_year", BookStyle)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
