"""How a learner's answer is examined: claims that a right answer fulfils, mistakes to recognise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor


class WrongResultError(Exception):
    """A learner's function returned the wrong kind of thing; the text says so to the learner."""


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
    value = _without_axes(answer)
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"The answer is a number; this is a {type(value).__name__}."
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        finite = False
    return None if finite else "The answer is a finite number; this is none."


def _without_axes(answer: Any) -> Any:
    """Return the one element of a tensor or array that has one, else ``answer`` itself."""
    one = isinstance(answer, Tensor | np.ndarray) and math.prod(answer.shape) == 1
    empty = isinstance(answer, Tensor) and answer.is_meta  # a shape without values
    return answer.item() if one and not empty else answer


def as_number(answer: Any) -> float:
    """Return an answer that `a_number` accepts as a float."""
    return float(_without_axes(answer))


def as_numbers(answer: Any) -> Tensor:
    """Return an answer that `numbers` accepts as a float64 tensor with one axis.

    Raises:
        TypeError: if it holds complex numbers, or no numbers.
    """
    if isinstance(answer, Tensor | np.ndarray) and "complex" in str(answer.dtype):
        raise TypeError(f"answer must hold real numbers, got dtype {answer.dtype}")
    return torch.as_tensor(answer, dtype=torch.float64).flatten()


def a_tensor(result: Any) -> Tensor:
    """Return what a learner's function returned, which must be a tensor.

    Raises:
        WrongResultError: if it is none.
    """
    if not isinstance(result, Tensor):
        kind = type(result).__name__
        raise WrongResultError(f"The function must return a tensor; it returned a {kind}.")
    return result


def numbers(count: int) -> Callable[[Any], str | None]:
    """Return the kind "a list of ``count`` numbers" (list, tuple, array or tensor)."""

    def kind(answer: Any) -> str | None:
        try:
            found = as_numbers(answer)
            finite = found.isfinite().tolist()
        except (TypeError, ValueError, RuntimeError, OverflowError):
            return _no_numbers(answer, count)
        if found.numel() != count:
            return f"The answer has {count} numbers; this has {found.numel()}."
        return None if all(finite) else f"Entry {1 + finite.index(False)} is no finite number."

    return kind


def _no_numbers(answer: Any, count: int) -> str:
    """Return why ``answer`` cannot be read as numbers: its type, or the entry that is none."""
    if isinstance(answer, list | tuple):
        for place, entry in enumerate(answer, start=1):
            if entry is ...:
                return f"Entry {place} is still dots: put a number in their place."
            if not isinstance(entry, Real | torch.Tensor | list | tuple):
                return f"Entry {place} is no number: {entry!r} is a {type(entry).__name__}."
            if isinstance(entry, int) and abs(entry) > 2**1023:
                return f"Entry {place} is too large a number."
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
    except WrongResultError as error:
        return False, str(error)
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
