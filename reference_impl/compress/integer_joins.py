"""What stands between the layers of a network in integers: sums, averages, other grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int32, Integer
from torch import Tensor

from reference_impl.compress.integer import Sums, windows
from reference_impl.quantization import AffineQuantizer, FixedPointMultiplier, fixed_point, rescale
from reference_impl.quantization.integer import INT32_MAX

JOINED_BITS = 24
"""The bits of a residual sum: seven more are left for an average of up to 127 positions."""


class Form(NamedTuple):
    """What the integers of a value stand for: unit · (q − z), with |q − z| of at most ``bound``."""

    unit: Float64[Tensor, "*granularity"]
    bound: Tensor
    quantizer: AffineQuantizer | None = None  #: None for sums, whose z is 0

    @property
    def zero_point(self) -> int:
        """Return z."""
        return 0 if self.quantizer is None else int(self.quantizer.zero_point)


def form_of_codes(quantizer: AffineQuantizer) -> Form:
    """Return the form of a quantizer's codes."""
    grid, zero = quantizer.grid, int(quantizer.zero_point)
    bound = torch.tensor(max(grid.q_max - zero, zero - grid.q_min))
    return Form(quantizer.scale.double().flatten(), bound, quantizer)


def same_codes(one: AffineQuantizer | None, other: AffineQuantizer | None) -> bool:
    """Return whether these are quantizers that give the same codes."""
    if one is None or other is None:
        return False
    numbers = [(int(q.zero_point), q.scale.item(), q.grid) for q in (one, other)]
    return numbers[0] == numbers[1]


@dataclass(frozen=True, eq=False)
class Recode(Sums):
    """Codes or sums as those of another grid: r = q − z, then the ``output``."""

    zero_point: int

    def accumulate(self, *inputs: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return q − z."""
        (codes,) = inputs
        return codes.int() - self.zero_point


@dataclass(frozen=True, eq=False)
class Join(Sums):
    """Branches in one unit, added or concatenated: r = Σ round(M_i (q_i − z_i)), M_i = s_i / u.

    The unit u is such that the largest possible sum has 24 bits.

    Equation: eq-integer-join, chapter 04.
    """

    zero_points: tuple[int, ...]
    multipliers: tuple[FixedPointMultiplier, ...]
    concatenated: bool

    def accumulate(self, *inputs: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return the sum of the branches, or their concatenation."""
        branches = [
            rescale((codes.int() - zero).movedim(1, -1), multiplier).movedim(-1, 1).int()
            for codes, zero, multiplier in zip(
                inputs, self.zero_points, self.multipliers, strict=True
            )
        ]
        return (
            torch.cat(branches, dim=1)
            if self.concatenated
            else torch.stack(branches).sum(0, dtype=torch.int32)
        )


def join(forms: Sequence[Form], *, concatenated: bool) -> tuple[Join, Form]:
    """Return what joins branches of these forms, and the form of its sums."""
    largest = torch.stack([(form.unit * form.bound).max() for form in forms])
    unit = (largest.max() if concatenated else largest.sum()) / 2**JOINED_BITS
    multipliers = tuple(fixed_point(form.unit / unit) for form in forms)
    joined = Join(unit, tuple(form.zero_point for form in forms), multipliers, concatenated)
    return joined, Form(unit, torch.tensor(2**JOINED_BITS + len(forms)))  # each was rounded


class Concatenation:
    """Codes of one grid beside each other, along the channels."""

    def __call__(self, *codes: Integer[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return them in one."""
        return torch.cat(codes, dim=1)


@dataclass(frozen=True, eq=False)
class Average(Sums):
    """Sums over windows of K positions, Σ (q − z): the average, in a unit K times smaller.

    Equation: eq-integer-average, chapter 04.
    """

    zero_point: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    flat: bool  #: whether the axes of positions, of one position each, are dropped

    def accumulate(self, *inputs: Integer[Tensor, "n c height width"]) -> Int32[Tensor, "n ..."]:
        """Return the sums of the windows."""
        (codes,) = inputs
        sums = codes.int() - self.zero_point
        for axis, size, stride in zip((2, 3), self.kernel, self.stride, strict=True):
            sums = windows(sums, axis, size, stride).sum(-1, dtype=torch.int32)
        return sums.flatten(1) if self.flat else sums


def average(
    form: Form, kernel: tuple[int, int], stride: tuple[int, int], *, flat: bool
) -> tuple[Average, Form]:
    """Return an average of integers of a form, and the form of its sums; refuse too large sums."""
    positions = kernel[0] * kernel[1]
    if (most := int(form.bound.max()) * positions) > INT32_MAX:
        raise ValueError(f"{positions} sums could reach {most} > {INT32_MAX}")
    unit = form.unit / positions
    return Average(unit, form.zero_point, kernel, stride, flat), Form(unit, form.bound * positions)


@dataclass(frozen=True, eq=False)
class Clip:
    """Integers clipped to [low, high]: ReLU from z on, ReLU6 up to round(6 / s) + z."""

    low: int
    high: Tensor | None = None

    def __call__(self, values: Integer[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return the clipped integers, of the same type."""
        clipped = values.clamp(min=self.low)
        if self.high is None:
            return clipped
        per_channel = self.high.view(-1, *[1] * (values.ndim - 2)).to(values.dtype)
        return torch.minimum(clipped, per_channel)


def clip(form: Form, high: float | None) -> Clip:
    """Return the clip of integers of a form to values of at least 0, and at most ``high``."""
    if high is None:
        return Clip(form.zero_point)
    most = INT32_MAX if form.quantizer is None else form.quantizer.grid.q_max
    top = torch.round(high / form.unit) + form.zero_point
    return Clip(form.zero_point, top.clamp(max=most).int())
