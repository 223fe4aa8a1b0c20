"""Exercises of chapter 02 on codes: the formula by hand, and its inverse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_function, a_tensor, as_numbers, numbers
from reference_impl.quantization import min_max_quantizer

# -- by hand: the codes of four numbers --------------------------------------------------------

_VALUES = torch.tensor([-1.0, -0.5, 0.7, 1.4])
_BITS = 3


def _equals(expected: list[int]) -> Callable[[Any], bool]:
    """Return the test whether an answer is exactly this list of numbers."""
    wanted = torch.tensor(expected, dtype=torch.float64)
    return lambda answer: torch.equal(as_numbers(answer), wanted)


def _codes_of_the_values(answer: Any) -> bool:
    codes = min_max_quantizer(_VALUES, _BITS).quantize(_VALUES)
    return _equals(codes.tolist())(answer)


_BY_HAND = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "the smallest value has code 0",
            lambda answer: float(as_numbers(answer)[0]) == 0,
            "Subtract the smallest value first: then it sits at 0.",
        ),
        Claim(
            "the largest value has the largest code of 3 bits",
            lambda answer: float(as_numbers(answer)[3]) == 2**_BITS - 1,
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
            _equals([0, 2, 6, 8]),
        ),
        Mistake("You did not subtract the minimum before dividing.", _equals([-3, -1, 2, 4])),
        Mistake("You cut the fraction off: round to the nearest integer.", _equals([0, 1, 4, 7])),
        Mistake("You used b steps, or 2 bits: 3 bits have 2³ − 1 = 7.", _equals([0, 1, 2, 3])),
    ),
)

# -- to implement: the inverse -----------------------------------------------------------------

Inverse = Callable[[Tensor, float, float, int], Tensor]
_GRIDS = ((-1.0, 1.4, 3), (0.0, 1.0, 8), (2.5, 7.5, 4), (-2.0, 3.0, 10))


def _returned(result: Any) -> Tensor:
    """Return what an answer returned, a tensor or an array of NumPy's, as a float64 tensor."""
    return a_tensor(torch.tensor(result) if isinstance(result, np.ndarray) else result).double()


def _value_of(answer: Inverse, code: int, low: float, high: float, bits: int) -> float:
    """Return the value that an answer gives to one code."""
    return float(_returned(answer(torch.tensor([code]), low, high, bits)).item())


def _inverse_equals(formula: Inverse) -> Callable[[Inverse], bool]:
    """Return the test whether an answer agrees with ``formula`` on every code of four grids."""

    def holds(answer: Inverse) -> bool:
        for low, high, bits in _GRIDS:
            codes = torch.arange(2**bits, dtype=torch.int32)
            found = _returned(answer(codes, low, high, bits))
            expected = formula(codes, low, high, bits).double()
            if not torch.allclose(found, expected, rtol=0, atol=1e-5):
                return False
        return True

    return holds


def _survives_uint8(answer: Inverse) -> bool:
    """Return whether uint8 codes with integer ends come back right."""
    codes = torch.tensor([0, 100, 255], dtype=torch.uint8)
    found = _returned(answer(codes, -1, 3, 8))
    return torch.allclose(found, -1 + 4 / 255 * codes.double(), rtol=0, atol=1e-5)


def _keeps_shape(answer: Inverse) -> bool:
    codes = torch.arange(6, dtype=torch.int64).view(2, 3)
    return tuple(_returned(answer(codes, 0.0, 7.0, 3)).shape) == (2, 3)


_INVERSE = Exercise(
    kind=a_function("inverse(codes, low, high, bits)"),
    claims=(
        Claim(
            "code 0 comes back as the minimum",
            lambda f: all(
                abs(_value_of(f, 0, low, high, bits) - low) < 1e-6 for low, high, bits in _GRIDS[:3]
            ),
            "Code 0 stands for min: min + s · 0.",
        ),
        Claim(
            "the largest code comes back as the maximum",
            lambda f: all(
                abs(_value_of(f, 2**bits - 1, low, high, bits) - high) < 1e-5
                for low, high, bits in _GRIDS[:3]
            ),
            "The largest code 2^b − 1 stands for max.",
        ),
        Claim(
            "codes in between are evenly spaced, at every width",
            _inverse_equals(lambda q, low, high, bits: low + (high - low) / (2**bits - 1) * q),
            "Between min and max the values grow by one step s = (max − min)/(2^b − 1) a code; "
            "a code of more than 8 bits must not pass through a uint8.",
        ),
        Claim(
            "codes in a uint8, with integers for min and max, come back right",
            _survives_uint8,
            "uint8 arithmetic wraps around at 256: convert the codes to float before multiplying.",
        ),
        Claim(
            "the result has the shape of the codes",
            _keeps_shape,
            "Give back one value for each code, in the same shape.",
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
            "You cut the range into 2^b cells and took their middles: here the codes lie on "
            "min and max themselves, with 2^b − 1 steps between them.",
            _inverse_equals(lambda q, low, high, bits: low + (high - low) / 2**bits * (q + 0.5)),
        ),
        Mistake(
            "You rounded the values: only the codes are integers.",
            _inverse_equals(
                lambda q, low, high, bits: torch.round(low + (high - low) / (2**bits - 1) * q)
            ),
        ),
        Mistake(
            "You used max as the step's numerator: the range is max − min.",
            _inverse_equals(lambda q, low, high, bits: low + high / (2**bits - 1) * q),
        ),
    ),
)

EXERCISES = {
    "min-max-codes": _BY_HAND,
    "min-max-inverse": _INVERSE,
}
