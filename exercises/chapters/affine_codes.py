"""Exercises of chapter 03: codes by hand, a quantizer with two bugs, an activation below zero."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Exercise,
    Test,
    WrongResultError,
    a_function,
    as_numbers,
    at,
    either,
    leaves,
    near,
    numbers,
    shaped_as,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: low −1, high 2.2, 4 bits; the codes of 0, 0.36 and 3 ---------------------------------

EXERCISES["affine-hand"] = Exercise(
    kind=numbers(5),
    claims={
        "the scale divides the range into 15 steps": (
            at(0, 3.2 / 15),
            "s = (2.2 − (−1.0)) / (q_max − q_min), to three decimals.",
        ),
        "the zero point is right": (
            at(1, 5),
            "z = q_min − round(low / s): low / s lies between −5 and −4; round it to the nearest.",
        ),
        "zero has the zero point as its code": (
            lambda answer: bool(as_numbers(answer)[2] == as_numbers(answer)[1]),
            "q = round(0 / s) + z = z.",
        ),
        "the code of 0.36 is right": (
            at(3, 7),
            "Round 0.36 / s first, then add z.",
        ),
        "the value outside the range is clipped": (at(4, 15), "Four bits end at the code 15."),
    },
    mistakes={
        "You divided by 2^b: 16 codes have 15 steps between them.": at(0, 0.2),
        "You left the lower end out of the width.": at(0, 2.2 / 15),
        "The zero point has the wrong sign: it is q_min − round(low / s).": at(1, -5),
        "The zero point must be a code, hence a whole number.": at(1, 4.6875),
        "You cut the fraction of the zero point off: round it.": at(1, 4),
        "You rounded (x − low) / s, the formula of chapter 02: here x / s is rounded, and z, "
        "a whole number, is added.": at(3, 6),
        "You did not clip: 4 bits have no code above 15.": at(4, 19),
    },
)

# -- spot the bug: scale, zero point and codes -----------------------------------------------------

SLACK = 1e-4
"""What float32 may add to half a step."""


def _signals() -> tuple[Tensor, Tensor, Tensor]:
    """Return values on both sides of zero, values above it and values below it."""
    steps = torch.linspace(0, 1, 50)
    return 3.1 * steps - 1.2, 3.3 * steps + 1.2, 2.4 * steps - 5


def _quantized(answer: Callable[..., Any], x: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes, scale and zero point as float64."""
    result = answer(x.clone(), bits)
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise WrongResultError("The function must return codes, scale and zero point.")
    codes, scale, zero = (torch.as_tensor(part).double() for part in result)
    if scale.numel() != 1 or zero.numel() != 1:
        raise WrongResultError("Scale and zero point must be one number each.")
    return shaped_as(x, "x", codes), scale.flatten(), zero.flatten()


def _all_cases(test: Callable[..., bool]) -> Test:
    """Return the test of (x, bits, codes, scale, zero point) on all signals, at 2, 4 and 8 bits."""

    def cases(answer: Callable[..., Any]) -> Iterator[bool]:
        for x in _signals():
            for bits in (2, 4, 8):
                yield test(x.double(), bits, *_quantized(answer, x, bits))

    return lambda answer: all(cases(answer))


def _on_grid(q: Tensor, bits: int) -> bool:
    return bool(((q == q.round()) & (q >= 0) & (q < 2**bits)).all())


def _stretched(x: Tensor, bits: int) -> float:
    """Return the scale of the range of x, stretched to zero."""
    width = max(float(x.max()), 0.0) - min(float(x.min()), 0.0)
    return float(width / (2**bits - 1))


def _own(x: Tensor, bits: int) -> float:
    """Return the scale of the range of x as it is."""
    return float((x.max() - x.min()) / (2**bits - 1))


def _on(place: int, test: Callable[..., bool], bits: int = 4) -> Test:
    """Return the test of an answer on one of the signals."""

    def holds(answer: Callable[..., Any]) -> bool:
        x = _signals()[place]
        return test(x.double(), *_quantized(answer, x, bits))

    return holds


def _scale_is(rule: Callable[[Tensor, int], float]) -> Callable[..., bool]:
    return lambda x, _, scale, __: math.isclose(scale.item(), rule(x, 4), rel_tol=1e-4)


EXERCISES["affine-bug"] = Exercise(
    kind=a_function("affine(x, bits)"),
    claims={
        "the codes fit into the bits": (
            _all_cases(lambda _, bits, codes, *__: _on_grid(codes, bits)),
            "Codes are whole numbers from 0 to 2^b − 1: clip them last.",
        ),
        "the zero point is one of the codes": (
            _all_cases(lambda _, bits, __, ___, zero: _on_grid(zero, bits)),
            "Zero needs a code, also where all values are above zero, or all below.",
        ),
        "no value moves by more than half a step": (
            _all_cases(
                lambda x, _, codes, scale, zero: bool(
                    ((scale * (codes - zero) - x).abs() <= scale * (0.5 + SLACK)).all()
                )
            ),
            "Compare s (q − z) with x, for values on both sides of zero.",
        ),
        "the scale is that of the range with zero in it": (
            _all_cases(
                lambda x, bits, _, scale, __: math.isclose(
                    scale.item(), _stretched(x, bits), rel_tol=1e-4
                )
            ),
            "s = (high − low) / (2^b − 1), with low ≤ 0 ≤ high.",
        ),
        "x is left as it was": (
            leaves(lambda: (_signals()[0], 4)),
            "Work on a copy of x.",
        ),
    },
    mistakes={
        "You clip before the zero point is added: all values below zero are lost.": _on(
            0, lambda x, codes, _, zero: bool((codes[x < 0] == zero).all())
        ),
        "You divided by 2^b: 2^b codes have 2^b − 1 steps between them.": _on(
            0, _scale_is(lambda x, bits: _stretched(x, bits) * (2**bits - 1) / 2**bits)
        ),
        "The range must contain zero: stretch it first.": _on(
            1, lambda _, __, ___, zero: not _on_grid(zero, 4)
        ),
        "Moving the zero point onto the grid is not enough: the range must be stretched.": _on(
            1, _scale_is(_own)
        ),
        "You stretched the range at the lower end only: all values may be below zero.": _on(
            2, _scale_is(_own)
        ),
        "You cut the fraction of the zero point off: round it.": _on(
            0,
            lambda x, _, scale, zero: bool(
                zero == torch.floor(-x.min() / scale) != torch.round(-x.min() / scale)
            ),
            bits=8,
        ),
    },
)

# -- transfer: an activation that is a little below zero -------------------------------------------

LOWEST, HIGHEST = 0.278, 6.0  #: how far an output is below zero, and above it
STEPS = [(LOWEST + HIGHEST) / 255, HIGHEST / 127, HIGHEST / 255]
SWISH = [
    20 * math.log10(STEPS[1] / STEPS[0]),
    round(LOWEST / STEPS[0]),
    LOWEST / STEPS[2],
]

EXERCISES["affine-swish"] = Exercise(
    kind=numbers(3),
    claims={
        "the gain in decibels is right": (
            at(0, SWISH[0]),
            "The noise is proportional to s²: what are the two steps?",
        ),
        "the number of codes is right": (
            at(1, SWISH[1]),
            "The codes below the zero point stand for negative numbers.",
        ),
        "the largest error is right": (
            at(2, SWISH[2]),
            "An output of −0.278 is clipped to 0; divide this error by the step.",
        ),
    },
    mistakes={
        "6.1 dB is the gain for outputs that are never negative.": either(at(0, 6.02), at(0, 6.05)),
        "Use 20 log10 of the ratio of the steps, or 10 log10 of its square.": at(0, SWISH[0] / 2),
        "The gain is positive: the asymmetric grid has the smaller step.": at(0, -SWISH[0]),
        "A narrow grid of 8 bits has q_max = 127.": near([5.59]),
        "Zero's own code does not stand for a negative number.": at(1, 12),
        "The bound of half a step holds inside the range only.": at(2, 0.5),
        "The range of the third question is [0, 6]: its step is 6/255.": at(2, LOWEST / STEPS[0]),
    },
)
