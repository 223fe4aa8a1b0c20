"""What stands between the layers of a network in integers: sums, averages, other grids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int32, Integer
from torch import Tensor

from reference_impl.compress.integer import Requantizer, Sums, windows
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

    def same_codes(self, other: "Form") -> bool:
        """Return whether both are codes, and equal ones stand for equal values."""
        ours, theirs = self.quantizer, other.quantizer
        same = ours is not None and theirs is not None and ours.grid == theirs.grid
        return same and (self.unit, self.zero_point) == (other.unit, other.zero_point)


def form_of_codes(quantizer: AffineQuantizer) -> Form:
    """Return the form of a quantizer's codes."""
    grid, zero = quantizer.grid, int(quantizer.zero_point)
    bound = torch.tensor(max(grid.q_max - zero, zero - grid.q_min))
    return Form(quantizer.scale.double(), bound, quantizer)


def requantizer(unit: Tensor, target: AffineQuantizer, *, relu: bool = False) -> Requantizer:
    """Return the map from sums in a unit to the codes of a quantizer."""
    multiplier = fixed_point(unit / target.scale)
    return Requantizer(multiplier, target.grid, int(target.zero_point), relu)


@dataclass(frozen=True, eq=False)
class Recode(Sums):
    """Codes as sums, r = q − z, which the ``output`` may turn into codes of another grid."""

    zero_point: int

    def accumulate(self, *inputs: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return q − z."""
        (codes,) = inputs
        return codes.int() - self.zero_point


@dataclass(frozen=True, eq=False)
class Join(Sums):
    """Branches in one unit, added or concatenated: r = Σ round(M_k (q_k − z_k)), M_k = s_k / unit.

    The unit is such that the largest possible sum has 24 bits.

    Equation: eq-integer-join, chapter 04.
    """

    zero_points: tuple[int, ...]
    multipliers: tuple[FixedPointMultiplier, ...]
    concatenated: bool

    def accumulate(self, *inputs: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return the sum of the branches, or their concatenation along the channels."""
        terms = zip(inputs, self.zero_points, self.multipliers, strict=True)
        branches = [
            rescale((codes.int() - z).movedim(1, -1), multiplier).movedim(-1, 1).int()
            for codes, z, multiplier in terms
        ]
        return torch.cat(branches, dim=1) if self.concatenated else reduce(torch.add, branches)


def join(forms: Sequence[Form], *, concatenated: bool) -> tuple[Join, Form]:
    """Return what joins branches of these forms, and the form of its sums."""
    largest = torch.stack([(form.unit * form.bound.clamp(min=1)).max() for form in forms])
    unit = (largest.max() if concatenated else largest.sum()) / 2**JOINED_BITS
    multipliers = tuple(fixed_point(form.unit / unit) for form in forms)
    joined = Join(unit, tuple(form.zero_point for form in forms), multipliers, concatenated)
    return joined, Form(unit, torch.tensor(2**JOINED_BITS + len(forms)))  # each was rounded


@dataclass(frozen=True, eq=False)
class Average(Recode):
    """Sums over windows of J positions, Σ (q − z): the average, in a unit J times smaller.

    Equation: eq-integer-average, chapter 04.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    flat: bool  #: whether the axes of positions, of one position each, are dropped

    def accumulate(self, *inputs: Integer[Tensor, "n c height width"]) -> Int32[Tensor, "n ..."]:
        """Return the sums of the windows."""
        sums = super().accumulate(*inputs)
        for axis, size, stride in zip((2, 3), self.kernel, self.stride, strict=True):
            sums = windows(sums, axis, size, stride).sum(-1, dtype=torch.int32)
        return sums.flatten(1) if self.flat else sums


def average(
    form: Form, kernel: tuple[int, int], stride: tuple[int, int], *, flat: bool
) -> tuple[Average, Form]:
    """Return an average of integers of a form, and the form of its sums; refuse too large sums."""
    k = kernel[0] * kernel[1]
    if (most := int(form.bound.max()) * k) > INT32_MAX:
        raise ValueError(f"{k} sums could reach {most} > {INT32_MAX}")
    averaged = Average(form.unit / k, form.zero_point, kernel, stride, flat)
    return averaged, Form(averaged.unit, form.bound * k)


def clip(form: Form, high: float) -> Callable[[Tensor], Tensor]:
    """Return what clips integers of a form to [z, round(high / s) + z], values from 0 to high."""
    most = INT32_MAX if form.quantizer is None else form.quantizer.grid.q_max
    top = (torch.round(high / form.unit) + form.zero_point).clamp(max=most)
    return partial(clipped, low=form.zero_point, high=top)


def clipped(integers: Tensor, low: int, high: Tensor) -> Tensor:
    """Return integers between low and high, one number or one for each channel."""
    per_channel = high.view(-1, *[1] * (integers.ndim - 2)).to(integers.dtype)
    return torch.minimum(integers.clamp(min=low), per_channel)


def concatenation(*codes: Tensor) -> Tensor:
    """Return codes of one grid beside each other, along the channels."""
    return torch.cat(codes, dim=1)
