"""The kinds of answers, and what `check` prints."""

import math

import numpy as np
import pytest
import torch

from exercises import check, notes_on, report
from exercises.framework import Exercise, a_function, a_number, numbers

A_NUMBER, NUMBERS = "The answer is a number; this is a ", "The answer is a list of 2 numbers; "
NOT_FINITE = "The answer is a finite number; this is not."


class Unreadable:
    """Cannot be shown."""

    def __repr__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("kind", "good", "bad", "message"),
    [
        (a_number, 3, "3", A_NUMBER + "str."),
        (a_number, torch.tensor(3.0), True, A_NUMBER + "bool."),
        (a_number, 2.5, None, A_NUMBER + "NoneType."),
        (a_number, np.array(11), torch.ones(2), A_NUMBER + "Tensor."),
        (a_number, np.array([11]), torch.tensor(True), A_NUMBER + "bool."),
        (a_number, np.int64(11), 11j, A_NUMBER + "complex."),
        (a_number, 0, torch.ones(1, device="meta"), A_NUMBER + "Tensor."),
        (a_number, -2, math.nan, NOT_FINITE),
        (a_number, 10**300, 10**400, NOT_FINITE),
        (a_number, torch.ones(1, 1), math.inf, NOT_FINITE),
        (numbers(2), [1, 2], [1, 2, 3], "The answer has 2 numbers; this has 3."),
        (numbers(2), [1, 2], [1, Unreadable()], "Entry 2 is not a number: <Unreadable"),
        (numbers(2), [1, 2], [1, "x" * 10**6], "Entry 2 is not a number: 'xxxxxxxxxxxx...xxx"),
        (a_number, 1, "0.5", A_NUMBER + "str."),
        (numbers(2), np.array([1, 2], dtype=object), {1, 2}, NUMBERS + "this is a set."),
        (numbers(2), [1, 2], iter([1, 2]), NUMBERS + "this is a list_iterator."),
        (numbers(2), range(2), torch.ones(1).expand(10**10), "The answer has 2 numbers; this"),
        (numbers(2), torch.ones(2), "ab", NUMBERS + "this is a str."),
        (numbers(2), (1, 2.5), [1, "2"], "Entry 2 is not a number: '2' is a str."),
        (numbers(2), [torch.tensor(1), 2], [None, 2], "Entry 1 is not a number: None is a NoneT"),
        (numbers(2), [[1], [2]], [..., 2], "Entry 1 is still dots: put a number in their place."),
        (numbers(2), [1, 2], [[1, 2], [3]], NUMBERS + "this is a list."),
        (numbers(2), np.ones((2, 1)), [1, 10**400], "Entry 2 is too large a number."),
        (numbers(2), [0, 1], torch.ones(2, device="meta"), NUMBERS + "this is a Tensor."),
        (numbers(2), [1, 10**300], [1, math.nan], "Entry 2 is not a finite number."),
        (numbers(2), torch.ones(1, 2), torch.ones(2, dtype=torch.complex64), NUMBERS),
        (a_function("f(x)"), abs, 3, "The answer is the function itself, f(x), without a call"),
    ],
)
def test_each_kind_of_answer_is_told_from_others(kind, good, bad, message):
    """Oracle: one good and one bad answer of each kind."""
    assert kind(good) is None
    assert kind(bad).startswith(message)


def test_an_exercise_needs_a_claim():
    """Oracle: without one, everything would pass."""
    with pytest.raises(ValueError, match="claims must not be empty"):
        Exercise(kind=a_number, claims={})


def test_check_prints_the_report(capsys):
    """Oracle: report() on the same answer."""
    check("rounding-hand", [0, 1, 5, 7])
    printed = capsys.readouterr().out
    assert printed.splitlines() == [*report("rounding-hand", [0, 1, 5, 7]).lines, "Right."]
    check("rounding-hand", [0, 1, 5, 6])
    *lines, last = capsys.readouterr().out.splitlines()
    assert tuple(lines) == report("rounding-hand", [0, 1, 5, 6]).lines
    exec(last.removeprefix("Stuck? "), {})
    assert capsys.readouterr().out.strip() in notes_on("rounding-hand")["hints"]
    check("rounding-hand", ...)
    assert capsys.readouterr().out.splitlines() == [*report("rounding-hand", ...).lines]


def test_an_unknown_name_is_answered_with_those_like_it():
    """Oracle: by hand."""
    with pytest.raises(ValueError, match=r"the name 'rounding_hand'; did you mean rounding-hand"):
        check("rounding_hand", 1)
    with pytest.raises(TypeError, match="name must be a string, got int"):
        check(3, 1)
