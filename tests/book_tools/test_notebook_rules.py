"""The rules of a stored notebook that the runs of test_pytest_notebooks do not reach."""

import pytest
from nbformat.v4 import new_code_cell, new_output

from book_tools.comparing.rules import ignoring_problem, raises, shown_outputs


@pytest.mark.parametrize(
    ("cells", "budget", "allowed"), [(2, 2, True), (3, 2, False), (1, 0, False)]
)
def test_the_budget_holds_exactly(cells: int, budget: int, allowed: bool) -> None:
    """Oracle: cells ≤ budget."""
    cell = new_code_cell("1", metadata={"nbval-reason": "random"})
    assert (ignoring_problem(cell, cells, budget) is None) is allowed


@pytest.mark.parametrize("reason", [None, "", "  ", 3])
def test_a_reason_is_a_sentence(reason: object) -> None:
    """Oracle: values that say nothing."""
    assert ignoring_problem(new_code_cell("1", metadata={"nbval-reason": reason}), 1, 9)


def test_an_exception_is_announced_by_tag_or_by_comment() -> None:
    """Oracle: nbval's two markers."""
    assert raises(new_code_cell("1", metadata={"tags": ["raises-exception"]}))
    assert raises(new_code_cell("# NBVAL_RAISES_EXCEPTION\n1"))
    assert not raises(new_code_cell("1"))
    assert not raises(new_code_cell("x = 'NBVAL_RAISES_EXCEPTION'"))


def test_long_outputs_are_shortened_for_a_message() -> None:
    """Oracle: the number of lines and columns that a terminal shows."""
    text = "\n".join(["x" * 1000] * 100)
    shown = shown_outputs([new_output("stream", name="stdout", text=text)])
    assert len(shown.splitlines()) < 40
    assert max(map(len, shown.splitlines())) < 200
    assert shown_outputs([]) == "nothing"
