"""A stored notebook: read, its cells named, and what must hold before its outputs can be a test."""

import math
import warnings
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import nbformat

from .outputs import STDERR, outputs_difference

Cell = MutableMapping[str, Any]

#: The tag of a cell that is meant to raise.
RAISES = "raises-exception"


def code_cells(notebook: Mapping[str, Any]) -> list[Cell]:
    """Return the code cells of a notebook, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def cell_name(notebook: Mapping[str, Any], cell: Cell) -> str:
    """Return ``cell 3``: the third code cell, beside which Jupyter shows ``[3]``."""
    number = 0
    for other in notebook["cells"]:
        number += other.get("cell_type") == "code"
        if other is cell:
            break
    return f"cell {number}" if cell.get("cell_type") == "code" else f"the text after cell {number}"


def read_notebook(path: Path) -> Any:
    """Return the notebook in a file; ids of cells that are missing or not unique are new.

    Raises:
        ValueError: naming the file, the cell and the fault, if it is not a notebook.
    """
    found: dict[str, Any] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the ids, on which nothing depends
            notebook = nbformat.read(path, as_version=4, capture_validation_error=found)
    except (ValueError, AttributeError, TypeError, nbformat.ValidationError) as error:
        raise ValueError(f"{path.name} is not a notebook: {str(error).splitlines()[0]}") from error
    if fault := found.get("ValidationError"):
        place = list(fault.absolute_path)
        where = f", {cell_name(notebook, notebook.cells[place[1]])}" if len(place) > 1 else ""
        raise ValueError(f"{path.name}{where} is not valid: {fault.message[:100]}") from fault
    return notebook


def marked(cell: Cell, *markers: str) -> bool:
    """Whether a cell has one of the tags, or the comment that nbval reads like ``nbval-skip``."""
    tags = {*cell["metadata"].get("tags", [])}
    for line in cell["source"].splitlines():
        if line.lstrip().startswith("#"):
            tags.add(line.strip("# \t").lower().replace("_", "-"))
    return not tags.isdisjoint(markers)


def raises(cell: Cell) -> bool:
    """Whether a cell is marked as one that must raise."""
    return marked(cell, RAISES, "nbval-raises-exception")


def skipped(cell: Cell) -> bool:
    """Whether a cell is marked as one that is not executed."""
    return marked(cell, "nbval-skip")


def unchecked(cell: Cell) -> bool:
    """Whether a mark takes a cell out of the comparison."""
    return skipped(cell) or marked(cell, "nbval-ignore-output")


def _reason_problem(cell: Cell) -> str | None:
    reason = cell["metadata"].get("reason")
    if isinstance(reason, str) and reason.strip():
        return None
    return 'needs a reason in its metadata: {"reason": "…"}'


def _tolerance_problem(cell: Cell) -> str | None:
    tolerance = cell["metadata"]["tolerance"]
    if not isinstance(tolerance, dict) or not tolerance or not all(map(str.strip, tolerance)):
        return f'has the tolerance {tolerance!r} instead of {{"name of a number": 0.3}}'
    for name, value in tolerance.items():
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not 0 < value < math.inf:
            return f"has the tolerance {value!r} of {name!r}; it must be a positive number"
    if not cell["outputs"]:
        return "has a tolerance, but no outputs"
    if problem := _reason_problem(cell):
        return f"has a tolerance and {problem}"
    return outputs_difference(cell["outputs"], cell["outputs"], tolerance)


def _output_problem(cell: Cell) -> str | None:
    if any(output.get("name") == "stderr" for output in cell["outputs"]):
        return f"has a stored stderr: {STDERR}"
    errors = [out["ename"] for out in cell["outputs"] if out["output_type"] == "error"]
    if errors and not raises(cell):
        return f"has a stored {errors[0]}, but no tag {RAISES}"
    if raises(cell) and not errors:
        return f"has the tag {RAISES}, but no stored exception"
    return None


def cell_problem(cell: Cell, number: int, repair: str) -> str | None:
    """Return what is wrong with a stored code cell, or None.

    Every code cell has content and was executed, in order, from 1; none stores stderr; an
    exception is stored exactly where the tag ``raises-exception`` announces it; a tolerance is a
    positive number, has a reason, and names a number that is printed.

    Args:
        cell: a code cell.
        number: its place among the code cells, from 1.
        repair: the command that executes the notebook and stores its outputs.
    """
    if not cell["source"].strip():
        return "is empty: delete it"
    if cell["execution_count"] is None:
        return f"was never executed: {repair}"
    if cell["execution_count"] != number:
        return f"was executed as number {cell['execution_count']}: {repair}"
    if unchecked(cell) and (problem := _reason_problem(cell)):
        return f"is not compared and {problem}"
    if "tolerance" in cell["metadata"] and (problem := _tolerance_problem(cell)):
        return problem
    return _output_problem(cell)


def structure_problems(
    notebook: Mapping[str, Any], repair: str = "execute the notebook"
) -> list[str]:
    """Return what is wrong with the stored code cells, one sentence for each wrong cell."""
    problems = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        if problem := cell_problem(cell, number, repair):
            first = next(iter(cell["source"].strip().splitlines()), "")
            problems.append(f"{cell_name(notebook, cell)} ({first[:60]!r}) {problem}")
    return problems


def indented(text: str) -> str:
    """Return a text with every line moved four columns to the right."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _brief(text: str, lines: int = 30, columns: int = 160) -> str:
    kept = [line if len(line) <= columns else f"{line[:columns]}…" for line in text.splitlines()]
    more = [f"… {len(kept) - lines} more lines"] if len(kept) > lines else []
    return "\n".join(kept[:lines] + more)


def shown_outputs(outputs: Iterable[Mapping[str, Any]]) -> str:
    """Return a cell's outputs as text, for a message; figures only by their type."""
    parts = []
    for output in outputs:
        if output["output_type"] == "stream":
            parts.append(f"[{output['name']}]\n{_brief(output['text'])}")
        elif output["output_type"] == "error":
            parts.append(f"[exception] {output['ename']}: {_brief(output['evalue'])}")
        else:
            data = output["data"]
            plain = data.get("text/plain", "")
            parts.append(f"[{', '.join(sorted(data))}]\n{_brief(''.join(plain))}")
    return "\n".join(parts) or "nothing"
