"""Exercises of chapter 04 on sums of codes: a layer by hand, and the product of matrices."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.framework import (
    Claim,
    Exercise,
    Mistake,
    WrongResultError,
    a_function,
    as_numbers,
    numbers,
)

# -- by hand: one output of a layer --------------------------------------------------------------

_QA, _ZA, _QB, _BIAS, _M, _ZY = (3, 0, 7), 2, (2, -1, 4), 12, Fraction(35, 100), 5
_SUM = sum((a - _ZA) * b for a, b in zip(_QA, _QB, strict=True)) + _BIAS


def _entry(place: int, *values: int) -> Callable[[Any], bool]:
    """Return the test whether one entry of an answer is one of ``values``."""
    return lambda answer: float(as_numbers(answer)[place]) in values


_BY_HAND = Exercise(
    kind=numbers(3),
    claims=(
        Claim(
            "the accumulator is right",
            _entry(0, _SUM),
            "Subtract z_a from each code of the input, multiply, add up, then add the bias.",
        ),
        Claim(
            "M = 2^−n M_0 with ½ ≤ M_0 < 1",
            _entry(1, 1),
            "Double M until it lies between ½ and 1; n counts how often.",
        ),
        Claim(
            "the code is right",
            _entry(2, round(_M * _SUM) + _ZY),
            "Multiply the accumulator by M, round to the nearest, then add z_y.",
        ),
    ),
    mistakes=(
        Mistake("You left the zero point of the input out.", _entry(0, 46)),
        Mistake("You added z_a; it has to be subtracted.", _entry(0, 56)),
        Mistake("You left the bias out.", _entry(0, _SUM - _BIAS)),
        Mistake("You left out the zero point of the input and the bias.", _entry(0, 34)),
        Mistake("M is below 1, so n is positive: M = 2^−n M_0.", _entry(1, -1)),
        Mistake("0.35 · 4 = 1.4 is above 1: that is one doubling too many.", _entry(1, 2)),
        Mistake("You left the zero point of the output out.", _entry(2, 13)),
        Mistake("You cut the fraction off; round to the nearest.", _entry(2, 17)),
        Mistake("You added z_y before multiplying by M.", _entry(2, 14)),
    ),
)

# -- to implement: the product of codes with zero points -----------------------------------------

Product = Callable[[Tensor, Tensor, int, int], Any]
_SEED = 4
_ZEROS = ((0, 0), (3, 0), (0, -2), (3, -2), (128, 5))


def _codes(n: int, k: int, m: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(_SEED)
    a = torch.randint(0, 256, (n, k), generator=draws, dtype=torch.uint8)
    b = torch.randint(-128, 128, (k, m), generator=draws, dtype=torch.int8)
    return a, b


def as_integers(result: Any) -> Tensor:
    """Return what an answer returned, integers in a tensor, an array or a number, as int64.

    Raises:
        WrongResultError: if it is anything else.
    """
    if isinstance(result, int | np.integer):
        return torch.tensor(int(result))
    found = torch.from_numpy(result) if isinstance(result, np.ndarray) else result
    if not isinstance(found, Tensor):
        kind = type(result).__name__
        raise WrongResultError(f"The function must return a tensor of integers, not a {kind}.")
    if found.is_floating_point() or found.is_complex():
        raise WrongResultError(f"The result must hold integers; it holds {found.dtype}.")
    return found.long()


def _true_product(a: Tensor, b: Tensor, za: int, zb: int) -> Tensor:
    return (a.long() - za) @ (b.long() - zb)


def _product_equals(
    formula: Product, zeros: tuple[tuple[int, int], ...] = _ZEROS
) -> Callable[[Product], bool]:
    """Return the test whether an answer agrees with ``formula`` on small and large codes."""

    def holds(answer: Product) -> bool:
        for shape in ((2, 3, 4), (5, 40, 3)):
            for za, zb in zeros:
                a, b = _codes(*shape)
                expected = formula(a.clone(), b.clone(), za, zb)
                if not torch.equal(as_integers(answer(a, b, za, zb)), expected):
                    return False
        return True

    return holds


def _leaves_codes(answer: Product) -> bool:
    a, b = _codes(2, 3, 4)
    before = a.clone(), b.clone()
    answer(a, b, 3, -2)
    return torch.equal(a, before[0]) and torch.equal(b, before[1])


def _terms(za_sign: int, zb_sign: int, last: int) -> Product:
    """Return the four terms with other signs."""

    def formula(a: Tensor, b: Tensor, za: int, zb: int) -> Tensor:
        a, b = a.long(), b.long()
        rows, columns = a.sum(1, keepdim=True), b.sum(0, keepdim=True)
        return a @ b + zb_sign * zb * rows + za_sign * za * columns + last * len(b) * za * zb

    return formula


def _wrapping(a: Tensor, b: Tensor, za: int, zb: int) -> Tensor:
    """Return the product of differences taken in the codes' own types, which wrap around."""
    return (a - za).long() @ (b - zb).long()


_PRODUCT = Exercise(
    kind=a_function("product(qa, qb, za, zb)"),
    claims=(
        Claim(
            "with both zero points 0 it is the matrix product of the codes",
            _product_equals(_true_product, _ZEROS[:1]),
            "Widen the codes before multiplying: bytes wrap around.",
        ),
        Claim(
            "the zero point of the first factor is right",
            _product_equals(_true_product, _ZEROS[:2]),
            "Subtract z_a times the sum of each column of q_b.",
        ),
        Claim(
            "the zero point of the second factor is right",
            _product_equals(_true_product, _ZEROS[:3]),
            "Subtract z_b times the sum of each row of q_a.",
        ),
        Claim(
            "with both zero points it is right",
            _product_equals(_true_product),
            "The fourth term is + K z_a z_b, with K the number of products in a sum.",
        ),
        Claim("the codes are left as they were", _leaves_codes, "Work on copies of the codes."),
    ),
    mistakes=(
        Mistake("The term K z_a z_b is missing.", _product_equals(_terms(-1, -1, 0))),
        Mistake("The sign of K z_a z_b is wrong.", _product_equals(_terms(-1, -1, -1))),
        Mistake(
            "You added the zero points; they are subtracted.", _product_equals(_terms(1, 1, 1))
        ),
        Mistake("You left the zero points out.", _product_equals(_terms(0, 0, 0))),
        Mistake(
            "The differences wrapped around: 2 − 3 is 255 in a uint8. Widen the codes first.",
            _product_equals(_wrapping),
        ),
    ),
)

EXERCISES = {
    "integer-by-hand": _BY_HAND,
    "integer-product": _PRODUCT,
}
