"""Exercises of chapter 04 on widths: rounding 62 bits exactly, and sums that must fit 16."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_function, a_number, as_number
from exercises.integer import as_integers

# -- to implement: the rounding shift ------------------------------------------------------------

Rounding = Callable[[Tensor, int, int], Any]
_NEAR_TIES = (1_227_133_513, -1_227_133_513, 1_332_920_885, -1_332_920_885)
"""Times the multipliers of _FINE they come within 2^−32 of a tie, too near for a float64."""
_ACCUMULATORS = (*range(-40, 41), -(2**31), 2**31 - 1, 1_234_567, -7_654_321, *_NEAR_TIES)


def _rounds_as(
    rule: Callable[[int, int, int], int], cases: tuple[tuple[int, int], ...]
) -> Callable[[Rounding], bool]:
    """Return the test whether an answer agrees with ``rule`` for each (m, t)."""

    def holds(answer: Rounding) -> bool:
        for m, t in cases:
            expected = torch.tensor([rule(a, m, t) for a in _ACCUMULATORS])
            if not torch.equal(
                as_integers(answer(torch.tensor(_ACCUMULATORS, dtype=torch.int64), m, t)), expected
            ):
                return False
        return True

    return holds


def _nearest(a: int, m: int, t: int) -> int:
    return round(Fraction(a * m, 2**t))


_NO_TIES = ((3 * 2**29 + 1, 41), (2**31 - 1, 35))
_TIES = ((2**30, 32), (2**30, 31), (3 * 2**29, 33))
_FINE = ((2_147_483_641, 32), (2_147_483_619, 32))

_RESCALE = Exercise(
    kind=a_function("rescale(r, m, t)"),
    claims=(
        Claim(
            "it rounds to the nearest integer",
            _rounds_as(_nearest, _NO_TIES),
            "Add half of 2^t before shifting, or compare the remainder with half of 2^t.",
        ),
        Claim(
            "ties go to the even neighbour",
            _rounds_as(_nearest, _TIES),
            "Where the remainder is just half of 2^t, go up only if the floor is odd.",
        ),
        Claim(
            "it is exact to the last of 62 bits",
            _rounds_as(_nearest, _FINE),
            "A float64 has 53 bits; stay with integers.",
        ),
    ),
    mistakes=(
        Mistake(
            "A shift alone is the floor: everything is rounded down.",
            _rounds_as(lambda a, m, t: a * m >> t, _NO_TIES + _TIES),
        ),
        Mistake(
            "You cut the fraction off, towards zero.",
            _rounds_as(lambda a, m, t: (abs(a * m) >> t) * (-1 if a < 0 else 1), _NO_TIES + _TIES),
        ),
        Mistake(
            "Ties go up with you: adding a half lifts all of them. Here they go to the even one.",
            _rounds_as(lambda a, m, t: (a * m + 2 ** (t - 1)) >> t, _NO_TIES + _TIES),
        ),
        Mistake(
            "Ties go away from zero with you; here they go to the even neighbour.",
            _rounds_as(
                lambda a, m, t: (abs(a * m) + 2 ** (t - 1) >> t) * (-1 if a < 0 else 1),
                _NO_TIES + _TIES,
            ),
        ),
        Mistake(
            "You rounded a float64: it has 53 bits, and m r up to 62. Stay with integers.",
            _rounds_as(lambda a, m, t: round(float(a) * m / 2**t), (*_NO_TIES, *_TIES, *_FINE)),
        ),
    ),
)

# -- to explore: activations that a 16-bit sum of two products can bear ---------------------------


def pair_fits(bits: int) -> bool:
    """Return whether 2 (2^b − 1) 127 ≤ 2^15 − 1: two products of b-bit codes fit 16 bits."""
    return bool(2 * (2**bits - 1) * 127 <= 2**15 - 1)


_PAIR = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the answer is a whole number of bits",
            lambda answer: as_number(answer).is_integer() and 1 <= as_number(answer) <= 16,
            "A code has a whole number of bits, from 1 to 16.",
        ),
        Claim(
            "no pair of products exceeds 16 bits",
            lambda answer: pair_fits(int(as_number(answer))),
            "The largest pair is 2 · (2^b − 1) · 127; the largest 16-bit number is 32,767.",
        ),
        Claim(
            "with one bit more, a pair can",
            lambda answer: not pair_fits(int(as_number(answer)) + 1),
            "Try one bit more.",
        ),
    ),
    mistakes=(
        Mistake("One product of 8-bit codes fits, but two are added.", lambda a: as_number(a) == 8),
    ),
)

EXERCISES = {
    "integer-rescale": _RESCALE,
    "integer-pair-bits": _PAIR,
}
