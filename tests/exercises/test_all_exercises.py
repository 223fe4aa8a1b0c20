"""What every exercise does with every kind of answer, with the tables of all the tests of chapters.

The tables' own tests hold each answer to its advice; these hold each exercise to having enough.
"""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from exercises import all_exercises, report
from exercises.examination import examine
from tests.exercises.claims import said


@cache
def tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return RIGHT and WRONG of all tests of exercises together."""
    right: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for path in sorted(Path(__file__).parent.glob("test_*_exercises.py")):
        module = import_module(f"tests.exercises.{path.stem}")
        right |= getattr(module, "RIGHT", {})
        wrong |= getattr(module, "WRONG", {})
    return right, wrong


FUNCTIONS = [name for name, one in all_exercises().items() if one.kind(abs) is None]
"""Those that ask for a function."""


def test_every_exercise_has_right_answers_and_mistakes():
    """Oracle: the registry. Numbers are given in three `forms`, functions in two solutions."""
    right, wrong = tables()
    assert set(right) == set(wrong) == set(all_exercises())
    assert [name for name in FUNCTIONS if len(right[name]) < 2] == []


@pytest.mark.parametrize(("name", "exercise"), all_exercises().items())
def test_every_exercise_says_what_no_answer_is(name, exercise):
    """Oracle: dots, nothing, text, no numbers; functions that return nothing or that raise."""
    assert report(name, ...).lines == ("No answer yet: put yours in the place of the dots.",)
    for answer in (None, "", {}, object()):
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


def runs_for_ever(*_: Any) -> Any:
    while True:
        pass


def leaves(*_: Any) -> Any:
    sys.exit("bye")


def crashes(*_: Any) -> Any:
    return {}["nothing"]


def line_of(function: Callable[..., Any]) -> int:
    return function.__code__.co_firstlineno + 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_crash_and_an_exit_are_reported_with_the_learners_line(name):
    """Oracle: the lines of the two functions; the hint is the last line."""
    for function, mark in (
        (crashes, "! It raised KeyError: 'nothing'"),
        (leaves, "! It called exit()"),
    ):
        found = report(name, function)
        assert not found.passed
        assert said(found, f"{mark}, line {line_of(function)} of test_all_exercises.py")
        assert found.lines[-1].startswith("→ ")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_endless_loop_is_stopped_and_reported(name):
    """Oracle: a limit that begins when the exercise's inputs have been made, for another answer."""
    report(name, crashes)
    found = examine(all_exercises()[name], runs_for_ever, limit=0.1)
    assert not found.passed
    assert said(found, "! It was stopped after 0.1 seconds")
