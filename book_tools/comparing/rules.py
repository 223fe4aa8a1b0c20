"""What must hold of a stored notebook before its outputs can be a test."""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from book_tools.comparing.outputs import STDERR

Cell = MutableMapping[str, Any]

#: The tag (and comment) of a cell that is meant to raise.
RAISES = "raises-exception"
REPAIR = "repair: make refresh"


def code_cells(notebook: Mapping[str, Any]) -> list[Cell]:
    """Return the code cells of a notebook, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def raises(cell: Cell) -> bool:
    """Whether a cell is tagged as one that must raise."""
    lines = (line.strip("# \t") for line in cell["source"].splitlines() if "#" in line)
    return RAISES in cell["metadata"].get("tags", []) or "NBVAL_RAISES_EXCEPTION" in lines


def _output_problem(cell: Cell) -> str | None:
    if any(output.get("name") == "stderr" for output in cell["outputs"]):
        return f"has a stored stderr: {STDERR}"
    errors = [out["ename"] for out in cell["outputs"] if out["output_type"] == "error"]
    if errors and not raises(cell):
        return f"has a stored {errors[0]}, but no tag {RAISES}"
    if raises(cell) and not errors:
        return f"has the tag {RAISES}, but no stored exception"
    return None


def _cell_problem(cell: Cell, position: int) -> str | None:
    if not cell["source"].strip():
        return "is empty"
    if cell["execution_count"] is None:
        return "was never executed"
    if cell["execution_count"] != position:
        return f"was executed as number {cell['execution_count']} instead of {position}"
    return _output_problem(cell)


def structure_problems(notebook: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the stored code cells, one sentence for each wrong cell.

    Every code cell has content and was executed, in order, from 1; none stores stderr; an
    exception is stored exactly where the tag ``raises-exception`` announces it.
    """
    problems = []
    for position, cell in enumerate(code_cells(notebook), start=1):
        if problem := _cell_problem(cell, position):
            first = next(iter(cell["source"].strip().splitlines()), "")
            problems.append(f"code cell {position} ({first[:60]!r}) {problem}")
    return problems


def ignoring_problem(cell: Cell, ignored_cells: int, budget: int) -> str | None:
    """Return why a cell may not go unchecked, or None: it needs a reason, and the budget room."""
    reason = cell["metadata"].get("nbval-reason")
    if not isinstance(reason, str) or not reason.strip():
        return 'is not compared, but its metadata give no reason: {"nbval-reason": "…"}'
    if ignored_cells > budget:
        return f"is not compared, as {ignored_cells} cells are; notebook_ignored_cells is {budget}"
    return None


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
