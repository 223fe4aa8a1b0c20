"""The notebooks of the book: which ones are meant, what they say, and what they print."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book_tools.comparing import rules
from book_tools.failures import BookError
from book_tools.files import ROOT

#: the cells that only open and close a solution begin with these
SOLUTION, SOLUTION_END = "```{solution-start}", "```{solution-end}"
_EXERCISE = re.compile(r"^`{3,}\{exercise\} (.+)\n:label: ex-([\w-]+)$", re.MULTILINE)


def chosen(given: Sequence[str] = ()) -> list[Path]:
    """Return the given notebooks, chapters' numbers (2 or 02) or files; all by default.

    Raises:
        BookError: if there is no such notebook; the message says which chapters there are.
    """
    every = sorted((ROOT / "chapters").glob("*.ipynb"))
    numbers = {path.name[:2]: path for path in every if path.name[0].isdigit()}
    found = []
    for name in given:
        path = numbers.get(name.zfill(2)) or Path(name).resolve()
        if path.suffix != ".ipynb" or not path.is_file():
            known = f"{min(numbers)} to {max(numbers)}"
            raise BookError(f"there is no chapter {name}; there are {known}")
        found.append(path)
    return found if given else every


def read(path: Path) -> NotebookNode:
    """Return the notebook in a file.

    Raises:
        BookError: if the file does not hold a valid one; the message says what is wrong with it.
    """
    try:
        notebook: NotebookNode = rules.read_notebook(path)
    except ValueError as error:
        raise BookError(str(error)) from error
    return notebook


def markdown_of(notebook: NotebookNode) -> str:
    """Return the text of a notebook."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code_of(notebook: NotebookNode) -> str:
    """Return the code of a notebook."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def printed(cell: Mapping[str, Any]) -> str:
    """Return what a cell printed, its tables as text."""
    outputs = cell.get("outputs", ())
    return "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs)


def exercises_in(text: str) -> dict[str, str]:
    """Return name → heading of the exercises in a text, such as "By hand: three bits"."""
    return {name: heading for heading, name in _EXERCISE.findall(text)}


def in_solutions(cells: Sequence[NotebookNode]) -> list[bool]:
    """Return whether each cell belongs to a solution, with the two that open and close it."""
    inside, found = False, []
    for cell in cells:
        inside |= cell.source.startswith(SOLUTION)
        found.append(inside)
        inside &= not cell.source.startswith(SOLUTION_END)
    return found


def without_solutions(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Return the cells outside the solutions."""
    return [cell for cell, inside in zip(cells, in_solutions(cells), strict=True) if not inside]


def exercises_solved(cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Return the exercises, each with its solution."""
    marked = zip(cells, in_solutions(cells), strict=True)
    return [cell for cell, inside in marked if inside or "{exercise}" in cell.source]
