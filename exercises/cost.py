"""Exercises of chapter 01, The cost of a model: to count and to explore."""

import math
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, as_numbers, numbers
from reference_impl.checks import require_int

#: The article's teacher on a colour image of 16 × 16: MACs of conv1, conv2, fc1, fc2.
ARTICLE_LAYERS = ("conv1", "conv2", "fc1", "fc2")
ARTICLE_MACS = (16**2 * 64 * 3 * 9, 16**2 * 128 * 64 * 9, 128 * 8 * 8 * 1000, 1000 * 10)
ARTICLE_OUTPUTS = (16**2 * 64, 16**2 * 128, 1000, 10)
ARTICLE_PARAMETERS = (64 * 28, 128 * 577, 8193 * 1000, 1001 * 10)


def _convolutions(first: int, second: int) -> tuple[int, ...]:
    """Return the article's four counts with others for conv1 and conv2."""
    return (first, second, *ARTICLE_MACS[2:])


def _image(size: int) -> tuple[int, ...]:
    return _convolutions(size**2 * 64 * 3 * 9, size**2 * 128 * 64 * 9)


ARTICLE_MISTAKES = {
    "These are the weights. A convolution uses each of its weights once per output position.": (
        _convolutions(64 * 3 * 9, 128 * 64 * 9)
    ),
    "These are the parameters, biases included: a MAC is a product, and a convolution uses each "
    "weight once per output position.": ARTICLE_PARAMETERS,
    "These are operations: a MAC is one product and one sum, counted as one.": tuple(
        2 * macs for macs in ARTICLE_MACS
    ),
    "The input channels are missing: each output value sums over all of them.": (
        _convolutions(16**2 * 64 * 9, 16**2 * 128 * 9)
    ),
    "The image has three channels: each filter of conv1 sees all of them.": (
        _convolutions(16**2 * 64 * 9, ARTICLE_MACS[1])
    ),
    "The pooling comes after conv2: its output is still 16 × 16.": (
        _convolutions(ARTICLE_MACS[0], 8**2 * 128 * 64 * 9)
    ),
    "The padding is missing: with one pixel on each side, 16 × 16 stays 16 × 16.": (
        _convolutions(14**2 * 64 * 3 * 9, 12**2 * 128 * 64 * 9)
    ),
    "17 × 17 fits too, as the pooling rounds down; the smallest size is asked for.": _image(17),
    "This is an image of 28 × 28, like ours; after one pooling it would not fit fc1.": _image(28),
    "This is an image of 32 × 32; after one pooling it would not fit fc1, 128 · 8 · 8.": _image(32),
    "The biases are counted too: adding one is not a multiply–accumulate.": tuple(
        macs + outputs for macs, outputs in zip(ARTICLE_MACS, ARTICLE_OUTPUTS, strict=True)
    ),
}

LENET300_MACS = 266_200
LENET300_PARAMETER_BYTES = 4 * 266_610
LENET300_ACTIVATION_BYTES = 4 * (784 + 300 + 300 + 100 + 100 + 10)
LENET300_LIMIT = 2 * LENET300_MACS / LENET300_ACTIVATION_BYTES
LENET300_BATCH = 1506  # the first n with n A / (P + n A) ≥ 0.9: P parameter, A activation bytes


def lenet300_intensity(batch: int) -> float:
    """Return 2 n MACs / (P + n A) in FLOP/byte, for a batch of n.

    Raises:
        TypeError: if ``batch`` is no integer.
        ValueError: if it is less than 1.
    """
    require_int("batch", batch, 1)
    moved = LENET300_PARAMETER_BYTES + batch * LENET300_ACTIVATION_BYTES
    return 2 * batch * LENET300_MACS / moved


LIMIT_MISTAKES = {
    "This is half the limit: a MAC is two operations.": LENET300_LIMIT / 2,
    "This is operations per value; a float32 has four bytes.": 4 * LENET300_LIMIT,
    "The hidden values are counted once: one layer writes them, the next one reads them.": (
        2 * LENET300_MACS / (4 * (784 + 300 + 100 + 10))
    ),
    "This is the intensity at batch 64; let the batch grow until it stands still.": (
        lenet300_intensity(64)
    ),
    "This is the intensity at batch 1000, which still grows: it is not the limit.": (
        lenet300_intensity(1000)
    ),
}


def _exactly(answer: Any, expected: tuple[int, ...]) -> bool:
    return tuple(as_numbers(answer).tolist()) == expected


def _entry(answer: Any, index: int) -> float:
    return float(as_numbers(answer)[index])


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


def _first_for(answer: Any) -> bool:
    """Return whether the batch is the first with 90 % of the limit, or of the one submitted."""
    batch, target = _entry(answer, 1), 0.9 * _entry(answer, 0)
    if batch == LENET300_BATCH:
        return True
    whole = batch == int(batch) and batch > 1
    return (
        whole
        and _near(_entry(answer, 0), LENET300_LIMIT)
        and lenet300_intensity(int(batch)) >= target > lenet300_intensity(int(batch) - 1)
    )


EXERCISES = {
    "cost-article-macs": Exercise(
        kind=numbers(4),
        claims=tuple(_layer_claim(index) for index in range(len(ARTICLE_LAYERS))),
        mistakes=tuple(_list_mistake(text, wrong) for text, wrong in ARTICLE_MISTAKES.items()),
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
                _first_for,
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
