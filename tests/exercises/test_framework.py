"""The examination of answers, on a toy exercise; and what every exercise says to no answer."""

import math

import numpy as np
import pytest
import torch

from exercises import all_exercises, check, notes_on, report
from exercises.examination import examine
from exercises.framework import Exercise, a_function, a_number, numbers
from tests.exercises.claims import said

DOUBLE = Exercise(
    kind=a_function("double(x)"),
    claims={
        "0 stays 0": (lambda f: f(0) == 0, "Nothing doubled is nothing."),
        "3 becomes 6": (lambda f: f(3) == 6, "Multiply by two."),
    },
    mistakes={"You squared it.": lambda f: f(3) == 9, "You gave 9.": lambda f: f(3) == 9},
)


def crashes(x):
    return {}["two"][x]


LINE = crashes.__code__.co_firstlineno + 1
CRASH = f"! It raised KeyError: 'two', line {LINE} of test_framework.py: return {{}}[\"two\"][x]"
HINT = "→ Nothing doubled is nothing."


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (lambda x: x + x, ("✓ 0 stays 0", "✓ 3 becomes 6")),
        (lambda x: x * x, ("✓ 0 stays 0", "✗ 3 becomes 6", "→ You squared it.")),
        (lambda x: x + 1, ("✗ 0 stays 0", "✗ 3 becomes 6", "→ Nothing doubled is nothing.")),
        (crashes, ("✗ 0 stays 0", "✗ 3 becomes 6", CRASH, HINT)),
    ],
    ids=[
        "right",
        "the first of two mistakes",
        "an unknown one gets the first hint",
        "one that raises",
    ],
)
def test_claims_are_ticked_and_the_mistake_is_named(answer, lines):
    """Oracle: the definition."""
    assert examine(DOUBLE, answer).lines == lines
    assert examine(DOUBLE, answer).passed == (len(lines) == 2)


A_NUMBER, NUMBERS = "The answer is a number; this is a ", "The answer is a list of 2 numbers; "
NOT_FINITE = "The answer is a finite number; this is not."


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


def test_an_unknown_name_lists_the_known_ones():
    """Oracle: the registry."""
    with pytest.raises(ValueError, match=r"name must be one of .*rounding-hand.*; got 'min-max'"):
        check("min-max", 1)
    with pytest.raises(TypeError, match="name must be a string, got int"):
        check(3, 1)


@pytest.mark.parametrize(("name", "exercise"), all_exercises().items())
def test_every_exercise_says_what_no_answer_is(name, exercise):
    """Oracle: dots, nothing, text, no numbers; functions that return nothing or that raise."""
    assert report(name, ...).lines == ("No answer yet: put yours in the place of the dots.",)
    for answer in (None, "", "many"):
        (line,) = report(name, answer).lines
        assert line.startswith("✗ The answer is ")
    if exercise.kind(1) is None:
        assert "The answer is a number; this is a list" in report(name, []).lines[0]
    elif exercise.kind(abs) is None:
        assert "The answer is the function itself" in report(name, exercise).lines[0]
        assert said(report(name, lambda *_: 1 / 0), "! It raised ZeroDivisionError")
        assert said(report(name, lambda: 1), "! It raised TypeError")
        if name != "cost-batch":  # where None is an answer
            assert "must return" in report(name, lambda *_: None).lines[-1]
    else:
        assert "numbers; this has 0." in report(name, []).lines[0]
