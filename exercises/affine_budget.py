"""Exercise of chapter 03 on granularity: the fewest bits for a weight, scales included."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, as_numbers, numbers
from reference_impl.checks import require_int
from reference_impl.measuring import quantized_size, sqnr
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    min_max_range,
    split_groups,
    symmetric_from_range,
)
from reference_impl.training import load_checkpoint

DECIBELS = 25.0
"""The SQNR to reach."""

COLUMNS = 784
_WIDTHS = range(2, 9)


@cache
def _weight() -> Tensor:
    weight: Tensor = load_checkpoint("lenet300").state_dict()["fc1.weight"]
    return weight


def budget_weight() -> Tensor:
    """Return the weight of LeNet-300-100's first layer, (300, 784)."""
    return _weight().clone()


def _quantizer(bits: int, size: int) -> tuple[AffineQuantizer, Tensor]:
    groups = split_groups(_weight(), size)
    grid = IntegerGrid(bits, signed=True, narrow=True)
    return symmetric_from_range(*min_max_range(groups, (0, 1)), grid), groups


def group_sqnr(bits: int, size: int) -> float:
    """Return the SQNR of the weight in groups of ``size`` columns, in decibels.

    Raises:
        TypeError, ValueError: if ``bits`` is no integer from 2 to 16 or ``size`` no divisor of
            784.
    """
    quantizer, groups = _quantizer(bits, size)
    return sqnr(groups, quantizer.round_trip(groups))


def bits_per_weight(bits: int, size: int) -> float:
    """Return b + 16/g, the bits of a weight with its share of a 16-bit scale.

    Raises:
        TypeError, ValueError: as `group_sqnr`.
    """
    require_int("size", size, 1)
    quantizer, groups = _quantizer(bits, size)
    return quantized_size(quantizer, groups.numel()).bits / groups.numel()


@cache
def fewest_bits_per_weight() -> float:
    """Return the least b + 16/g at which the SQNR reaches `DECIBELS`, over 2 to 8 bits."""
    for total, bits, size in sorted(_choices()):
        if group_sqnr(bits, size) >= DECIBELS:
            return total
    raise ValueError(f"no choice reaches {DECIBELS} dB")


def _choices() -> Iterator[tuple[float, int, int]]:
    for size in range(1, COLUMNS + 1):
        if COLUMNS % size == 0:
            for bits in _WIDTHS:
                yield bits + 16 / size, bits, size


def _read(answer: Any) -> tuple[int, int]:
    """Return bits and group size, which `_possible` has found to be whole."""
    bits, size = (int(number) for number in as_numbers(answer))
    return bits, size


def _possible(answer: Any) -> bool:
    bits, size = as_numbers(answer).tolist()
    return bits in _WIDTHS and 1 <= size <= COLUMNS and COLUMNS % size == 0


def _reaches(answer: Any) -> bool:
    return _possible(answer) and group_sqnr(*_read(answer)) >= DECIBELS


def _is_least(answer: Any) -> bool:
    return _possible(answer) and bits_per_weight(*_read(answer)) <= fewest_bits_per_weight()


_BUDGET = Exercise(
    kind=numbers(2),
    claims=(
        Claim(
            "bits are 2 to 8, and the group size divides 784",
            _possible,
            "Answer with two whole numbers: bits from 2 to 8, then a divisor of 784.",
        ),
        Claim(
            "this choice reaches 25 dB",
            _reaches,
            "Measure the SQNR of the restored weight: 25 dB are not reached.",
        ),
        Claim(
            "no choice takes fewer bits and reaches 25 dB",
            _is_least,
            "Another choice takes fewer bits per weight, the scales counted: b + 16/g.",
        ),
    ),
    mistakes=(
        Mistake(
            "You gave the group size first: the bits come first.",
            lambda answer: not _possible(answer) and _possible(as_numbers(answer).flip(0)),
        ),
        Mistake(
            "You left the scales out: a group of g weights adds 16/g bits to each of them.",
            lambda answer: _reaches(answer) and _read(answer)[0] < 5,
        ),
        Mistake(
            "One scale for each row needs 6 bits here; smaller groups need fewer.",
            lambda answer: _reaches(answer) and _read(answer)[1] == COLUMNS,
        ),
    ),
)

EXERCISES = {"scale-budget": _BUDGET}
