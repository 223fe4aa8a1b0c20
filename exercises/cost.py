"""Exercises of chapter 01, The cost of a model: to count, to implement and to explore."""

import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

from exercises.framework import Exercise, Test, a_function, as_numbers, at, near, numbers
from reference_impl.checked import Count, Positive, Within, checked

EXERCISES: dict[str, Exercise] = {}

# -- by hand: the article's teacher on a colour image of 16 × 16 -----------------------------------

ARTICLE_MACS = (16**2 * 64 * 3 * 9, 16**2 * 128 * 64 * 9, 128 * 8 * 8 * 1000, 1000 * 10)
"""Multiply–accumulates of conv1, conv2, fc1, fc2."""

ARTICLE_OUTPUTS = (16**2 * 64, 16**2 * 128, 1000, 10)


def _convolutions(first: int, second: int) -> Test:
    """Return the test for the right counts with others for conv1 and conv2."""
    return near((first, second, *ARTICLE_MACS[2:]))


def _image(size: int) -> Test:
    return _convolutions(size**2 * 64 * 3 * 9, size**2 * 128 * 64 * 9)


EXERCISES["cost-article-macs"] = Exercise(
    kind=numbers(4),
    claims={
        layer: (
            at(place, ARTICLE_MACS[place]),
            f"{layer}: how many values does it put out, and how many products does each take?",
        )
        for place, layer in enumerate(("conv1", "conv2", "fc1", "fc2"))
    },
    mistakes={
        "These are the weights. A convolution uses each of its weights once per output "
        "position.": _convolutions(64 * 3 * 9, 128 * 64 * 9),
        "These are the parameters, biases included: a MAC is a product, and a convolution uses "
        "each weight once per output position.": near((64 * 28, 128 * 577, 8193 * 1000, 1001 * 10)),
        "These are operations: a MAC is one product and one sum, counted as one.": near(
            [2 * macs for macs in ARTICLE_MACS]
        ),
        "The input channels are missing: each output value sums over all of them.": _convolutions(
            16**2 * 64 * 9, 16**2 * 128 * 9
        ),
        "The image has three channels: each filter of conv1 sees all of them.": _convolutions(
            16**2 * 64 * 9, ARTICLE_MACS[1]
        ),
        "The pooling comes after conv2: its output is still 16 × 16.": _convolutions(
            ARTICLE_MACS[0], 8**2 * 128 * 64 * 9
        ),
        "The padding is missing: with one pixel on each side, 16 × 16 stays 16 × 16.": (
            _convolutions(14**2 * 64 * 3 * 9, 12**2 * 128 * 64 * 9)
        ),
        "17 × 17 fits too, as the pooling rounds down; the smallest size is asked for.": _image(17),
        "This is an image of 28 × 28, like ours; after one pooling it would not fit fc1.": _image(
            28
        ),
        "This is an image of 32 × 32; after one pooling it would not fit fc1, 128 · 8 · 8.": _image(
            32
        ),
        "The biases are counted too: adding one is not a multiply–accumulate.": near(
            [macs + more for macs, more in zip(ARTICLE_MACS, ARTICLE_OUTPUTS, strict=True)]
        ),
    },
)

# -- to explore: the intensity of LeNet-300-100 at a large batch -----------------------------------

LENET300_MACS = 266_200
LENET300_PARAMETER_BYTES = 4 * 266_610
LENET300_ACTIVATION_BYTES = 4 * (784 + 300 + 300 + 100 + 100 + 10)
LENET300_LIMIT = 2 * LENET300_MACS / LENET300_ACTIVATION_BYTES
LENET300_BATCH = 1506  # the first n with n A / (P + n A) ≥ 0.9: P parameter, A activation bytes


@checked
def lenet300_intensity(batch: Count) -> float:
    """Return 2 n MACs / (P + n A) in FLOP/byte, for a batch of n."""
    moved = LENET300_PARAMETER_BYTES + batch * LENET300_ACTIVATION_BYTES
    return 2 * batch * LENET300_MACS / moved


def _limit(expected: float) -> Test:
    return at(0, expected, share=0.01)


def _first_for(answer: Any) -> bool:
    """Return whether the batch is the first with 90 % of the limit, or of the one submitted."""
    limit, batch = as_numbers(answer).tolist()
    if batch == LENET300_BATCH:
        return True
    whole = batch == int(batch) and batch > 1
    target = 0.9 * limit * (1 - 1e-6)  # may be met exactly
    return (
        whole
        and _limit(LENET300_LIMIT)(answer)
        and lenet300_intensity(int(batch)) > target > lenet300_intensity(int(batch) - 1)
    )


EXERCISES["cost-intensity-limit"] = Exercise(
    kind=numbers(2),
    claims={
        "the limit, within 1 %": (
            _limit(LENET300_LIMIT),
            "For a large batch the parameters no longer count: operations of one example "
            "over the bytes of its activations.",
        ),
        "the first batch with 90 % of it": (
            _first_for,
            "Try batches near yours: which is the first whose intensity is at least 0.9 of "
            "the limit?",
        ),
    },
    mistakes={
        "This is half the limit: a MAC is two operations.": _limit(LENET300_LIMIT / 2),
        "This is operations per value; a float32 has four bytes.": _limit(4 * LENET300_LIMIT),
        "The hidden values are counted once: one layer writes them, the next one reads "
        "them.": _limit(2 * LENET300_MACS / (4 * (784 + 300 + 100 + 10))),
        "This is the intensity at batch 64; let the batch grow until it stands still.": _limit(
            lenet300_intensity(64)
        ),
        "This is the intensity at batch 1000, which still grows: it is not the limit.": _limit(
            lenet300_intensity(1000)
        ),
        "This batch reaches half of the limit: there the activations weigh as much as "
        "the parameters.": at(1, math.ceil(LENET300_PARAMETER_BYTES / LENET300_ACTIVATION_BYTES)),
    },
)

# -- to implement: the smallest batch that reaches the ridge ---------------------------------------

Batches = dict[tuple[int, int, float], Any]

BATCH_CASES: Batches = {(784, 300, 10.0): 23, (300, 100, 20.0): 86, (1024, 1024, 12.5): 27}
"""(inputs, outputs, ridge) → the smallest batch, by trying one after the other."""

EXACT_CASES: Batches = {(8, 8, 1.0): 4, (1024, 1024, 255.75): 523_776}
"""The same where the ridge is met exactly; the second is out of reach of a loop."""

LIMIT_CASE = (4, 4, 1.0)
"""The limit is the ridge itself: approached, never reached."""

LINES = 200_000


@checked
def smallest_batch(
    inputs: Count, outputs: Count, ridge: Positive, *, biases: Annotated[int, Within(0)] = 0
) -> int | None:
    """Return the smallest n with 2 n N_w / (4 (N_w + n (in + out))) ≥ ridge, or None.

    Here N_w = in · out, four bytes to a value and no bias. Solved for n:
    n ≥ 2 R N_w / (N_w − 2 R (in + out)), if the denominator is positive.
    """
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return math.ceil(2 * ridge * (weights + biases) / room) if room > 0 else None


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


def _gives(cases: Batches) -> Test:
    return lambda answer: all(
        _limited(answer, *case) == expected for case, expected in cases.items()
    )


def _as_in(wrong: Callable[[int, int, float], Any], *more: tuple[int, int, float]) -> Test:
    return _gives({case: wrong(*case) for case in (*BATCH_CASES, *more)})


def _divides_by_zero(answer: Callable[..., Any]) -> bool:
    try:
        _limited(answer, *LIMIT_CASE)
    except ZeroDivisionError:
        return _gives(BATCH_CASES)(answer)
    return False


EXERCISES["cost-smallest-batch"] = Exercise(
    kind=a_function("smallest_batch(inputs, outputs, ridge)"),
    claims={
        f"{case[0]} → {case[1]} reaches {case[2]} FLOP/byte at the right batch": (
            _gives({case: expected}),
            "Put your batch, and the one before it, into the intensity: the first must reach the "
            "ridge, the second must not.",
        )
        for case, expected in BATCH_CASES.items()
    }
    | {
        "a batch exactly at the ridge is taken, however large": (
            _gives(EXACT_CASES),
            "8 → 8 at batch 4 has exactly 1 FLOP/byte, 1024 → 1024 at batch 523,776 exactly "
            "255.75.",
        ),
        "None where no batch is large enough": (
            lambda answer: _limited(answer, 100, 10, 20.0) is None,
            "100 → 10 never exceeds 2 · 1000 / (4 · 110) = 4.5 FLOP/byte, whatever the batch.",
        ),
        "None where the ridge is the limit itself": (
            lambda answer: _limited(answer, *LIMIT_CASE) is None,
            "4 → 4 approaches 2 · 16 / (4 · 8) = 1 FLOP/byte and reaches it at no batch.",
        ),
    },
    mistakes={
        "The input and the output are missing: they move too, and grow with the batch.": _as_in(
            lambda _i, _o, ridge: math.ceil(2 * ridge)
        ),
        "This counts MACs; a MAC is two operations, a product and a sum.": _as_in(
            lambda i, o, ridge: smallest_batch(i, o, 2 * ridge)
        ),
        "This divides by the number of values moved; each has four bytes.": _as_in(
            lambda i, o, ridge: smallest_batch(i, o, ridge / 4)
        ),
        "One too small: rounded down, the batch stays just below the ridge.": _as_in(
            lambda i, o, ridge: (smallest_batch(i, o, ridge) or 0) - 1
        ),
        "This layer has no bias; yours moves one.": _as_in(
            lambda i, o, ridge: smallest_batch(i, o, ridge, biases=o), *EXACT_CASES
        ),
        "One too large: a batch exactly at the ridge has reached it.": _gives(
            BATCH_CASES | {case: expected + 1 for case, expected in EXACT_CASES.items()}
        ),
        "4 → 4 approaches 1 FLOP/byte and never gets there: you divide by zero.": _divides_by_zero,
    },
)
