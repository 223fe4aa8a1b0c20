"""Exercises of chapter 04: a layer by hand, 16-bit sums, a product, exact rounding, leaky ReLU."""

from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
    agrees,
    at,
    either,
    leaves,
    near,
    numbers,
    value,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: codes (3, 0, 7) with z_a = 2, weights (2, −1, 4), bias 12, M = 0.35, z_y = 5 ---------

EXERCISES["integer-hand"] = Exercise(
    kind=numbers(3),
    claims={
        "the accumulator is right": (
            at(0, 36),
            "Subtract z_a from each code of the input, multiply, add up, then add the bias.",
        ),
        "M = 2^−shift M_0 with ½ ≤ M_0 < 1": (
            at(1, 1),
            "Double M until it lies between ½ and 1; the shift counts how often.",
        ),
        "the code is right": (
            at(2, 18),
            "Multiply the accumulator by M, round to the nearest, then add z_y.",
        ),
    },
    mistakes={
        "You left the zero point of the input out.": at(0, 46),
        "You added z_a; it has to be subtracted.": at(0, 56),
        "You left the bias out.": at(0, 24),
        "You left out the zero point of the input and the bias.": at(0, 34),
        "M is below 1, so the shift is positive: M = 2^−shift M_0.": at(1, -1),
        "0.35 · 4 = 1.4 is above 1: that is one doubling too many.": at(1, 2),
        "You left the zero point of the output out.": at(2, 13),
        "You cut the fraction off; round to the nearest.": at(2, 17),
        "You added z_y before multiplying by M.": at(2, 14),
    },
)

# -- spot the bug: the product of codes with zero points ------------------------------------------

Product = Callable[[Tensor, Tensor, int, int], Any]
_ZEROS = ((0, 0), (3, 0), (0, -2), (3, -2), (128, 5))


def _codes(n: int, k: int, m: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(4)
    a = torch.randint(0, 256, (n, k), generator=draws, dtype=torch.uint8)
    return a, torch.randint(-128, 128, (k, m), generator=draws, dtype=torch.int8)


def _integers(answer: Callable[..., Any], case: Case) -> Tensor:
    """Return what an answer returned, integers in a tensor, an array or a number, as int64."""
    result = answer(*deepcopy(case))
    if isinstance(result, int | np.integer):
        return torch.tensor(int(result))
    found = torch.from_numpy(result) if isinstance(result, np.ndarray) else result
    if not isinstance(found, Tensor):
        kind = type(result).__name__
        raise WrongResultError(f"The function must return a tensor of integers, not a {kind}.")
    if found.is_floating_point() or found.is_complex():
        raise WrongResultError(f"The result must hold integers; it holds {found.dtype}.")
    return found.long()


def _product_is(formula: Product, n_zeros: int = len(_ZEROS)) -> Test:
    """Return the test whether an answer agrees with ``formula`` on small and large codes."""

    def cases() -> list[Case]:
        shapes = ((2, 3, 4), (5, 40, 3))
        return [(*_codes(*shape), *zeros) for shape in shapes for zeros in _ZEROS[:n_zeros]]

    return agrees(formula, cases, _integers, share=0, within=0)


def _right(a: Tensor, b: Tensor, za: int, zb: int) -> Tensor:
    return (a.long() - za) @ (b.long() - zb)


def _terms(sign: int, last: int) -> Product:
    """Return the four terms with other signs."""

    def formula(a: Tensor, b: Tensor, za: int, zb: int) -> Tensor:
        a, b = a.long(), b.long()
        rows, columns = a.sum(1, keepdim=True), b.sum(0, keepdim=True)
        return a @ b + sign * (zb * rows + za * columns) + last * len(b) * za * zb

    return formula


def _colleagues(a: Tensor, b: Tensor, za: int, zb: int) -> Tensor:
    """Return what the function to repair returns: wrapped differences, and J z_a z_b missing."""
    return (a - za).long() @ b.long() - zb * a.sum(1, keepdim=True)


EXERCISES["integer-product"] = Exercise(
    kind=a_function("product(qa, qb, za, zb)"),
    claims={
        "with both zero points 0 it is the matrix product of the codes": (
            _product_is(_right, 1),
            "Widen the codes before multiplying: bytes wrap around.",
        ),
        "the zero point of the first factor is right": (
            _product_is(_right, 2),
            "Subtract z_a times the sum of each column of q_b.",
        ),
        "the zero point of the second factor is right": (
            _product_is(_right, 3),
            "Subtract z_b times the sum of each row of q_a.",
        ),
        "with both zero points it is right": (
            _product_is(_right),
            "The fourth term is + J z_a z_b, with J the number of products in a sum.",
        ),
        "the codes are left as they were": (
            leaves(lambda: (*_codes(2, 3, 4), 3, -2)),
            "Work on copies of the codes.",
        ),
    },
    mistakes={
        "That is the colleague's function as it stands.": _product_is(_colleagues),
        "The term J z_a z_b is missing.": _product_is(_terms(-1, 0)),
        "The sign of J z_a z_b is wrong.": _product_is(_terms(-1, -1)),
        "You added the zero points; they are subtracted.": _product_is(_terms(1, 1)),
        "You left the zero points out.": _product_is(_terms(0, 0)),
        "The differences wrapped around: 2 − 3 is 255 in a uint8. Widen the codes first.": either(
            _product_is(lambda a, b, za, zb: (a - za).long() @ (b - zb).long()),
            _product_is(lambda a, b, za, zb: (a - za).long() @ (b.long() - zb)),
        ),
    },
)

# -- implement: the rounding shift -----------------------------------------------------------------

_NEAR_TIES = (1_227_133_513, -1_227_133_513, 1_332_920_885, -1_332_920_885)
"""Times the multipliers of _FINE they come within 2^−32 of a tie, too near for a float64."""

_ACCUMULATORS = (*range(-40, 41), -(2**31), 2**31 - 1, 1_234_567, -7_654_321, *_NEAR_TIES)

_NO_TIES = ((3 * 2**29 + 1, 41), (2**31 - 1, 35))
_TIES = ((2**30, 32), (2**30, 31), (3 * 2**29, 33))
_FINE = ((2_147_483_641, 32), (2_147_483_619, 32))
"""(significand, places) of r · significand · 2^−places."""


def _rounds_as(rule: Callable[[int, int, int], int], *shifts: tuple[int, int]) -> Test:
    """Return the test whether an answer agrees with ``rule`` for each (significand, places)."""

    def formula(r: Tensor, m: int, t: int) -> Tensor:
        return torch.tensor([rule(a, m, t) for a in r.tolist()])

    def cases() -> list[Case]:
        return [(torch.tensor(_ACCUMULATORS), m, t) for m, t in shifts]

    return agrees(formula, cases, _integers, share=0, within=0)


def _nearest(a: int, m: int, t: int) -> int:
    return round(Fraction(a * m, 2**t))


def _sign(a: int) -> int:
    return -1 if a < 0 else 1


EXERCISES["integer-rescale"] = Exercise(
    kind=a_function("rescale(r, significand, places)"),
    claims={
        "it rounds to the nearest integer": (
            _rounds_as(_nearest, *_NO_TIES),
            "Add half of 2^places before shifting, or compare the remainder with this half.",
        ),
        "ties go to the even neighbour": (
            _rounds_as(_nearest, *_TIES),
            "Where the remainder is exactly half of 2^places, go up only if the floor is odd.",
        ),
        "it is exact to the last of 62 bits": (
            _rounds_as(_nearest, *_FINE),
            "A float64 has 53 bits; stay with integers.",
        ),
    },
    mistakes={
        "A shift alone is the floor: everything is rounded down.": _rounds_as(
            lambda a, m, t: a * m >> t, *_NO_TIES, *_TIES
        ),
        "You cut the fraction off, towards zero.": _rounds_as(
            lambda a, m, t: _sign(a) * (abs(a * m) >> t), *_NO_TIES, *_TIES
        ),
        "You round ties up: adding a half lifts all of them. Here they go to the even "
        "one.": _rounds_as(lambda a, m, t: (a * m + 2 ** (t - 1)) >> t, *_NO_TIES, *_TIES),
        "You round ties away from zero; here they go to the even neighbour.": _rounds_as(
            lambda a, m, t: _sign(a) * (abs(a * m) + 2 ** (t - 1) >> t), *_NO_TIES, *_TIES
        ),
        "You rounded a float64: it has 53 bits, and the product up to 62. Stay with "
        "integers.": _rounds_as(
            lambda a, m, t: round(float(a) * m / 2**t), *_NO_TIES, *_TIES, *_FINE
        ),
    },
)

# -- to predict: activations that fit a 16-bit sum of two products ---------------------------------


def pair_fits(bits: float) -> bool:
    """Return whether 2 (2^b − 1) 127 ≤ 2^15 − 1: two products of b-bit codes fit 16 bits."""
    return 2 * (2.0 ** int(bits) - 1) * 127 <= 2**15 - 1


EXERCISES["integer-pair"] = Exercise(
    kind=a_number,
    claims={
        "the answer is a whole number of bits": (
            value(lambda bits: bits.is_integer() and 1 <= bits <= 16),
            "A code has a whole number of bits, from 1 to 16.",
        ),
        "no pair of products exceeds 16 bits": (
            value(pair_fits),
            "The largest pair is 2 · (2^b − 1) · 127; the largest 16-bit number is 32,767.",
        ),
        "with one bit more, a pair can": (
            value(lambda bits: not pair_fits(bits + 1)),
            "Try one bit more.",
        ),
    },
    mistakes={"One product of 8-bit codes fits, but two are added.": near(8)},
)

# -- transfer: a leaky ReLU, M = 0.006, slope 0.1, z_y = 20, r = 4,900 and −4,900 ------------------

EXERCISES["integer-leaky"] = Exercise(
    kind=numbers(4),
    claims={
        "the shift of M is right": (
            at(0, 7),
            "Double 0.006 until it lies between ½ and 1; the shift counts how often.",
        ),
        "the shift of the second multiplier is right": (
            at(1, 10),
            "Negative sums are multiplied by 0.1 · 0.006 = 0.0006; double this number.",
        ),
        "the code of the positive sum is right": (
            at(2, 49),
            "Multiply 4,900 by 0.006, round to the nearest, then add z_y.",
        ),
        "the code of the negative sum is right": (
            at(3, 17),
            "Multiply −4,900 by 0.0006, round to the nearest, then add z_y.",
        ),
    },
    mistakes={
        "You gave both multipliers the same shift; the slope belongs to the second.": at(1, 7),
        "You gave the shift of the slope alone; the second multiplier is 0.1 M.": at(1, 3),
        "The multipliers are below 1, so the shifts are positive.": either(at(0, -7), at(1, -10)),
        "You left the zero point of the output out.": either(at(2, 29), at(3, -3)),
        "That is a ReLU: it gives all negative sums the code z_y.": at(3, 20),
        "You multiplied the negative sum by M, and clipped it.": at(3, 0, -9),
        "You cut the fraction off; round to the nearest.": at(3, 18),
    },
)
