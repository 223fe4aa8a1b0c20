"""Checkers for learners' answers, ``check("rounding-hand", answer)``, and hints."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exercises.examination import Report, examine
from exercises.framework import Exercise
from exercises.notes import notes
from exercises.progress import record

CHAPTERS = (
    *("cost", "rounding", "affine", "integer", "codebook", "formats", "ptq", "adaround", "qat"),
    *("distill", "student", "relation", "sparse", "importance", "stability", "narrow"),
    *("merge", "merge_data", "coding", "order", "deploy", "questions"),
)
"""The modules with the exercises of the chapters, in their order."""

_SOLUTION = "The solution is folded below the exercise, or in work/solutions, if your copy has one."
_STUCK = "Stuck? from exercises import hint; hint"
_hints_given: dict[str, int] = {}


@cache
def by_chapter() -> Mapping[str, Mapping[str, Exercise]]:
    """Return the exercises of each module of `CHAPTERS` by their names, in the chapter's order."""
    modules = {name: import_module(f"exercises.chapters.{name}").EXERCISES for name in CHAPTERS}
    return {
        name: {key: own[key] for key in notes(name)["exercises"]} for name, own in modules.items()
    }


@cache
def all_exercises() -> Mapping[str, Exercise]:
    """Return every exercise of the course by its name, in the order of the book."""
    return MappingProxyType({n: one for found in by_chapter().values() for n, one in found.items()})


def _known(name: str) -> str:
    """Return ``name`` if an exercise has it."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    if name not in all_exercises():
        raise ValueError(misnamed(name))
    return name


def misnamed(name: str) -> str:
    """Return what to say of a name that no exercise has."""
    alike = ", ".join(get_close_matches(name[:50], all_exercises()))
    return f"no exercise has the name {name[:50]!r}" + (f"; did you mean {alike}?" if alike else "")


def report(name: str, answer: Any) -> Report:
    """Return what the checker of exercise ``name`` finds in ``answer``.

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if no exercise has that name.
    """
    return examine(all_exercises()[_known(name)], answer)


def check(name: str, answer: Any) -> None:
    """Print which properties ``answer`` has and, if one is missing, the mistake.

    A whole number must be exact. Any other number may be off by 0.5 %, so that three significant
    digits are enough, unless the exercise asks for fewer or for more. The try is recorded in the
    folder's ``progress.json``, if it has one, or in that of ``work/``.

    Args:
        name: of the exercise, as printed above it.
        answer: a number, a list of numbers or a function, as the exercise asks. ``...`` stands
            for no answer yet.

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if no exercise has that name.
    """
    found = report(name, answer)
    lines = [*found.lines]
    if answer is not ...:
        lines += said(name, passed=found.passed, folder=Path.cwd())
    print("\n".join(lines))  # noqa: T201 — the learner reads it


def said(name: str, *, passed: bool, folder: Path) -> list[str]:
    """Record a try near ``folder``; return the lines that follow the report on it."""
    failed = record(name, passed=passed, folder=folder)
    return ["Right." if passed else f'{_STUCK}("{name}")', *([failed] if failed else [])]


def notes_on(name: str) -> Mapping[str, Any]:
    """Return the difficulty, minutes and hints of an exercise."""
    _known(name)
    chapter = next(chapter for chapter, found in by_chapter().items() if name in found)
    found: Mapping[str, Any] = notes(chapter)["exercises"][name]
    return found


def hints(name: str) -> list[str]:
    """Return both hints of an exercise; a formula, on a page between dollars, is text."""
    return [text.replace("$", "") for text in notes_on(name)["hints"]]


def hint(name: str) -> None:
    """Print the first hint of an exercise; called again the second; then where its solution is.

    Raises:
        TypeError: if ``name`` is not a string.
        ValueError: if no exercise has that name.
    """
    steps = [*hints(name), _SOLUTION]
    given = _hints_given.get(name, 0)
    _hints_given[name] = min(given + 1, len(steps) - 1)
    print(steps[given])  # noqa: T201 — the learner reads it
