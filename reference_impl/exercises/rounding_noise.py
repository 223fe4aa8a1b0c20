"""Exercises of chapter 02 on what rounding loses: stochastic rounding, an outlier's price."""

from collections.abc import Callable

import torch
from torch import Tensor

from reference_impl.exercises.framework import Claim, Exercise, Mistake, a_function, a_number
from reference_impl.measuring.error import sqnr
from reference_impl.quantization.rounding import MAX_BITS, min_max_quantizer

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
    "stochastic-rounding": _STOCHASTIC,
    "outlier-bits": _EXPLORE,
}
