"""Exercises of chapter 02, min–max rounding."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reference_impl.exercises.framework import (
    Claim,
    Exercise,
    Mistake,
    a_function,
    a_number,
    numbers,
)
from reference_impl.measuring.error import sqnr
from reference_impl.quantization.rounding import MAX_BITS, min_max_quantizer

# -- by hand: the codes of four numbers --------------------------------------------------------

_VALUES = torch.tensor([-1.0, -0.2, 0.6, 1.4])
_BITS = 3


def _equals(expected: list[int]) -> Callable[[Any], bool]:
    """Return the test whether an answer is exactly this list of numbers."""
    wanted = torch.tensor(expected, dtype=torch.float64)
    return lambda answer: torch.equal(
        torch.as_tensor(answer, dtype=torch.float64).flatten(), wanted
    )


def _codes_of_the_values(answer: Any) -> bool:
    codes = min_max_quantizer(_VALUES, _BITS).quantize(_VALUES)
    return _equals(codes.tolist())(answer)


_BY_HAND = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "the smallest value has code 0",
            lambda answer: float(answer[0]) == 0,
            "Subtract the smallest value first: then it sits at 0.",
        ),
        Claim(
            "the largest value has the largest code of 3 bits",
            lambda answer: float(answer[3]) == 2**_BITS - 1,
            "Three bits count from 0 to 7.",
        ),
        Claim(
            "all four codes are right",
            _codes_of_the_values,
            "Divide (x − min) by the step 2.4 / 7 ≈ 0.343, then round to the nearest integer.",
        ),
    ),
    mistakes=(
        Mistake(
            "You divided the range into 2^b steps: 2^b codes have only 2^b − 1 steps between them.",
            _equals([0, 3, 5, 8]),
        ),
        Mistake("You did not subtract the minimum before dividing.", _equals([-3, -1, 2, 4])),
        Mistake("You cut the fraction off: round to the nearest integer.", _equals([0, 2, 4, 7])),
        Mistake("You used b steps, or 2 bits: 3 bits have 2³ − 1 = 7.", _equals([0, 1, 2, 3])),
    ),
)

# -- to implement: the inverse -----------------------------------------------------------------

Inverse = Callable[[Tensor, float, float, int], Tensor]
_GRIDS = ((-1.0, 1.4, 3), (0.0, 1.0, 8), (2.5, 7.5, 4))


def _value_of(answer: Inverse, code: int, low: float, high: float, bits: int) -> float:
    """Return the value that an answer gives to one code."""
    return float(torch.as_tensor(answer(torch.tensor([code]), low, high, bits)).item())


def _inverse_equals(formula: Inverse) -> Callable[[Inverse], bool]:
    """Return the test whether an answer agrees with ``formula`` on every code of three grids."""

    def holds(answer: Inverse) -> bool:
        for low, high, bits in _GRIDS:
            codes = torch.arange(2**bits, dtype=torch.int32)
            found = torch.as_tensor(answer(codes, low, high, bits), dtype=torch.float32)
            if not torch.allclose(found, formula(codes, low, high, bits), rtol=0, atol=1e-5):
                return False
        return True

    return holds


def _inverse_error(answer: Inverse) -> float:
    """Return the largest |x − x̂| / s over random values, with the codes held in 8 bits."""
    x = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    quantizer = min_max_quantizer(x, 8)
    codes = quantizer.quantize(x).to(torch.uint8)
    found = torch.as_tensor(answer(codes, quantizer.low, quantizer.high, 8), dtype=torch.float32)
    return float((found - x).abs().max()) / quantizer.step


_INVERSE = Exercise(
    kind=a_function("inverse(codes, low, high, bits)"),
    claims=(
        Claim(
            "code 0 comes back as the minimum",
            lambda f: all(
                abs(_value_of(f, 0, low, high, bits) - low) < 1e-6 for low, high, bits in _GRIDS
            ),
            "Code 0 stands for min: add it.",
        ),
        Claim(
            "the largest code comes back as the maximum",
            lambda f: all(
                abs(_value_of(f, 2**bits - 1, low, high, bits) - high) < 1e-5
                for low, high, bits in _GRIDS
            ),
            "The largest code 2^b − 1 stands for max.",
        ),
        Claim(
            "codes in between are evenly spaced",
            _inverse_equals(lambda q, low, high, bits: low + (high - low) / (2**bits - 1) * q),
            "Between min and max the values grow by one step s = (max − min)/(2^b − 1) a code.",
        ),
        Claim(
            "8-bit codes in a uint8 tensor come back within half a step",
            lambda f: _inverse_error(f) <= 0.5 + 1e-3,
            "uint8 arithmetic wraps around at 256: convert the codes to float first.",
        ),
    ),
    mistakes=(
        Mistake(
            "You left the minimum out: s q starts at 0.",
            _inverse_equals(lambda q, low, high, bits: (high - low) / (2**bits - 1) * q),
        ),
        Mistake(
            "Your step is (max − min)/2^b: 2^b codes have 2^b − 1 steps between them.",
            _inverse_equals(lambda q, low, high, bits: low + (high - low) / 2**bits * q),
        ),
        Mistake(
            "You put each value at the middle of its cell; rounding puts it at min + s q.",
            _inverse_equals(
                lambda q, low, high, bits: low + (high - low) / (2**bits - 1) * (q + 0.5)
            ),
        ),
        Mistake(
            "You used max as the step's numerator: the range is max − min.",
            _inverse_equals(lambda q, low, high, bits: low + high / (2**bits - 1) * q),
        ),
    ),
)

# -- to implement: stochastic rounding ---------------------------------------------------------

Rounder = Callable[[Tensor, torch.Generator], Tensor]
_DRAWS = 20_000


def _mean_at(answer: Rounder, value: float) -> float:
    """Return the mean of many roundings of one value."""
    rounded = answer(torch.full((_DRAWS,), value), torch.Generator().manual_seed(7))
    return float(rounded.double().mean())


def _means_are(expected: Callable[[float], float]) -> Callable[[Rounder], bool]:
    """Return the test whether E[round(x)] is ``expected(x)`` within 5 standard errors."""
    tolerance = 5 * 0.5 / _DRAWS**0.5
    values = (0.1, 0.25, 0.9, -0.3, 3.7)
    return lambda answer: all(
        abs(_mean_at(answer, value) - expected(value)) < tolerance for value in values
    )


def _keeps_integers(answer: Rounder) -> bool:
    integers = torch.cat([torch.arange(-50, 300), torch.arange(100_000, 105_000)]).float()
    return torch.equal(answer(integers.clone(), torch.Generator().manual_seed(3)), integers)


def _gives_neighbours(answer: Rounder) -> bool:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(1)) * 5
    rounded = answer(x.clone(), torch.Generator().manual_seed(2))
    return bool(((rounded == x.floor()) | (rounded == x.ceil())).all())


def _draws_each_alone(answer: Rounder) -> bool:
    rounded = answer(torch.full((1000,), 0.5), torch.Generator().manual_seed(4))
    return 0 < int(rounded.sum()) < 1000


_STOCHASTIC = Exercise(
    kind=a_function("stochastic(x, generator)"),
    claims=(
        Claim(
            "every result is a neighbouring integer",
            _gives_neighbours,
            "The result must be ⌊x⌋ or ⌊x⌋ + 1, nothing else.",
        ),
        Claim(
            "integers stay as they are",
            _keeps_integers,
            "An integer must never move, and ⌊x + u⌋ moves a large one: in float32 the sum x + u "
            "is rounded itself, up to the next integer if u is close to 1.",
        ),
        Claim(
            "each element has a draw of its own",
            _draws_each_alone,
            "All elements moved together: draw one random number for each of them.",
        ),
        Claim(
            "the mean over many draws is x",
            _means_are(lambda value: value),
            "Go up with probability x − ⌊x⌋.",
        ),
    ),
    mistakes=(
        Mistake("This always rounds to the nearest: nothing is random.", _means_are(round)),
        Mistake(
            "This always rounds down: the random number never decides.",
            _means_are(lambda value: value // 1),
        ),
        Mistake(
            "Up and down are swapped: go up with probability x − ⌊x⌋, not 1 − (x − ⌊x⌋).",
            _means_are(lambda value: 2 * (value // 1) + 1 - value),
        ),
        Mistake(
            "You toss a fair coin: the nearer integer must be the likelier.",
            _means_are(lambda value: value // 1 + 0.5),
        ),
    ),
)

# -- to explore: bits for a wanted SQNR --------------------------------------------------------


def bits_for(x: Tensor, decibels: float) -> int:
    """Return the fewest bits at which min–max rounding of ``x`` reaches this SQNR.

    Raises:
        ValueError: if 16 bits do not reach it.
    """
    for bits in range(1, MAX_BITS + 1):
        if sqnr(x, min_max_quantizer(x, bits).round_trip(x)) >= decibels:
            return bits
    raise ValueError(f"decibels must be reached with {MAX_BITS} bits, got {decibels}")


def outlier_signal() -> Tensor:
    """Return the exercise's signal: 10,000 standard normal numbers, then one outlier of 50."""
    x = torch.randn(10_000, generator=torch.Generator().manual_seed(2))
    return torch.cat([x, torch.tensor([50.0])])


_EXPLORE = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the answer is a whole number of bits",
            lambda answer: float(answer) == int(answer) and 1 <= int(answer) <= MAX_BITS,
            "A code has a whole number of bits, from 1 to 16.",
        ),
        Claim(
            "this many bits reach 40 dB",
            lambda answer: int(answer) >= bits_for(outlier_signal(), 40),
            "Measure again: with that few bits the SQNR stays below 40 dB.",
        ),
        Claim(
            "one bit fewer does not",
            lambda answer: int(answer) <= bits_for(outlier_signal(), 40),
            "Fewer bits reach 40 dB too: try one less.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is 40/6.02 rounded up: the rule of thumb holds for a uniform signal only.",
            lambda answer: int(answer) == 7,
        ),
        Mistake(
            "That is the answer without the outlier: append it before you take min and max.",
            lambda answer: int(answer) == bits_for(outlier_signal()[:-1], 40),
        ),
    ),
)

EXERCISES = {
    "min-max-codes": _BY_HAND,
    "min-max-inverse": _INVERSE,
    "stochastic-rounding": _STOCHASTIC,
    "outlier-bits": _EXPLORE,
}
