"""Systematic corruptions of executed notebooks, each of which the comparator must notice.

Every printed token is bumped by two units, turned in sign or replaced; parts of every figure are
moved, dropped or reworded. One survivor fails the test.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from mutants import figure_mutants, token_mutants
from specimen import executed

from book_tools.comparing.outputs import outputs_difference
from book_tools.comparing.rules import code_cells, structure_problems

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("02_*.ipynb"))


@pytest.fixture(scope="module", params=["specimen", *(path.name for path in CHAPTERS)])
def notebook(request):
    """A real executed notebook."""
    if request.param == "specimen":
        return executed()
    return nbformat.read(CHAPTERS[0].with_name(request.param), as_version=4)


def differ(stored: list[Any], fresh: list[Any], tolerance: Any = None) -> bool:
    """Whether the comparison fails, whichever of the two is the stored one."""
    pairs = ((stored, fresh), (fresh, stored))
    return all(outputs_difference(*pair, tolerance) for pair in pairs)


def test_the_untouched_notebook_passes_and_so_does_one_within_its_tolerance(notebook):
    """Oracle: the notebook itself; the specimen has a rate that may move by 0.03."""
    assert not structure_problems(notebook)
    for cell in code_cells(notebook):
        moved = deepcopy(cell["outputs"])
        for output in moved:
            output["text"] = output.get("text", "").replace("rate 0.91", "rate 0.94")
        tolerance = cell["metadata"].get("tolerance")
        assert outputs_difference(cell["outputs"], moved, tolerance) is None


@pytest.mark.parametrize("mutants", [token_mutants, figure_mutants])
def test_every_mutant_is_caught(notebook, mutants):
    """Oracle: one token or one part of a figure changed at a time; the kill rate is 100 %."""
    count, survivors = 0, []
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            for name, mutant in mutants(output):
                count += 1
                if not differ([output], [mutant]):
                    survivors.append(f"{cell['id']}, {name}")
    print(f"{mutants.__name__}: {count}, caught {count - len(survivors)}")  # noqa: T201 — pytest -s
    assert count >= 25
    assert not survivors
