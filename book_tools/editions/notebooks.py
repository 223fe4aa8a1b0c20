"""A chapter becomes an edition: without solutions, without outputs, in plain Markdown."""

import hashlib
import json
from collections.abc import Collection, Sequence
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book_tools.editions.labels import Labels, labels
from book_tools.editions.plain import Translator, cited_keys
from book_tools.failures import BookError
from book_tools.files import ROOT

SITE_ONLY = "mystnb", "tolerance", "reason"
"""Metadata of cells that only the site and the tests read."""

_OPENS, _CLOSES = "```{solution-start}", "```{solution-end}"  # cells that hold nothing else


def chapter_paths(given: Sequence[str] = (), root: Path = ROOT) -> list[Path]:
    """Return the notebooks of the given chapters' numbers, such as 2 or 02; all by default.

    Raises:
        BookError: if there is no such chapter; the message lists those that there are.
    """
    paths = sorted((root / "chapters").glob("*.ipynb"))
    numbers = {path.name[:2]: path for path in paths if path.name[:2].isdigit()}
    if unknown := [number for number in given if number.zfill(2) not in numbers]:
        known = "\n".join(f"  {path.stem}" for path in numbers.values())
        raise BookError(f"there is no chapter {unknown[0]}; there are\n{known}")
    return [numbers[number.zfill(2)] for number in given] or paths


def without_solutions(
    cells: Sequence[NotebookNode],
) -> tuple[list[NotebookNode], list[NotebookNode]]:
    """Return the cells outside the solutions, and the exercises with their solutions.

    A solution stands between two cells that only open and close it.
    """
    kept: list[NotebookNode] = []
    solved: list[NotebookNode] = []
    inside = False
    for cell in cells:
        inside |= cell.source.startswith(_OPENS)
        (solved if inside else kept).append(cell)
        if "{exercise}" in cell.source and not inside:
            solved.append(cell)
        inside &= not cell.source.startswith(_CLOSES)
    return kept, solved


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
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    translator = Translator(known, cited_keys(text), files)
    shown = [cell for cell in cells if not cell.source.startswith(_CLOSES)]
    every = [one for cell in shown for one in _captioned(cell, known)]
    shown = [_shown(cell, translator) for cell in every]
    shown = shown if outputs else [without_outputs(cell) for cell in shown]
    made: NotebookNode = nbformat.from_dict(dict(notebook) | {"cells": shown})
    return made


def read(path: Path) -> NotebookNode:
    """Return the notebook in a file."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook


def written(notebook: NotebookNode) -> str:
    """Return the text of a notebook's file."""
    return f"{nbformat.writes(notebook)}\n"


def digest(notebook: NotebookNode) -> str:
    """Return a sum of what a notebook says and asks, which does not depend on its outputs."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()
