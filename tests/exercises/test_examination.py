"""What an answer is told, on a toy exercise: wrong, or code that crashes, ends or never does."""

import signal
import sys
import time
import warnings
from contextlib import suppress
from threading import Timer

import pytest
import torch

from exercises import report
from exercises.examination import examine
from exercises.framework import Exercise, a_function
from exercises.limits import TooLongError, limited

DOUBLE = Exercise(
    kind=a_function("double(x)"),
    claims={
        "0 stays 0": (lambda f: f(0) == 0, "Nothing doubled is nothing."),
        "3 becomes 6": (lambda f: f(3) == 6, "Multiply by two."),
    },
    mistakes={"You squared it.": lambda f: f(3) == 9, "You gave 9.": lambda f: f(3) == 9},
)


def fails(x):
    return {}["two"][x]


LINE = fails.__code__.co_firstlineno + 1
CRASH = f"! It raised KeyError: 'two', line {LINE} of test_examination.py: return {{}}[\"two\"][x]"
HINT = "→ Nothing doubled is nothing."


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (lambda x: x + x, ("✓ 0 stays 0", "✓ 3 becomes 6")),
        (lambda x: x * x, ("✓ 0 stays 0", "✗ 3 becomes 6", "→ You squared it.")),
        (lambda x: x + 1, ("✗ 0 stays 0", "✗ 3 becomes 6", "→ Nothing doubled is nothing.")),
        (fails, ("✗ 0 stays 0", "✗ 3 becomes 6", CRASH, HINT)),
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


def for_ever(_x):
    while True:
        pass


def catches_exceptions(_x):
    while True:
        with suppress(Exception):
            time.sleep(0.001)


def catches_all(x):
    while True:
        try:
            for _ in range(10**9):
                x + 1
        except:  # noqa: E722
            continue


def sleeps(x):
    time.sleep(100 + x)


@pytest.mark.parametrize("loop", [for_ever, catches_exceptions, catches_all, sleeps])
def test_an_endless_loop_is_stopped_and_reported(loop):
    """Oracle: the clock; the hint is that of the claim in which the time ran out."""
    start = time.monotonic()
    found = examine(DOUBLE, loop, limit=0.2)
    assert time.monotonic() - start < 20
    assert found.lines == (
        "✗ 0 stays 0",
        "! It was stopped after 0.2 seconds: is there a loop that never ends?",
        "→ Nothing doubled is nothing.",
    )
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_loop_in_a_later_claim_leaves_the_earlier_marks():
    """Oracle: a function that is right for 0 and does not return for 3."""
    found = examine(DOUBLE, lambda x: x and for_ever(x), limit=0.2)
    assert found.lines[:2] == ("✓ 0 stays 0", "✗ 3 becomes 6")
    assert found.lines[-1] == "→ Multiply by two."


def test_without_an_interval_timer_a_thread_stops_the_loop(monkeypatch):
    """Oracle: a system that has no setitimer, as Windows."""
    monkeypatch.delattr(signal, "setitimer")
    before = signal.getsignal(signal.SIGINT)
    for loop in (for_ever, catches_all):
        with pytest.raises(TooLongError):
            limited(lambda loop=loop: loop(1), 0.2)
    assert signal.getsignal(signal.SIGINT) == before
    assert limited(lambda: 3, 0.2) == 3


def test_an_interrupt_is_not_an_endless_loop(monkeypatch):
    """Oracle: a signal as that of Ctrl-C, long before the limit of the thread."""
    monkeypatch.delattr(signal, "setitimer")
    Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    found = examine(DOUBLE, for_ever, limit=60)
    assert any(line.startswith("! It was interrupted") for line in found.lines)


def leaves(x):
    sys.exit(x)


def interrupts(_x):
    raise KeyboardInterrupt


class OddError(BaseException):
    """Not an Exception."""


def raises_oddly(x):
    raise OddError(x)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (leaves, "! It called exit(), line {} of test_examination.py: sys.exit(x): a function"),
        (interrupts, "! It was interrupted, line {} of test_examination.py: raise Keyb"),
        (raises_oddly, "! It raised OddError: 0, line {} of test_examination.py"),
    ],
)
def test_what_is_not_an_exception_is_reported_and_survived(answer, said):
    """Oracle: the learner's own line, counted by Python."""
    found = examine(DOUBLE, answer)
    line = answer.__code__.co_firstlineno + 1
    (mark,) = [one for one in found.lines if one.startswith("!")]
    assert said.format(line) in mark
    assert not found.passed


def test_a_crash_shows_the_hint_and_the_learners_line():
    """Oracle: an error raised below a library that the learner called."""

    def double(x):
        return torch.ones(2)[x] and {}["two"]

    found = examine(DOUBLE, double)
    line = double.__code__.co_firstlineno + 1
    assert found.lines[-2:] == (
        f"! It raised KeyError: 'two', line {line} of test_examination.py: "
        'return torch.ones(2)[x] and {}["two"]',
        "→ Nothing doubled is nothing.",
    )


def test_a_long_error_is_cut():
    """Oracle: the length."""

    def double(x):
        raise ValueError("so\nlong " * 1000 + str(x))

    (mark,) = [one for one in examine(DOUBLE, double).lines if one.startswith("!")]
    assert "\n" not in mark
    assert len(mark) < 500


def test_warnings_are_not_errors_during_an_examination():
    """Oracle: filters as a notebook sets them, and as they were afterwards."""

    def double(x):
        warnings.warn("careful", stacklevel=2)
        return 2 * x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert examine(DOUBLE, double).passed
        with pytest.raises(UserWarning, match="careful"):
            double(1)


def test_a_tensor_of_a_tensor_passes_though_it_warns():
    """Oracle: the answer that failed in the notebooks of the first edition."""

    def inverse(codes, low, high, bits):
        return low + torch.tensor(codes).float() * ((high - low) / (2**bits - 1))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert report("rounding-inverse", inverse).passed
