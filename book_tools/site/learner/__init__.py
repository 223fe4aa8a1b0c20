"""Sphinx extension: what a chapter's page asks of its reader.

A cell ``guess("name", ...)`` becomes a question; the page hides what follows until the reader has
guessed or declined. Below an exercise stand its hints, folded, and a box to tick when it is solved.
The browser keeps both; `learner.js` does the rest. Without scripts the page shows all of it.
"""

import json
import re
from html import escape
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from book_tools.files import write_whole
from book_tools.notebooks import exercises_in
from exercises import CHAPTERS
from exercises.examination import NO_ANSWER
from exercises.notes import notes
from exercises.predictions import Prediction, all_predictions, shown

FOLDER = Path(__file__).parent
FILES = "learner.js", "learner.css"
_ASKS = re.compile(r'^guess\("([\w-]+)", \.\.\.\)$', re.MULTILINE)
_EXERCISES = "## Exercises\n"  # with the sentences below it, the last lines of a cell
_HOW = (
    "{.exercises-how}",
    "Nothing can be typed into this page: to try the exercises, download it as a notebook with the"
    " arrow at the top, or call `make lab` in a clone of the course.",
)


def asked_by(source: str) -> str | None:
    """Return the name of the question that a cell asks, or None."""
    match = _ASKS.search(source)
    return match[1] if match else None


def hints() -> dict[str, list[str]]:
    """Return the two hints of each exercise."""
    tables = (notes(chapter)["exercises"] for chapter in CHAPTERS)
    return {name: one["hints"] for table in tables for name, one in table.items()}


def _markdown(name: str, *lines: str) -> dict[str, Any]:
    cell = {"cell_type": "markdown", "metadata": {}, "source": "\n".join(lines)}
    return cell | {"id": name[:64]}  # as long as a cell's may be


def _folded(title: str, text: str) -> list[str]:
    return ["```{dropdown} " + title, ":class-container: hint", "", text, "```", ""]


def prepared(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a chapter's cells with its questions, and with the hints below its exercises."""
    known, found = hints(), []
    for cell in cells:
        source = "".join(cell["source"])
        name = asked_by(source) if cell["cell_type"] == "code" else None
        if name:
            found.append(_markdown(name, "```{prediction} " + name, "```"))
            continue
        untouched = any(
            "".join(o.get("text", "")).strip() == NO_ANSWER for o in cell.get("outputs", ())
        )
        found.append(cell | {"outputs": []} if untouched else cell)
        if cell["cell_type"] == "markdown" and _EXERCISES in source:
            found.append(_markdown("exercises-how", *_HOW))
        for exercise in exercises_in(source) if cell["cell_type"] == "markdown" else ():
            folded = zip(("A first hint", "A second hint"), known[exercise], strict=True)
            lines = [line for title, text in folded for line in _folded(title, text)]
            found.append(_markdown(f"hints-{exercise}", *lines))
    return found


def prepare(_app: Sphinx, page: str, source: list[str]) -> None:
    """Prepare a notebook that is about to be read (Sphinx's event source-read)."""
    if source[0].lstrip().startswith("{") and page.startswith("chapters/"):
        notebook = json.loads(source[0])
        source[0] = json.dumps(notebook | {"cells": prepared(notebook["cells"])})


class Question(SphinxDirective):
    """The directive ``{prediction} name``: the question, its options, and the answer folded."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the question's box, whose attributes `learner.js` reads."""
        name = self.arguments[0]
        one = all_predictions()[name]
        facts = {"name": name, "kind": one.kind, "answer": one.answer}
        facts |= {"unit": one.unit, "close": one.close, "hides": one.hides}
        box = escape(json.dumps(facts))
        return [
            self._html(f'<aside class="prediction admonition" data-facts="{box}">'),
            self._html('<p class="admonition-title">Predict first</p>'),
            *self.parse_text_to_nodes(one.question),
            *self._options(one),
            self._html("<details><summary>The answer</summary>"),
            self._html('<div class="prediction-answer">'),
            *self.parse_text_to_nodes(_told(one)),
            self._html("</div>"),
            *self.parse_text_to_nodes(one.why),
            self._html("</details></aside>"),
        ]

    def _options(self, one: Prediction) -> list[nodes.Node]:
        nodes_: list[nodes.Node] = []
        for place, option in enumerate(one.options):  # an item keeps its letter where it moves
            start = f'<li data-letter="{ascii_lowercase[place]}" value="{place + 1}">'
            nodes_ += [self._html(start), *self._inline(option)]
            nodes_.append(self._html("</li>"))
        return [self._html('<ol type="a">'), *nodes_, self._html("</ol>")] if nodes_ else []

    def _inline(self, text: str) -> list[nodes.Node]:
        """Return a text without a paragraph of its own."""
        found = self.parse_text_to_nodes(text)
        return [child for p in found if isinstance(p, nodes.paragraph) for child in p.children]

    @staticmethod
    def _html(text: str) -> nodes.Node:
        return nodes.raw("", text, format="html")  # type: ignore[no-untyped-call]


def _told(one: Prediction) -> str:
    """Return the answer as the first sentence of what is folded."""
    if not isinstance(one.answer, str):
        return f"{shown(one.answer)} {one.unit}".strip() + "."
    return f"{', '.join(str(one.answer))}."


def add_scripts(app: Sphinx, _page: str, _template: str, context: dict[str, Any], *_: Any) -> None:
    """Let pages with questions or exercises ask for the script (event html-page-context)."""
    body = context.get("body", "")
    signs = "prediction admonition", "exercise admonition", "#ex-", "results-hidden"
    if any(sign in body for sign in signs):
        app.add_js_file("learner.js", loading_method="defer")
        app.add_css_file("learner.css")


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write script and style into the built site (Sphinx's event build-finished)."""
    if exception is None and app.builder.format == "html":
        for name in FILES:
            write_whole(Path(app.outdir) / "_static" / name, (FOLDER / name).read_text("utf-8"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("prediction", Question)
    app.connect("source-read", prepare, priority=600)  # after outputs of a fresh run have come in
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
