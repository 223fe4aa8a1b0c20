"""Exercises of chapter 03: a scale for each channel, a budget of bits, and those of codes."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from exercises.chapters import affine_codes
from exercises.framework import (
    Exercise,
    Test,
    WrongResultError,
    a_function,
    agrees,
    as_numbers,
    leaves,
    normals,
    numbers,
    same,
    shaped_as,
)
from reference_impl.checked import Count, checked
from reference_impl.measuring import sqnr
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    min_max_range,
    split_groups,
    symmetric_from_range,
)
from reference_impl.training import load_checkpoint

EXERCISES: dict[str, Exercise] = {**affine_codes.EXERCISES}

# -- implement: a scale for each output channel of a weight ----------------------------------------


def _weights() -> tuple[Tensor, Tensor]:
    """Return a matrix and a convolution's weight whose channels differ widely in size."""
    matrix, kernel = normals(5, (6, 8), (6, 3, 2, 2))
    sizes = 10 ** torch.linspace(-2, 1, 6)
    return matrix * sizes.view(6, 1), kernel * sizes.view(6, 1, 1, 1)


def _restored(answer: Callable[..., Any], weight: Tensor, bits: int = 4) -> Tensor:
    return shaped_as(weight, "the weight", answer(weight.clone(), bits)).double()


def _ends(weight: Tensor, kept: Sequence[int] = (0,)) -> Tensor:
    """Return max |w|, by default of each channel, else for each entry along the axes ``kept``."""
    return weight.abs().amax([i for i in range(weight.ndim) if i not in kept], keepdim=True)


def _largest(weight: Tensor) -> Tensor:
    return weight.abs() >= _ends(weight)


def _agrees(formula: Callable[..., Any], where: Callable[..., Tensor] = torch.ones_like) -> Test:
    """Return the test whether an answer agrees with ``formula`` where the mask of w is true."""
    return agrees(
        lambda weight, bits: formula(weight, bits) * where(weight),
        lambda: [(weight, bits) for weight in _weights() for bits in (2, 4, 8)],
        lambda answer, case: _restored(answer, *case) * where(case[0]),
        within=1e-7,
    )


def _made_by(formula: Callable[..., Any]) -> Test:
    """Return `_agrees` except for the largest of each channel, where rounding may decide."""
    return _agrees(formula, lambda weight: ~_largest(weight))


def _restoring(
    kept: Sequence[int] = (0,), *, more: float = 0, rounding: Any = torch.round, codes: bool = False
) -> Callable[..., Any]:
    """Return the round trip, or the codes alone, with s = max |w| / (q_max + more)."""

    def formula(weight: Tensor, bits: int) -> Tensor:
        q_max = 2 ** (bits - 1) - 1
        scale = _ends(weight, kept) / (q_max + more)
        q: Tensor = rounding(weight / scale).clamp(-q_max, q_max)
        return q if codes else q * scale

    return formula


def _for_matrices_only(answer: Callable[..., Any]) -> bool:
    """Return whether the scales are right for a matrix, and too many for a filter."""
    right, (matrix, kernel) = _restoring(), _weights()
    if not same(_restored(answer, matrix), right(matrix, 4)):
        return False
    try:
        return not same(_restored(answer, kernel), right(kernel, 4))
    except (RuntimeError, IndexError, ValueError, WrongResultError):
        return True


def _unmoved_by(*factors: float) -> Test:
    """Return the test whether channels come back as before when others are louder, or dead."""

    def holds(answer: Callable[..., Any]) -> bool:
        for weight in _weights():
            by = torch.tensor(factors).view(-1, *[1] * (weight.ndim - 1))
            found, before = _restored(answer, weight * by), _restored(answer, weight)
            if not same(found * (by <= 1), before * (by == 1), within=1e-8):
                return False
        return True

    return holds


EXERCISES["affine-channel"] = Exercise(
    kind=a_function("per_channel(weight, bits)"),
    claims={
        "the largest magnitude of each channel comes back": (
            _agrees(lambda weight, _: weight, _largest),
            "With s = max |w| / q_max the largest weight of a channel has the code ±q_max.",
        ),
        "no channel depends on another": (
            _unmoved_by(1, 1, 1, 100, 100, 100),
            "Each output channel (axis 0) has a scale of its own: reduce all axes but the first.",
        ),
        "all values are right, at 2, 4 and 8 bits": (
            _agrees(_restoring()),
            "s = max |w| / (2^(b−1) − 1), q = clip(round(w / s), −q_max, q_max), ŵ = s q.",
        ),
        "a channel of zeros stays zero": (
            _unmoved_by(1, 1, 0, 1, 1, 1),
            "There max |w| = 0 and w / s is 0 / 0: take any other scale, such as 1.",
        ),
        "the weight is left as it was": (
            leaves(lambda: (_weights()[0], 4)),
            "Work on a copy of the weight.",
        ),
    },
    mistakes={
        "You returned the codes q: the restored weight is s q.": _made_by(_restoring(codes=True)),
        "You cut the fraction of w / s off: round to the nearest.": _made_by(
            _restoring(rounding=torch.trunc)
        ),
        "You used one scale for the whole tensor.": _made_by(_restoring(())),
        "Your scales belong to the inputs, axis 1: an output channel is an entry of axis "
        "0.": _made_by(_restoring((1,))),
        "You divided by 2^(b−1): q_max is one less.": _made_by(_restoring(more=1)),
        "You divided by (2^b − 1)/2, the convention of torch's observers: on a narrow grid "
        "q_max is 2^(b−1) − 1.": _made_by(_restoring(more=0.5)),
        "You used an asymmetric range: here z = 0.": _made_by(
            lambda w, b: affine_from_range(*min_max_range(w, 0), IntegerGrid(b)).round_trip(w)
        ),
        "It is right for a matrix, not for a convolution's weight: reduce all axes but the "
        "first.": _for_matrices_only,
    },
)

# -- predict before you run: the fewest bits for a weight, scales included -------------------------

DECIBELS = 25.0
"""The SQNR to reach."""

COLUMNS = 784


@cache
def _weight() -> Tensor:
    return load_checkpoint("lenet300").get_parameter("fc1.weight").detach()


def budget_weight() -> Tensor:
    """Return the weight of LeNet-300-100's first layer, (300, 784)."""
    return _weight().clone()


@cache
def group_sqnr(bits: int, size: int) -> float:
    """Return the SQNR of the weight in groups of ``size`` columns, in decibels."""
    groups = split_groups(_weight(), size)
    grid = IntegerGrid(bits, signed=True, narrow=True)
    quantizer = symmetric_from_range(*min_max_range(groups, (0, 1)), grid)
    return sqnr(groups, quantizer.round_trip(groups))


@checked
def bits_per_weight(bits: Count, size: Count) -> float:
    """Return b + 16/g, the bits of a weight with its share of a 16-bit scale."""
    return bits + 16 / size


@cache
def fewest_bits_per_weight() -> float:
    """Return the least b + 16/g at which the SQNR reaches `DECIBELS`, over 2 to 8 bits."""
    sizes = [size for size in range(1, COLUMNS + 1) if COLUMNS % size == 0]
    choices = sorted(
        (bits_per_weight(bits, size), bits, size) for size in sizes for bits in range(2, 9)
    )
    return next(total for total, *choice in choices if group_sqnr(*choice) >= DECIBELS)


def _choice(test: Callable[[int, int], bool]) -> Test:
    """Return the test of bits and group size, where they are possible."""

    def holds(answer: Any) -> bool:
        bits, size = as_numbers(answer).tolist()
        possible = bits in range(2, 9) and size in range(1, COLUMNS + 1) and COLUMNS % size == 0
        return possible and test(int(bits), int(size))

    return holds


_possible = _choice(lambda *_: True)


def _reaches(bits: int, size: int) -> bool:
    return group_sqnr(bits, size) >= DECIBELS


EXERCISES["affine-budget"] = Exercise(
    kind=numbers(2),
    claims={
        "bits are 2 to 8, and the group size divides 784": (
            _possible,
            "Answer with two whole numbers: bits from 2 to 8, then a divisor of 784.",
        ),
        "this choice reaches 25 dB": (
            _choice(_reaches),
            "Measure the SQNR of the restored weight: 25 dB are not reached.",
        ),
        "no choice takes fewer bits and reaches 25 dB": (
            _choice(lambda *choice: bits_per_weight(*choice) < fewest_bits_per_weight() + 1e-6),
            "Another choice takes fewer bits per weight, the scales counted: b + 16/g.",
        ),
    },
    mistakes={
        "You gave the group size first: the bits come first.": lambda answer: (
            not _possible(answer) and _possible(as_numbers(answer).flip(0))
        ),
        "You left the scales out: a group of g weights adds 16/g bits to each of them.": _choice(
            lambda bits, size: _reaches(bits, size) and bits < 5
        ),
        "One scale for each row needs 6 bits here; smaller groups need fewer.": _choice(
            lambda bits, size: _reaches(bits, size) and size == COLUMNS
        ),
    },
)
