"""Exercises of chapter 01, The cost of a model."""

import math
from collections.abc import Callable
from typing import Annotated, Any

from exercises.framework import (
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
    at,
    either,
    near,
    numbers,
)
from reference_impl.checked import Count, Positive, Within, checked

EXERCISES: dict[str, Exercise] = {}

# -- by hand: the article's teacher on a colour image of 16 × 16 -----------------------------------

ARTICLE_MACS = (16**2 * 64 * 3 * 9, 16**2 * 128 * 64 * 9, 128 * 8 * 8 * 1000, 1000 * 10)
"""Multiply–accumulates of conv1, conv2, fc1, fc2."""


def _convolutions(first: int, second: int) -> Test:
    """Return the test for the right counts with others for conv1 and conv2."""
    return near((first, second, *ARTICLE_MACS[2:]))


def _image(size: int) -> Test:
    return _convolutions(size**2 * 64 * 3 * 9, size**2 * 128 * 64 * 9)


EXERCISES["cost-article"] = Exercise(
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
        "The image has three channels: conv1 reads them all.": _convolutions(147_456, 18_874_368),
        "Pooling comes after conv2, whose output is 16 × 16.": _convolutions(442_368, 4_718_592),
        "The padding is missing: outputs have 16 × 16 again.": _convolutions(338_688, 10_616_832),
        "17 × 17 fits too, as the pooling rounds down; the smallest size is asked for.": _image(17),
        "This image is larger; after one pooling it would not fit fc1, 128 · 8 · 8.": either(
            _image(28), _image(32)
        ),
        "The biases are counted too: adding one is not a multiply–accumulate.": near(
            (458_752, 18_907_136, 8_193_000, 10_010)
        ),
    },
)

# -- predict: the intensity of LeNet-300-100 at a large batch -----------------------------------

LENET300_LIMIT = 2 * 266_200 / (4 * 1594)  # the bytes are those of one image's activations
LENET300_BATCH = 1506


def _limit(expected: float) -> Test:
    return at(0, expected)


EXERCISES["cost-limit"] = Exercise(
    kind=numbers(2),
    claims={
        "the limit": (
            _limit(LENET300_LIMIT),
            "For a large batch the parameters no longer count, only each example's activations.",
        ),
        "the first batch with 90 % of it": (
            at(1, LENET300_BATCH),
            "Where the activations take nine times as many bytes as the parameters, the intensity "
            "is 90 % of its limit.",
        ),
    },
    mistakes={
        "This is half the limit: a MAC is two operations.": _limit(LENET300_LIMIT / 2),
        "This is operations per value; a float32 has four bytes.": _limit(4 * LENET300_LIMIT),
        "The hidden values are counted once: one layer writes them, the next one reads "
        "them.": _limit(2 * 266_200 / (4 * (784 + 300 + 100 + 10))),
        "This is the intensity at batch 64 or 1000, which still grows: it is not the limit.": (
            either(_limit(23.11), _limit(71.47))
        ),
        "This batch reaches half of the limit: there the activations take as many bytes as "
        "the parameters.": at(1, 168),
    },
)

# -- implement: the smallest batch that reaches the ridge ------------------------------------------

Batches = dict[tuple[int, int, float], Any]
BATCH_CASES: Batches = {(784, 300, 10.0): 23, (300, 100, 20.0): 86, (1024, 1024, 12.5): 27}
EXACT_CASES: Batches = {(8, 8, 1.0): 4, (1024, 1024, 255.75): 523_776}
"""(inputs, outputs, ridge) → the smallest batch; here the ridge is met exactly."""

LIMIT_CASE = (4, 4, 1.0)  # the limit is the ridge itself: approached, never reached


@checked
def smallest_batch(
    inputs: Count, outputs: Count, ridge: Positive, *, biases: Annotated[int, Within(0)] = 0
) -> int | None:
    """Return the smallest n with 2 n N_w / (4 (N_w + n (in + out))) ≥ ridge, or None."""
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return math.ceil(2 * ridge * (weights + biases) / room) if room > 0 else None


def _gives(cases: Batches) -> Test:
    return lambda answer: all(answer(*case) == expected for case, expected in cases.items())


def _as_in(wrong: Callable[[int, int, float], Any], *more: tuple[int, int, float]) -> Test:
    return _gives({case: wrong(*case) for case in (*BATCH_CASES, *more)})


def _divides_by_zero(answer: Callable[..., Any]) -> bool:
    try:
        answer(*LIMIT_CASE)
    except ZeroDivisionError:
        return _gives(BATCH_CASES)(answer)
    return False


EXERCISES["cost-batch"] = Exercise(
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
            lambda answer: answer(100, 10, 20.0) is None,
            "100 → 10 never exceeds 2 · 1000 / (4 · 110) = 4.5 FLOP/byte, whatever the batch.",
        ),
        "None where the ridge is the limit itself": (
            lambda answer: answer(*LIMIT_CASE) is None,
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

# -- spot the bug: the intensity of one linear layer -----------------------------------------------

LAYERS = ((1, 784, 300), (64, 784, 300), (1000, 10, 10))  # batch, inputs, outputs


def _intensity(n: int, inputs: int, outputs: int, *, operations: int = 2, reads: int = 1) -> float:
    moved = reads * inputs * outputs + n * (inputs + outputs)
    return operations * n * inputs * outputs / (4 * moved)


def _is(formula: Callable[[int, int, int], float], *layers: tuple[int, int, int]) -> Test:
    def holds(answer: Any) -> bool:
        found = [answer(*one) for one in layers]
        if any(map(a_number, found)):
            raise WrongResultError("The function must return a number.")
        return all(map(math.isclose, found, [formula(*one) for one in layers]))

    return holds


EXERCISES["cost-bug"] = Exercise(
    kind=a_function("intensity(n, inputs, outputs)"),
    claims={
        "the intensity of one example": (
            _is(_intensity, LAYERS[0]),
            "For one example of 784 → 300, it is 470,400 operations over 945,136 bytes.",
        ),
        "the intensity of a batch": (
            _is(_intensity, *LAYERS[1:]),
            "How often are the weights read for 64 examples, and how often are the inputs?",
        ),
    },
    mistakes={
        "A MAC is two operations, a product and a sum.": _is(
            lambda n, i, o: _intensity(n, i, o, operations=1), *LAYERS
        ),
        "The weights are read once for the whole batch.": _is(
            lambda n, i, o: _intensity(n, i, o, reads=n), *LAYERS
        ),
    },
)

# -- transfer: 64 channels of 32 × 32, windows of 3 × 3, whole and separable: MACs, FLOP/byte ------

SEPARABLE = (37_748_736, 4_784_128, 75_497_472 / 671_744, 9_568_256 / 1_067_264)

_HINTS = {
    "MACs of the ordinary convolution": "There are 32 · 32 · 64 sums over 64 windows of 3 × 3.",
    "MACs of the pair": "With 64 groups a filter reads one channel; then windows are 1 × 1.",
    "FLOP/byte of the ordinary convolution": "Four bytes for each weight, input and output value.",
    "FLOP/byte of the pair": "Add the MACs of both layers, and their bytes, before you divide.",
}

EXERCISES["cost-separable"] = Exercise(
    kind=numbers(4),
    claims={
        claim: (at(place, SEPARABLE[place]), hint)
        for place, (claim, hint) in enumerate(_HINTS.items())
    },
    mistakes={
        "The values between the two layers are written by one and read by the other.": at(
            3, 9_568_256 / (4 * (4_672 + 2 * 65_536))
        ),
        "These are MACs for each byte; a MAC is two operations.": at(2, 56.2),
    },
)
