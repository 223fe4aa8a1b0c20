"""A chapter becomes an edition: without solutions, without outputs, in plain Markdown."""

import hashlib
import json
from collections.abc import Collection, Sequence
from copy import deepcopy

import nbformat
from nbformat import NotebookNode

from book_tools.editions.labels import Labels, labels
from book_tools.editions.plain import Translator, cited_keys
from book_tools.notebooks import SOLUTION_END, in_solutions, markdown_of
from exercises.submission import SOLUTION

SITE_ONLY = "mystnb", "tolerance", "reason"
"""Metadata of cells that only the site and the tests read."""


def without_outputs(cell: NotebookNode) -> NotebookNode:
    """Return a cell as before it was executed."""
    fresh = deepcopy(cell)
    if cell.cell_type == "code":
        fresh.outputs, fresh.execution_count = [], None
    return fresh


def _captioned(cell: NotebookNode, known: Labels) -> list[NotebookNode]:
    """Return a cell, and a text with the number and the caption of the figure that it draws."""
    figure = cell.metadata.get("mystnb", {}).get("figure")
    if not figure:
        return [cell]
    text = f"**{known.names[figure['name']]}.** {figure['caption']}"
    return [cell, nbformat.v4.new_markdown_cell(text, id=f"{cell.id[:50]}-caption")]


def _shown(cell: NotebookNode, translator: Translator) -> NotebookNode:
    """Return a cell in plain Markdown, without what only the site reads; folded as on the site."""
    shown = deepcopy(cell)
    for name in SITE_ONLY:
        shown.metadata.pop(name, None)
    tags = shown.metadata.pop("tags", [])
    if "hide-input" in tags:
        shown.metadata["jupyter"] = {"source_hidden": True}
    if kept := [tag for tag in tags if tag not in {"hide-input", "remove-cell"}]:
        shown.metadata["tags"] = kept
    if cell.cell_type == "markdown":
        shown.source = translator.translated(cell.source)
    return shown


def _tagged(cell: NotebookNode) -> NotebookNode:
    """Return a cell of a solution with its tag, so that it is not graded as a learner's answer."""
    tagged = deepcopy(cell)
    tagged.metadata["tags"] = [*tagged.metadata.get("tags", []), SOLUTION]
    return tagged


def edition(
    notebook: NotebookNode,
    cells: Sequence[NotebookNode],
    files: Collection[str] = (),
    *,
    outputs: bool = True,
) -> NotebookNode:
    """Return an edition of a notebook that has some of its cells.

    Args:
        notebook: the chapter.
        cells: those of its cells that the edition has.
        files: the names of the notebooks that stand beside it, to which its links may lead.
        outputs: whether cells keep what they printed.
    """
    known = labels()
    translator = Translator(known, cited_keys(markdown_of(notebook)), files)
    tagged = [
        _tagged(cell) if solved else cell
        for cell, solved in zip(cells, in_solutions(cells), strict=True)
    ]
    every = [
        one
        for cell in tagged
        if not cell.source.startswith(SOLUTION_END)
        for one in _captioned(cell, known)
    ]
    shown = [_shown(cell, translator) for cell in every]
    shown = shown if outputs else [without_outputs(cell) for cell in shown]
    made: NotebookNode = nbformat.from_dict(dict(notebook) | {"cells": shown})
    return made


def written(notebook: NotebookNode) -> str:
    """Return the text of a notebook's file."""
    return f"{nbformat.writes(notebook)}\n"


def digest(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the cells without outputs."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()
