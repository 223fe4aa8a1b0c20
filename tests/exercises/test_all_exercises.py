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
from tests.exercises.claims import forms, said, submitted


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


NAMES = list(all_exercises())
FUNCTIONS = [name for name, one in all_exercises().items() if one.kind(abs) is None]
"""Those that ask for a function."""


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_is_tried_with_two_right_answers_and_three_mistakes(name):
    """Oracle: the tables; numbers are also given as a tensor and as an array."""
    right, wrong = tables()
    assert sum(len(forms(submitted(right[name][0], answer))) for answer in right[name]) >= 2
    assert len({row[1] for row in wrong[name]}) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_three_mistakes_get_three_different_hints(name):
    """Oracle: the last lines of the reports on the mistakes of the table."""
    right, wrong = tables()
    told: set[str] = set()
    for answer, *_ in wrong[name]:
        if len(told) < 3:
            found = report(name, submitted(right[name][0], answer))
            assert not found.passed
            told.add(found.lines[-1])
    assert len(told) == 3


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_another_type_is_told_what_is_asked(name):
    """Oracle: things that answer no exercise."""
    for answer in (None, "", {}, object()):
        (line,) = report(name, answer).lines
        assert line.startswith("✗ The answer")


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
    """Oracle: a limit of half a second, in which every exercise has called its answer."""
    found = examine(all_exercises()[name], runs_for_ever, limit=0.5)
    assert not found.passed
    assert said(found, "! It was stopped after 0.5 seconds")
