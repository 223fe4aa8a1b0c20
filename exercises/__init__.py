"""Checkers for learners' answers: ``check("rounding-hand", answer)``."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

from exercises.examination import Report, examine
from exercises.framework import Exercise

CHAPTERS = (
    *("cost", "rounding", "affine", "integer", "codebook", "formats", "ptq", "adaround", "qat"),
    *("distill", "student", "relation", "sparse", "importance", "stability", "narrow"),
    *("merge", "merge_data", "coding", "order", "deploy", "questions"),
)
"""The modules with the exercises of the chapters, in their order."""


@cache
def all_exercises() -> Mapping[str, Exercise]:
    """Return every exercise of the course by its name, in the order of the chapters."""
    modules = [import_module(f"exercises.{chapter}") for chapter in CHAPTERS]
    return MappingProxyType({n: one for module in modules for n, one in module.EXERCISES.items()})


def report(name: str, answer: Any) -> Report:
    """Return what the checker of exercise ``name`` finds in ``answer``.

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if no exercise has that name.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    if name not in all_exercises():
        raise ValueError(f"name must be one of {', '.join(sorted(all_exercises()))}; got {name!r}")
    return examine(all_exercises()[name], answer)


def check(name: str, answer: Any) -> None:
    """Print which properties ``answer`` has and, if one is missing, the mistake.

    Args:
        name: of the exercise, as printed above it.
        answer: a number, a list of numbers or a function, as the exercise asks. ``...`` stands
            for no answer yet. A whole number must be exact; any other number may be off by 0.5 %,
            so that three significant digits are enough, unless the exercise asks for fewer or more.

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if no exercise has that name.
    """
    found = report(name, answer)
    print("\n".join(found.lines))  # noqa: T201 — the learner reads it below the cell
    if found.passed:
        print("Right.")  # noqa: T201
