"""How a learner's answer is examined: claims that a right answer fulfils, mistakes to recognise."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch


@dataclass(frozen=True)
class Claim:
    """A property that every right answer has, and what to say to one that lacks it."""

    text: str
    holds: Callable[[Any], bool]
    otherwise: str


@dataclass(frozen=True)
class Mistake:
    """A well-known wrong answer: how to recognise it and how to name it."""

    text: str
    made_by: Callable[[Any], bool]


@dataclass(frozen=True)
class Exercise:
    """One exercise: the kind of answer it takes, its claims and the mistakes it can name."""

    kind: Callable[[Any], str | None]
    claims: tuple[Claim, ...]
    mistakes: tuple[Mistake, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an exercise that nothing could fail."""
        if not self.claims:
            raise ValueError("claims must not be empty: an exercise without a claim accepts all")


@dataclass(frozen=True)
class Report:
    """What the examination found; ``lines`` is what the learner reads."""

    passed: bool
    lines: tuple[str, ...]


def a_number(answer: Any) -> str | None:
    """Return what is wrong with ``answer`` where a number is asked for, or None."""
    if isinstance(answer, torch.Tensor) and answer.numel() == 1:
        return None
    if isinstance(answer, bool) or not isinstance(answer, Real):
        return f"The answer is a number; this is a {type(answer).__name__}."
    return None


def numbers(count: int) -> Callable[[Any], str | None]:
    """Return the kind "a list of ``count`` numbers" (list, tuple, array or tensor)."""

    def kind(answer: Any) -> str | None:
        try:
            found = torch.as_tensor(answer, dtype=torch.float64).flatten().numel()
        except (TypeError, ValueError, RuntimeError):
            return _no_numbers(answer, count)
        return None if found == count else f"The answer has {count} numbers; this has {found}."

    return kind


def _no_numbers(answer: Any, count: int) -> str:
    """Return why ``answer`` cannot be read as numbers: its type, or the entry that is none."""
    if isinstance(answer, list | tuple):
        for place, entry in enumerate(answer, start=1):
            if entry is ...:
                return f"Entry {place} is still dots: put a number in their place."
            if not isinstance(entry, Real | torch.Tensor | list | tuple):
                return f"Entry {place} is no number: {entry!r} is a {type(entry).__name__}."
    return f"The answer is a list of {count} numbers; this is a {type(answer).__name__}."


def a_function(signature: str) -> Callable[[Any], str | None]:
    """Return the kind "a function", described by ``signature``."""

    def kind(answer: Any) -> str | None:
        if callable(answer):
            return None
        return (
            f"The answer is the function itself, {signature}, without a call; "
            f"this is a {type(answer).__name__}."
        )

    return kind


def _attempt(test: Callable[[Any], bool], answer: Any) -> tuple[bool, str]:
    """Return whether ``test`` holds and, if the learner's code raised, what it raised."""
    try:
        return bool(test(answer)), ""
    except Exception as error:  # noqa: BLE001 — a learner's code may raise anything
        return False, f"It raised {type(error).__name__}: {error}"


def examine(exercise: Exercise, answer: Any) -> Report:
    """Return the report on ``answer``: its kind, then each claim, then the mistake."""
    if answer is ...:
        return Report(passed=False, lines=("No answer yet: put yours in the place of the dots.",))
    wrong_kind = exercise.kind(answer)
    if wrong_kind:
        return Report(passed=False, lines=(f"✗ {wrong_kind}",))
    results = [(claim, *_attempt(claim.holds, answer)) for claim in exercise.claims]
    lines = [f"{'✓' if held else '✗'} {claim.text}" for claim, held, _ in results]
    failed = [(claim, raised) for claim, held, raised in results if not held]
    if not failed:
        return Report(passed=True, lines=tuple(lines))
    named = [mistake.text for mistake in exercise.mistakes if _attempt(mistake.made_by, answer)[0]]
    first, raised = failed[0]
    lines.append(f"→ {named[0] if named else raised or first.otherwise}")
    return Report(passed=False, lines=tuple(lines))
