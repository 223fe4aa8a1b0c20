"""A stored notebook: read, its cells named, and what must hold before its outputs can be a test."""

import math
import warnings
from collections.abc import Mapping, MutableMapping
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
    """Return the notebook in a file; ids of cells that are missing or not unique are new."""
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


def _marked(cell: Cell, *markers: str) -> bool:
    """Whether a cell has one of the tags, or the comment that nbval reads like ``nbval-skip``."""
    tags = {*cell["metadata"].get("tags", [])}
    for line in cell["source"].splitlines():
        if line.lstrip().startswith("#"):
            tags.add(line.strip("# \t").lower().replace("_", "-"))
    return not tags.isdisjoint(markers)


def raises(cell: Cell) -> bool:
    """Whether a cell is marked as one that must raise."""
    return _marked(cell, RAISES, "nbval-raises-exception")


def skipped(cell: Cell) -> bool:
    """Whether a cell is marked as one that is not executed."""
    return _marked(cell, "nbval-skip")


def unchecked(cell: Cell) -> bool:
    """Whether a mark takes a cell out of the comparison."""
    return _marked(cell, "nbval-skip", "nbval-ignore-output")


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
    return outputs_difference(cell["outputs"], cell["outputs"], tolerance)


def cell_problem(cell: Cell, number: int, repair: str) -> str | None:
    """Return what is wrong with a stored code cell, the ``number``-th one, or None.

    ``repair`` is the command that executes the notebook and stores its outputs.
    """
    count, outputs = cell["execution_count"], cell["outputs"]
    reason = cell["metadata"].get("reason")
    has_reason = isinstance(reason, str) and reason.strip()
    needs_reason = not has_reason and (unchecked(cell) or "tolerance" in cell["metadata"])
    names = [output["ename"] for output in outputs if output["output_type"] == "error"]
    problems = {
        "is empty: delete it": not cell["source"].strip(),
        f"was never executed: {repair}": count is None,
        f"was executed as number {count}: {repair}": count != number,
        'needs a reason in its metadata: {"reason": "…"}': needs_reason,
        f"has a stored stderr: {STDERR}": any(out.get("name") == "stderr" for out in outputs),
        f"has a stored {names and names[0]}, but no tag {RAISES}": names and not raises(cell),
        f"has the tag {RAISES}, but no stored exception": raises(cell) and not names,
    }
    problem = next((problem for problem, holds in problems.items() if holds), None)
    return problem or (_tolerance_problem(cell) if "tolerance" in cell["metadata"] else None)


def structure_problems(notebook: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the stored code cells, one sentence for each wrong cell."""
    problems = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        if problem := cell_problem(cell, number, "execute the notebook"):
            first = cell["source"].strip().partition("\n")[0]
            problems.append(f"cell {number} ({first[:60]!r}) {problem}")
    return problems
