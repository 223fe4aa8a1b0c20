"""Exercise of chapter 01, The cost of a model: the smallest batch that reaches the ridge."""

import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, a_function
from reference_impl.checks import require_int, require_real

#: (inputs, outputs, ridge) → the smallest batch, by trying one after the other.
BATCH_CASES = {(784, 300, 10.0): 23, (300, 100, 20.0): 86, (1024, 1024, 12.5): 27}
#: The same where the ridge is met exactly; the second is out of reach of a loop.
EXACT_CASES = {(8, 8, 1.0): 4, (1024, 1024, 255.75): 523_776}
NEVER_CASE = (100, 10, 20.0)
LIMIT_CASE = (4, 4, 1.0)
"""The limit is the ridge itself: approached, never reached."""
LINES = 200_000


def smallest_batch(inputs: int, outputs: int, ridge: float) -> int | None:
    """Return the smallest n with 2 n N_w / (4 (N_w + n (in + out))) ≥ ridge, or None.

    Here N_w = in · out, four bytes to a value and no bias. Solved for n:
    n ≥ 2 R N_w / (N_w − 2 R (in + out)), if the denominator is positive.

    Raises:
        TypeError: if a width is no integer or ``ridge`` no real number.
        ValueError: if one of them is not positive or ``ridge`` is not finite.
    """
    require_int("inputs", inputs, 1)
    require_int("outputs", outputs, 1)
    require_real("ridge", ridge, 0, open_low=True)
    weights = int(inputs) * int(outputs)  # NumPy's integers overflow
    room = weights - 2 * ridge * (int(inputs) + int(outputs))
    return math.ceil(2 * ridge * weights / room) if room > 0 else None


BATCH_MISTAKES: dict[str, Callable[[int, int, float], Any]] = {
    "The input and the output are missing: they move too, and grow with the batch.": (
        lambda _i, _o, ridge: math.ceil(2 * ridge)
    ),
    "This counts MACs; a MAC is two operations, a product and a sum.": (
        lambda i, o, ridge: smallest_batch(i, o, 2 * ridge)
    ),
    "This divides by the number of values moved; each has four bytes.": (
        lambda i, o, ridge: smallest_batch(i, o, ridge / 4)
    ),
    "One too small: rounded down, the batch stays just below the ridge.": (
        lambda i, o, ridge: (smallest_batch(i, o, ridge) or 0) - 1
    ),
}


def _batch_with_bias(inputs: int, outputs: int, ridge: float) -> int | None:
    """Return what `smallest_batch` would be if the layer had a bias: a mistake to recognise."""
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return math.ceil(2 * ridge * (weights + outputs) / room) if room > 0 else None


def _limited(function: Callable[..., Any], *arguments: float) -> Any:
    """Return ``function(*arguments)``; stop it with an error if it runs on and on."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001 — sys.settrace's
        nonlocal lines
        lines += 1
        if lines > LINES:
            raise RuntimeError(
                f"still running after {LINES} lines: a loop over batches is too slow, or never "
                "ends. Solve for n."
            )
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return function(*arguments)
    finally:
        sys.settrace(before)


def _agrees(function: Callable[..., Any], cases: dict[tuple[int, int, float], Any]) -> bool:
    return all(_limited(function, *case) == expected for case, expected in cases.items())


def _as_in(wrong: Callable[[int, int, float], Any]) -> Callable[[Any], bool]:
    return lambda answer: _agrees(answer, {case: wrong(*case) for case in BATCH_CASES})


def _counts_a_bias(answer: Callable[..., Any]) -> bool:
    cases = {case: _batch_with_bias(*case) for case in (*BATCH_CASES, *EXACT_CASES)}
    return _agrees(answer, cases)


def _is_strict(answer: Callable[..., Any]) -> bool:
    one_more = {case: expected + 1 for case, expected in EXACT_CASES.items()}
    return _agrees(answer, BATCH_CASES | one_more)


def _divides_by_zero(answer: Callable[..., Any]) -> bool:
    try:
        _limited(answer, *LIMIT_CASE)
    except ZeroDivisionError:
        return _agrees(answer, BATCH_CASES)
    return False


def _batch_claim(case: tuple[int, int, float], expected: int) -> Claim:
    inputs, outputs, ridge = case
    return Claim(
        f"{inputs} → {outputs} reaches {ridge} FLOP/byte at the right batch",
        lambda answer: _limited(answer, *case) == expected,
        "Put your batch, and the one before it, into the intensity: the first must reach the "
        "ridge, the second must not.",
    )


EXERCISES = {
    "cost-smallest-batch": Exercise(
        kind=a_function("smallest_batch(inputs, outputs, ridge)"),
        claims=(
            *(_batch_claim(case, expected) for case, expected in BATCH_CASES.items()),
            Claim(
                "a batch exactly at the ridge is taken, however large",
                lambda answer: _agrees(answer, EXACT_CASES),
                "8 → 8 at batch 4 has exactly 1 FLOP/byte, 1024 → 1024 at batch 523,776 exactly "
                "255.75.",
            ),
            Claim(
                "None where no batch is large enough",
                lambda answer: _limited(answer, *NEVER_CASE) is None,
                "100 → 10 never exceeds 2 · 1000 / (4 · 110) = 4.5 FLOP/byte, whatever the batch.",
            ),
            Claim(
                "None where the ridge is the limit itself",
                lambda answer: _limited(answer, *LIMIT_CASE) is None,
                "4 → 4 approaches 2 · 16 / (4 · 8) = 1 FLOP/byte and reaches it at no batch.",
            ),
        ),
        mistakes=(
            *(Mistake(text, _as_in(wrong)) for text, wrong in BATCH_MISTAKES.items()),
            Mistake("This layer has no bias; yours moves one.", _counts_a_bias),
            Mistake("One too large: a batch exactly at the ridge has reached it.", _is_strict),
            Mistake(
                "4 → 4 approaches 1 FLOP/byte and never gets there: you divide by zero.",
                _divides_by_zero,
            ),
        ),
    ),
}
