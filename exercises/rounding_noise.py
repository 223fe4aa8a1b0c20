"""Exercises of chapter 02 on what rounding loses: stochastic rounding, an outlier's price."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_function, a_number, a_tensor, as_number
from reference_impl.checks import require_float_tensor, require_real
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer
from reference_impl.quantization.min_max import MAX_BITS

# -- to implement: stochastic rounding ---------------------------------------------------------

Rounder = Callable[[Tensor, torch.Generator], Tensor]
_DRAWS = 20_000


def _mean_at(answer: Rounder, value: float) -> float:
    """Return the mean of many roundings of one value."""
    rounded = a_tensor(answer(torch.full((_DRAWS,), value), torch.Generator().manual_seed(7)))
    return float(rounded.double().mean())


def _means_are(expected: Callable[[float], float]) -> Callable[[Rounder], bool]:
    """Return the test whether E[round(x)] is ``expected(x)`` within 5 standard errors."""
    tolerance = 5 * 0.5 / _DRAWS**0.5
    values = (0.1, 0.25, 0.9, -0.3, 3.7)
    return lambda answer: all(
        abs(_mean_at(answer, value) - expected(value)) < tolerance for value in values
    )


def _keeps_integers(answer: Rounder) -> bool:
    """Return whether integers stay, large ones and those whose random number is 0 too."""
    integers = torch.cat([torch.arange(-50, 300), torch.arange(100_000, 105_000)]).float()
    rounded = a_tensor(answer(integers.clone(), torch.Generator().manual_seed(3)))
    if not torch.equal(rounded, integers):
        return False
    with patch.object(torch, "rand", _zeros):
        return torch.equal(a_tensor(answer(integers.clone(), torch.Generator())), integers)


def _zeros(*size: Any, **options: Any) -> Tensor:
    """Stand in for ``torch.rand`` when every draw is 0, which happens once in 2²⁴."""
    given = size or (options["size"],)
    shape = given if isinstance(given[0], int) else given[0]
    kept = {name: options[name] for name in ("dtype", "out") if name in options}
    return torch.zeros(shape, **kept)


def _gives_neighbours(answer: Rounder) -> bool:
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(1)) * 5
    rounded = a_tensor(answer(x.clone(), torch.Generator().manual_seed(2)))
    if rounded.shape != x.shape:
        return False
    return bool(((rounded == x.floor()) | (rounded == x.ceil())).all())


def _leaves_x(answer: Rounder) -> bool:
    x = torch.full((100,), 0.5)
    answer(x, torch.Generator().manual_seed(2))
    return torch.equal(x, torch.full((100,), 0.5))


def _rounded(answer: Rounder, generator: torch.Generator) -> Tensor:
    """Return the roundings of 0.01, 0.02, … 0.99."""
    return a_tensor(answer(torch.linspace(0.01, 0.99, 99), generator)).clone()


def _varies(answer: Rounder) -> bool:
    """Return whether seeds, and calls on one generator, give different results."""
    generator = torch.Generator().manual_seed(7)
    first, second = _rounded(answer, generator), _rounded(answer, generator)
    other = _rounded(answer, torch.Generator().manual_seed(5))
    return not torch.equal(first, second) and not torch.equal(first, other)


def _repeats(answer: Rounder) -> bool:
    """Return whether one seed gives one result, whatever was drawn from elsewhere between."""
    first = _rounded(answer, torch.Generator().manual_seed(4))
    return torch.equal(first, _rounded(answer, torch.Generator().manual_seed(4)))


def _draws_each_alone(answer: Rounder) -> bool:
    """Return whether elements agree about half of the time, at whatever distance they lie."""
    halves = torch.full((32, 32), 0.5)
    rounded = a_tensor(answer(halves, torch.Generator().manual_seed(4))).flatten()
    count = halves.numel()
    if rounded.numel() != count:
        return False
    agreeing = (
        float((rounded[away:] == rounded[:-away]).double().mean())
        for away in range(1, count // 2 + 1)
    )
    tolerance = 6 * 0.5 / (count / 2) ** 0.5
    return all(abs(share - 0.5) < tolerance for share in agreeing)


_STOCHASTIC = Exercise(
    kind=a_function("stochastic(x, generator)"),
    claims=(
        Claim(
            "every result is a neighbouring integer",
            _gives_neighbours,
            "The result must be ⌊x⌋ or ⌊x⌋ + 1, nothing else, in the shape of x.",
        ),
        Claim(
            "integers stay as they are",
            _keeps_integers,
            "An integer must never move. ⌊x + r⌋ moves a large one, because float32 rounds the sum "
            "up to the next integer if r is close to 1; and r <= x − ⌊x⌋ moves one if r is 0.",
        ),
        Claim("x is left as it was", _leaves_x, "You changed x itself: work on a new tensor."),
        Claim(
            "the same seed gives the same result",
            _repeats,
            "Draw from the generator that is given: generator=generator.",
        ),
        Claim(
            "another seed, or a second call, gives another result",
            _varies,
            "Nothing random comes from the generator: draw from it, and do not seed it yourself.",
        ),
        Claim(
            "each element has a draw of its own",
            _draws_each_alone,
            "Elements moved together: draw one random number for each of them.",
        ),
        Claim(
            "the mean over many draws is x",
            _means_are(lambda value: value),
            "Go up with probability x − ⌊x⌋.",
        ),
    ),
    mistakes=(
        Mistake(
            "This always rounds to the nearest: nothing is random.",
            lambda answer: not _varies(answer) and _means_are(round)(answer),
        ),
        Mistake(
            "This always rounds down: the random number never decides.",
            lambda answer: not _varies(answer) and _means_are(lambda value: value // 1)(answer),
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
        TypeError: if ``x`` is no floating-point tensor or ``decibels`` no real number.
        ValueError: if ``x`` is empty or not finite, or 16 bits do not reach ``decibels``.
    """
    require_float_tensor("x", x)
    require_real("decibels", decibels)
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
            lambda answer: as_number(answer).is_integer() and 1 <= as_number(answer) <= MAX_BITS,
            "A code has a whole number of bits, from 1 to 16.",
        ),
        Claim(
            "this many bits reach 40 dB",
            lambda answer: bits_for(outlier_signal(), 40) <= as_number(answer) <= MAX_BITS,
            "Measure again: with that few bits the SQNR stays below 40 dB.",
        ),
        Claim(
            "one bit fewer does not",
            lambda answer: as_number(answer) - 1 < bits_for(outlier_signal(), 40),
            "Fewer bits reach 40 dB too: try one less.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is 40/6.02 rounded up: the rule of thumb holds for a uniform signal only.",
            lambda answer: as_number(answer) == 7,
        ),
        Mistake(
            "That is the answer without the outlier: append it before you take min and max.",
            lambda answer: as_number(answer) == bits_for(outlier_signal()[:-1], 40),
        ),
    ),
)

EXERCISES = {
    "stochastic-rounding": _STOCHASTIC,
    "outlier-bits": _EXPLORE,
}
