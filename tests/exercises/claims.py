"""What the tests of all exercises assert: a chapter's tables in, tests out."""

from collections.abc import Callable, Sequence

import pytest

from exercises import report

Answers = Sequence[tuple[str, object]]
Advised = Sequence[tuple[str, object, str]]
Crossed = Sequence[tuple[str, object, Sequence[str]]]


def assert_failed(name: str, answer: object, starts: Sequence[str]) -> None:
    """Assert that the claims which an answer fails are those that begin with ``starts``."""
    crossed = [line for line in report(name, answer).lines if line.startswith("✗ ")]
    assert len(crossed) == len(starts), crossed
    for line, start in zip(crossed, starts, strict=True):
        assert line.startswith(f"✗ {start}"), (line, start)


def passing(answers: Answers) -> Callable[..., None]:
    """Return the test that these answers pass."""

    @pytest.mark.parametrize(("name", "answer"), answers)
    def test(name, answer) -> None:
        """Oracle: found by hand, or in another way than the checker's."""
        found = report(name, answer)
        assert found.passed, found.lines

    return test


def advised(answers: Advised) -> Callable[..., None]:
    """Return the test that each of these answers fails, and is told what is wrong with it."""

    @pytest.mark.parametrize(("name", "answer", "advice"), answers)
    def test(name, answer, advice) -> None:
        """Oracle: a mistake made on purpose, and a part of the advice that belongs to it."""
        found = report(name, answer)
        assert not found.passed
        assert advice in found.lines[-1], found.lines

    return test


def crossed(answers: Crossed) -> Callable[..., None]:
    """Return the test that each of these answers fails these claims and no others."""

    @pytest.mark.parametrize(("name", "answer", "starts"), answers)
    def test(name, answer, starts) -> None:
        """Oracle: written to lack one property only, and what follows from it."""
        assert_failed(name, answer, starts)

    return test
