"""Exercises of chapter 01, The cost of a model."""

import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch

from reference_impl.exercises.framework import (
    Claim,
    Exercise,
    Mistake,
    a_function,
    numbers,
)

#: The article's teacher on a colour image of 16 × 16: MACs of conv1, conv2, fc1, fc2.
ARTICLE_LAYERS = ("conv1", "conv2", "fc1", "fc2")
ARTICLE_MACS = (16**2 * 64 * 3 * 9, 16**2 * 128 * 64 * 9, 128 * 8 * 8 * 1000, 1000 * 10)
ARTICLE_OUTPUTS = (16**2 * 64, 16**2 * 128, 1000, 10)
ARTICLE_MISTAKES = {
    "These are the weights. A convolution uses each of its weights once per output position.": (
        64 * 3 * 9,
        128 * 64 * 9,
        *ARTICLE_MACS[2:],
    ),
    "These are operations: a MAC is one product and one sum, counted as one.": tuple(
        2 * macs for macs in ARTICLE_MACS
    ),
    "The input channels are missing: each output value sums over all of them.": (
        16**2 * 64 * 9,
        16**2 * 128 * 9,
        *ARTICLE_MACS[2:],
    ),
    "The padding is missing: with one pixel on each side, 16 × 16 stays 16 × 16.": (
        14**2 * 64 * 3 * 9,
        12**2 * 128 * 64 * 9,
        *ARTICLE_MACS[2:],
    ),
    "This is an image of 32 × 32; after one pooling it would not fit fc1, 128 · 8 · 8.": (
        32**2 * 64 * 3 * 9,
        32**2 * 128 * 64 * 9,
        *ARTICLE_MACS[2:],
    ),
    "The biases are counted too: adding one is not a multiply–accumulate.": tuple(
        macs + outputs for macs, outputs in zip(ARTICLE_MACS, ARTICLE_OUTPUTS, strict=True)
    ),
}

LENET300_MACS = 266_200
LENET300_PARAMETER_BYTES = 4 * 266_610
LENET300_ACTIVATION_BYTES = 4 * (784 + 300 + 300 + 100 + 100 + 10)
LENET300_LIMIT = 2 * LENET300_MACS / LENET300_ACTIVATION_BYTES
LENET300_BATCH = 1506  # the first n with n A / (P + n A) ≥ 0.9: P parameter, A activation bytes
LIMIT_MISTAKES = {
    "This is half the limit: a MAC is two operations.": LENET300_LIMIT / 2,
    "This is operations per value; a float32 has four bytes.": 4 * LENET300_LIMIT,
    "The hidden values are counted once: one layer writes them, the next one reads them.": (
        2 * LENET300_MACS / (4 * (784 + 300 + 100 + 10))
    ),
    "This is the intensity at batch 64; let the batch grow until it stands still.": (
        128 * LENET300_MACS / (LENET300_PARAMETER_BYTES + 64 * LENET300_ACTIVATION_BYTES)
    ),
}

#: (inputs, outputs, ridge) → the smallest batch, by trying one after the other.
BATCH_CASES = {(784, 300, 10.0): 23, (300, 100, 20.0): 86, (1024, 1024, 12.5): 27}
EXACT_CASE = ((8, 8, 1.0), 4)
NEVER_CASE = (100, 10, 20.0)
LINES = 200_000


def smallest_batch(inputs: int, outputs: int, ridge: float) -> int | None:
    """Return the smallest n with 2 n N_w / (4 (N_w + n (in + out))) ≥ ridge, or None.

    Here N_w = in · out, four bytes to a value and no bias. Solved for n:
    n ≥ 2 R N_w / (N_w − 2 R (in + out)), if the denominator is positive.
    """
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
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


def _exactly(answer: Any, expected: tuple[int, ...]) -> bool:
    return tuple(_entry(answer, index) for index in range(len(expected))) == expected


def _entry(answer: Any, index: int) -> float:
    return float(torch.as_tensor(answer, dtype=torch.float64).flatten()[index])


def _layer_claim(index: int) -> Claim:
    layer = ARTICLE_LAYERS[index]
    return Claim(
        layer,
        lambda answer: _entry(answer, index) == ARTICLE_MACS[index],
        f"{layer}: how many values does it put out, and how many products does each take?",
    )


def _list_mistake(text: str, wrong: tuple[int, ...]) -> Mistake:
    return Mistake(text, lambda answer: _exactly(answer, wrong))


def _near(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=0.01)


def _limit_mistake(text: str, wrong: float) -> Mistake:
    return Mistake(text, lambda answer: _near(_entry(answer, 0), wrong))


def _limited(function: Callable[..., Any], *arguments: float) -> Any:
    """Return ``function(*arguments)``; stop it with an error if it runs on and on."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001 — sys.settrace's
        nonlocal lines
        lines += 1
        if lines > LINES:
            raise RuntimeError(f"still running after {LINES} lines: does the loop ever end?")
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


def _is_strict(answer: Callable[..., Any]) -> bool:
    arguments, expected = EXACT_CASE
    return _agrees(answer, BATCH_CASES) and _limited(answer, *arguments) == expected + 1


def _batch_claim(case: tuple[int, int, float], expected: int) -> Claim:
    inputs, outputs, ridge = case
    return Claim(
        f"{inputs} → {outputs} reaches {ridge} FLOP/byte at the right batch",
        lambda answer: _limited(answer, *case) == expected,
        "Put your batch, and the one before it, into the intensity: the first must reach the "
        "ridge, the second must not.",
    )


EXERCISES = {
    "cost-article-macs": Exercise(
        kind=numbers(4),
        claims=tuple(_layer_claim(index) for index in range(len(ARTICLE_LAYERS))),
        mistakes=tuple(_list_mistake(text, wrong) for text, wrong in ARTICLE_MISTAKES.items()),
    ),
    "cost-smallest-batch": Exercise(
        kind=a_function("smallest_batch(inputs, outputs, ridge)"),
        claims=(
            *(_batch_claim(case, expected) for case, expected in BATCH_CASES.items()),
            Claim(
                "a batch exactly at the ridge is taken",
                lambda answer: _limited(answer, *EXACT_CASE[0]) == EXACT_CASE[1],
                "8 → 8 at batch 4 has exactly 1 FLOP/byte.",
            ),
            Claim(
                "None where no batch is large enough",
                lambda answer: _limited(answer, *NEVER_CASE) is None,
                "100 → 10 never exceeds 2 · 1000 / (4 · 110) = 4.5 FLOP/byte, whatever the batch.",
            ),
        ),
        mistakes=(
            *(Mistake(text, _as_in(wrong)) for text, wrong in BATCH_MISTAKES.items()),
            Mistake("One too large: a batch exactly at the ridge has reached it.", _is_strict),
        ),
    ),
    "cost-intensity-limit": Exercise(
        kind=numbers(2),
        claims=(
            Claim(
                "the limit, within 1 %",
                lambda answer: _near(_entry(answer, 0), LENET300_LIMIT),
                "For a large batch the parameters no longer count: operations of one example "
                "over the bytes of its activations.",
            ),
            Claim(
                "the first batch with 90 % of it",
                lambda answer: _entry(answer, 1) == LENET300_BATCH,
                "Try batches near yours: which is the first whose intensity is at least 0.9 of "
                "the limit?",
            ),
        ),
        mistakes=(
            *(_limit_mistake(text, wrong) for text, wrong in LIMIT_MISTAKES.items()),
            Mistake(
                "This batch reaches half of the limit: there the activations weigh as much as "
                "the parameters.",
                lambda answer: (
                    _entry(answer, 1)
                    == math.ceil(LENET300_PARAMETER_BYTES / LENET300_ACTIVATION_BYTES)
                ),
            ),
        ),
    ),
}
