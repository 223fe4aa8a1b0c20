"""Exercises of chapter 02: codes by hand, an outlier, an inverse, stochastic rounding, days."""

from collections.abc import Callable
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from exercises.chapters.rounding_stochastic import STOCHASTIC
from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    as_numbers,
    at,
    called,
    near,
    normals,
    numbers,
)
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer

EXERCISES: dict[str, Exercise] = {"rounding-stochastic": STOCHASTIC}

# -- by hand: the codes of −1, −0.5, 0.7 and 1.4, 3 bits -------------------------------------------

EXERCISES["rounding-hand"] = Exercise(
    kind=numbers(4),
    claims={
        "the smallest value has code 0": (
            at(0, 0),
            "Subtract the smallest value first: then it sits at 0.",
        ),
        "the largest value has the largest code of 3 bits": (
            at(3, 7),
            "Three bits count from 0 to 7.",
        ),
        "all four codes are right": (
            near([0, 1, 5, 7]),
            "Divide (x − min) by the step 2.4 / 7 ≈ 0.343, then round to the nearest integer.",
        ),
    },
    mistakes={
        "You divided the range into 2^b steps: 2^b codes have only 2^b − 1 steps between "
        "them.": near([0, 2, 6, 8]),
        "You did not subtract the minimum before dividing.": near([-3, -1, 2, 4]),
        "You cut the fraction off: round to the nearest integer.": near([0, 1, 4, 7]),
        "You used b steps, or 2 bits: 3 bits have 2³ − 1 = 7.": near([0, 1, 2, 3]),
    },
)

# -- implement: the inverse ------------------------------------------------------------------------

_GRIDS = ((-1.0, 1.4, 3), (0.0, 1.0, 8), (2.6, 7.4, 4), (-2.0, 3.0, 10))
"""Low, high and bits. No value but an end is half-way between integers: some round the values."""


def _all_codes() -> list[Case]:
    return [(torch.arange(2**bits, dtype=torch.int32), *ends, bits) for *ends, bits in _GRIDS]


def _ends(place: int) -> list[Case]:
    return [(codes[[place]].long(), *grid) for codes, *grid in _all_codes()[:3]]


_spaced = partial(agrees, cases=_all_codes, share=0, within=1e-5)


def _inverse(q: Tensor, low: float, high: float, bits: int) -> Tensor:
    return low + (high - low) / ((1 << bits) - 1) * q.double()


EXERCISES["rounding-inverse"] = Exercise(
    kind=a_function("inverse(codes, low, high, bits)"),
    claims={
        "code 0 comes back as the minimum": (
            _spaced(_inverse, cases=lambda: _ends(0)),
            "Code 0 stands for min: min + s · 0.",
        ),
        "the largest code comes back as the maximum": (
            _spaced(_inverse, cases=lambda: _ends(-1)),
            "The largest code 2^b − 1 stands for max.",
        ),
        "codes in between are evenly spaced, at every width": (
            _spaced(_inverse),
            "A code is one step of (max − min)/(2^b − 1); a code of more than 8 bits needs int16.",
        ),
        "codes in a uint8, with integers for min and max, come back right": (
            _spaced(_inverse, cases=lambda: [(torch.tensor([0, 100, 255]).byte(), -1, 3, 8)]),
            "uint8 arithmetic wraps around at 256: convert the codes to float before multiplying.",
        ),
        "the result has the shape of the codes": (
            lambda f: called(f, (torch.arange(6).view(2, 3), 0.0, 7.0, 3)).shape == (2, 3),
            "Give back one value for each code, in the same shape.",
        ),
    },
    mistakes={
        "You left the minimum out: s q starts at 0.": _spaced(
            lambda q, low, high, bits: (high - low) / (2**bits - 1) * q
        ),
        "Your step is (max − min)/2^b: 2^b codes have 2^b − 1 steps between them.": _spaced(
            lambda q, low, high, bits: low + (high - low) / 2**bits * q
        ),
    },
)

# -- to predict: bits for a wanted SQNR ------------------------------------------------------------


def outlier_signal() -> Float[Tensor, "10001"]:
    """Return the exercise's signal: 10,000 standard normal numbers, then one outlier of 50."""
    return torch.cat([*normals(2, (10_000,)), torch.tensor([50.0])])


@cache
def _bits(last: int | None = None) -> int:
    x = outlier_signal()[:last]
    return next(b for b in range(1, 17) if sqnr(x, min_max_quantizer(x, b).round_trip(x)) >= 40)


def _first(test: Callable[[float], bool]) -> Test:
    return lambda answer: test(float(as_numbers(answer)[0]))


EXERCISES["rounding-outlier"] = Exercise(
    kind=numbers(2),
    claims={
        "the answer is a whole number of bits": (
            _first(lambda b: b.is_integer() and 1 <= b <= 16),
            "A code has a whole number of bits, from 1 to 16.",
        ),
        "this many bits reach 40 dB": (
            _first(lambda b: _bits() <= b <= 16),
            "Measure again: with that few bits the SQNR stays below 40 dB.",
        ),
        "one bit fewer does not": (
            _first(lambda b: b - 1 < _bits()),
            "Fewer bits reach 40 dB too: try one less.",
        ),
        "the bits due to the outlier are right": (
            at(1, lambda: _bits() - _bits(-1)),
            "Measure the signal without its last number too, and subtract.",
        ),
    },
    mistakes={
        "That is 40/6.02 rounded up: the rule of thumb holds for a uniform signal only.": at(0, 7),
        "That is the answer without the outlier: append it before you take min and max.": at(
            0, lambda: _bits(-1)
        ),
        "You gave the bits without the outlier; give how many more it causes.": at(
            1, lambda: _bits(-1)
        ),
    },
)

# -- transfer: a thermometer -----------------------------------------------------------------------

CODES = 1440 * 7 / 8  #: bytes of the codes of a day: 120 steps of 0.1 °C need 7 bits

EXERCISES["rounding-thermometer"] = Exercise(
    kind=numbers(3),
    claims={
        "the bits for a year are right": (
            at(0, 10),
            "Half a step may be 0.05 °C: how many steps have 65 °C, and how many bits count them?",
        ),
        "the bits for a day are right": (at(1, 7), "The same with 12 °C instead of 65."),
        "the bytes of a day are right": (
            at(2, CODES + 8),
            "1,440 codes of the bits of a day; the minimum and the step need 4 bytes each.",
        ),
    },
    mistakes={
        "0.05 °C is half a step, not a step.": near([11, 8]),
        "You left out the minimum and the step of the day.": at(2, CODES),
        "You counted bits, not bytes.": at(2, 8 * (CODES + 8)),
        "A code needs no whole byte: 7 bits can be packed without gaps.": at(2, 1440 + 8),
        "You took the bits of a year for a day.": at(2, 1440 * 10 / 8 + 8),
    },
)
