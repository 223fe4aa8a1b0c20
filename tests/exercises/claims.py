"""What the tests of all exercises assert: a chapter's tables of answers in, tests out."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch

from exercises import Report, report

Right = Mapping[str, Sequence[Any]]
"""Exercise → answers that pass."""

Wrong = Mapping[str, Sequence[tuple[Any, ...]]]
"""Exercise → (answer, a part of the advice that belongs to it, beginnings of the claims it fails).

Where no claim is named, the advice alone is compared. In both tables an answer may be a dictionary:
what is different in the exercise's first right answer, {place: number} in a list of numbers, or
{text: another text} in the source of a function.
"""


def submitted(first: Any, answer: Any) -> Any:
    """Return an answer; instead of a dictionary the first right answer, so changed."""
    if not isinstance(answer, dict):
        return answer
    if not callable(first):
        return [answer.get(place, number) for place, number in enumerate(first)]
    source, names = inspect.getsource(first), dict(first.__globals__)
    for old, new in answer.items():
        assert source.count(old) == 1, (old, source)
        source = source.replace(old, new)
    exec(source, names)
    return names[first.__name__]


def right_rows(right: Right) -> list[tuple[str, Any]]:
    return [(name, submitted(row[0], one)) for name, row in right.items() for one in row]


def forms(answer: Any) -> list[Any]:
    """Return an answer, and numbers as a tensor and as an array with one axis more as well."""
    if callable(answer):
        return [answer]
    numbers = torch.as_tensor(answer, dtype=torch.float64)
    return [answer, numbers, numbers[None].numpy()]


def spoiling(answer: Callable[..., Any], place: int = 0) -> Callable[..., Any]:
    """Return an answer that is right, but overwrites one of its arguments."""

    def spoilt(*arguments: Any) -> Any:
        found = answer(*arguments)
        given = arguments[place]
        for tensor in given if isinstance(given, list) else [given]:
            tensor.zero_()
        return found

    return spoilt


def assert_failed(found: Report, starts: Sequence[str]) -> None:
    """Assert that the claims which an answer failed are those that begin with ``starts``."""
    crossed = [line for line in found.lines if line.startswith("✗ ")]
    assert len(crossed) == len(starts), crossed
    for line, start in zip(crossed, starts, strict=True):
        assert line.startswith(f"✗ {start}"), (line, start)


def said(found: Report, advice: str) -> bool:
    """Return whether an advice stands in the last line, or in that of what was raised."""
    raised = [line for line in found.lines if line.startswith("!")]
    return any(advice in line for line in (found.lines[-1], *raised))


def judged(right: Right, wrong: Wrong) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the tests that right answers pass, and that each wrong one gets its advice."""

    @pytest.mark.parametrize(("name", "answer"), right_rows(right))
    def accepted(name, answer) -> None:
        """Oracle: found by hand, or in another way than the checker's."""
        for form in forms(answer):
            found = report(name, form)
            assert found.passed, found.lines

    @pytest.mark.parametrize("name", wrong)
    def named(name) -> None:
        """Oracle: mistakes made on purpose, the advice to each, and the properties it lacks.

        The last lines of the reports differ for at least three of the mistakes.
        """
        hints = set()
        for answer, advice, *claims in wrong[name]:
            found = report(name, submitted(right[name][0], answer))
            assert not found.passed, (answer, advice)
            assert said(found, advice), (advice, found.lines)
            if claims:
                assert_failed(found, claims)
            hints.add(found.lines[-1])
        assert len(hints) >= 3

    return accepted, named
