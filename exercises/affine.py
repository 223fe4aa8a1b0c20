"""Exercise of chapter 03 on formulas: scale, zero point and codes by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from exercises.framework import Claim, Exercise, Mistake, as_numbers, numbers
from reference_impl.quantization import IntegerGrid, affine_from_range

_LOW, _HIGH, _BITS = -1.0, 2.2, 4
_VALUES = torch.tensor([0.0, 0.36, 3.0])
_QUANTIZER = affine_from_range(torch.tensor(_LOW), torch.tensor(_HIGH), IntegerGrid(_BITS))


def _begins(start: int, expected: Sequence[float], within: float = 0.0) -> Callable[[Any], bool]:
    """Return the test whether an answer has these numbers from place ``start`` on."""
    wanted = torch.tensor(expected, dtype=torch.float64)

    def holds(answer: Any) -> bool:
        found = as_numbers(answer)[start : start + len(wanted)]
        return bool(((found - wanted).abs() <= within).all())

    return holds


_BY_HAND = Exercise(
    kind=numbers(5),
    claims=(
        Claim(
            "the scale divides the range into 15 steps",
            _begins(0, [_QUANTIZER.scale.item()], within=0.004),
            "s = (2.2 − (−1.0)) / (q_max − q_min), to three decimals.",
        ),
        Claim(
            "the zero point is right",
            _begins(1, [_QUANTIZER.zero_point.item()]),
            "z = q_min − round(low / s): low / s lies between −5 and −4; round it to the nearest.",
        ),
        Claim(
            "zero has the zero point as its code",
            lambda answer: float(as_numbers(answer)[2]) == float(as_numbers(answer)[1]),
            "q = round(0 / s) + z = z.",
        ),
        Claim(
            "the code of 0.36 is right",
            _begins(3, [_QUANTIZER.quantize(_VALUES)[1].item()]),
            "Round 0.36 / s first, then add z.",
        ),
        Claim(
            "the value outside the range is clipped",
            _begins(4, [2**_BITS - 1]),
            "Four bits end at the code 15.",
        ),
    ),
    mistakes=(
        Mistake("You divided by 2^b: 16 codes have 15 steps between them.", _begins(0, [0.2])),
        Mistake("You left the lower end out of the width.", _begins(0, [2.2 / 15], within=0.001)),
        Mistake(
            "The zero point has the wrong sign: it is q_min − round(low / s).", _begins(1, [-5])
        ),
        Mistake("The zero point must be a code, hence a whole number.", _begins(1, [4.6875], 0.1)),
        Mistake("You cut the fraction of the zero point off: round it.", _begins(1, [4])),
        Mistake(
            "You rounded (x − low) / s, the formula of chapter 02: here x / s is rounded, and z, "
            "a whole number, is added.",
            _begins(3, [6]),
        ),
        Mistake("You did not clip: 4 bits have no code above 15.", _begins(4, [19])),
    ),
)

EXERCISES = {"affine-by-hand": _BY_HAND}
