"""The examination of answers, on a toy exercise."""

import numpy as np
import pytest
import torch

from exercises import all_exercises, check, report
from exercises.framework import Exercise, a_function, a_number, examine, numbers

DOUBLE = Exercise(
    kind=a_function("double(x)"),
    claims={
        "0 stays 0": (lambda f: f(0) == 0, "Nothing doubled is nothing."),
        "3 becomes 6": (lambda f: f(3) == 6, "Multiply by two."),
    },
    mistakes={"You squared it.": lambda f: f(3) == 9},
)


def test_a_right_answer_passes_with_every_claim_ticked() -> None:
    """Oracle: the definition."""
    found = examine(DOUBLE, lambda x: x + x)
    assert found.passed
    assert found.lines == ("✓ 0 stays 0", "✓ 3 becomes 6")


def test_a_known_mistake_is_named() -> None:
    """Oracle: the definition."""
    found = examine(DOUBLE, lambda x: x * x)
    assert not found.passed
    assert found.lines == ("✓ 0 stays 0", "✗ 3 becomes 6", "→ You squared it.")


def test_an_unknown_mistake_gets_the_first_failed_claims_hint() -> None:
    """Oracle: the definition."""
    assert examine(DOUBLE, lambda x: x + 1).lines[-1] == "→ Nothing doubled is nothing."


def test_the_first_of_two_matching_mistakes_is_named() -> None:
    """Oracle: the order in which they are written."""
    mistakes = {"First.": lambda _: True, "Second.": lambda _: True}
    exercise = Exercise(a_number, {"is 1": (lambda x: x == 1, "Say 1.")}, mistakes)
    assert examine(exercise, 2).lines == ("✗ is 1", "→ First.")


@pytest.mark.parametrize("result", [None, True, [1.0]])
def test_a_function_that_returns_no_tensor_is_told_so(result: object) -> None:
    """Oracle: the name of what it returned."""
    kind = type(result).__name__
    said = f"→ The function must return a tensor; it returned a {kind}."
    assert report("stochastic-rounding", lambda *_: result).lines[-1] == said
    assert report("min-max-inverse", lambda *_: result).lines[-1] == said


def test_an_answer_that_raises_is_told_what_it_raised() -> None:
    """Oracle: the exception's own text."""

    def broken(_: int) -> int:
        raise KeyError("two")

    found = examine(DOUBLE, broken)
    assert not found.passed
    assert found.lines[-1] == "→ It raised KeyError: 'two'"


def test_dots_are_no_answer_yet() -> None:
    """Oracle: the learner's untouched cell."""
    found = examine(DOUBLE, ...)
    assert not found.passed
    assert found.lines == ("No answer yet: put yours in the place of the dots.",)


@pytest.mark.parametrize(
    ("kind", "good", "bad", "message"),
    [
        (a_number, 3, "3", "The answer is a number; this is a str."),
        (a_number, torch.tensor(3.0), True, "The answer is a number; this is a bool."),
        (a_number, 2.5, None, "The answer is a number; this is a NoneType."),
        (numbers(2), [1, 2], [1, 2, 3], "The answer has 2 numbers; this has 3."),
        (numbers(2), torch.ones(2), "ab", "The answer is a list of 2 numbers; this is a str."),
        (numbers(2), (1, 2.5), [1, "2"], "Entry 2 is not a number: '2' is a str."),
        (
            numbers(2),
            [torch.tensor(1), 2],
            [None, 2],
            "Entry 1 is not a number: None is a NoneType.",
        ),
        (numbers(2), [[1], [2]], [..., 2], "Entry 1 is still dots: put a number in their place."),
        (numbers(2), [1, 2], [[1, 2], [3]], "The answer is a list of 2 numbers; this is a list."),
        (a_number, np.array(11), torch.ones(2), "The answer is a number; this is a Tensor."),
        (a_number, np.array([11]), torch.tensor(True), "The answer is a number; this is a bool."),
        (a_number, np.int64(11), 11j, "The answer is a number; this is a complex."),
        (a_number, -2, float("nan"), "The answer is a finite number; this is not."),
        (a_number, 10**300, 10**400, "The answer is a finite number; this is not."),
        (a_number, torch.ones(1, 1), float("inf"), "The answer is a finite number; this is not."),
        (numbers(2), np.ones((2, 1)), [1, 10**400], "Entry 2 is too large a number."),
        (a_number, 0, torch.ones(1, device="meta"), "The answer is a number; this is a Tensor."),
        (
            numbers(2),
            [0, 1],
            torch.ones(2, device="meta"),
            "The answer is a list of 2 numbers; this is a Tensor.",
        ),
        (numbers(2), [1, 10**300], [1, float("nan")], "Entry 2 is not a finite number."),
        (
            numbers(2),
            torch.ones(1, 2),
            torch.ones(2, dtype=torch.complex64),
            "The answer is a list of 2 numbers; this is a Tensor.",
        ),
        (a_function("f(x)"), abs, 3, "The answer is the function itself, f(x), without a call"),
    ],
)
def test_each_kind_of_answer_is_told_from_others(kind, good, bad, message) -> None:
    """Oracle: one good and one bad answer of each kind."""
    assert kind(good) is None
    assert kind(bad).startswith(message)


def test_an_exercise_needs_a_claim() -> None:
    """Oracle: without one, everything would pass."""
    with pytest.raises(ValueError, match="claims must not be empty"):
        Exercise(kind=a_number, claims={})


def test_check_prints_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Oracle: report() on the same answer."""
    check("min-max-codes", [0, 1, 5, 7])
    printed = capsys.readouterr().out
    assert printed.splitlines() == [*report("min-max-codes", [0, 1, 5, 7]).lines, "Right."]
    check("min-max-codes", [0, 1, 5, 6])
    assert "Right." not in capsys.readouterr().out


def test_an_unknown_name_lists_the_known_ones() -> None:
    """Oracle: the registry."""
    with pytest.raises(ValueError, match=r"name must be one of .*min-max-codes.*; got 'min-max'"):
        check("min-max", 1)
    with pytest.raises(TypeError, match="name must be a string, got int"):
        check(3, 1)


@pytest.mark.parametrize("name", sorted(all_exercises()))
def test_no_exercise_accepts_what_is_no_answer(name: str) -> None:
    """Oracle: dots, nothing, and an empty string are right for no exercise."""
    for answer in (..., None, ""):
        assert not report(name, answer).passed
