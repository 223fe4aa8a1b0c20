"""Affine quantizers: codes are integers of a grid, and the number zero has a code of its own.

q = clip(round(x / s) + z, q_min, q_max),    x̂ = s (q − z).

The granularity, how finely a tensor is divided into parts with a scale of their own, is the shape
of the scale, which is broadcast against x.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from reference_impl.checked import Finite, FloatType, Values, Within, checked, readable, widened
from reference_impl.quantization.grid import Codes, IntegerGrid

Scale = Annotated[Float[Tensor, "*granularity"], Within(0, above=True)]
"""s, the step between neighbouring codes, in the unit of x: one number or one for each part."""
End = Finite[Tensor, "*granularity"]
"""The smallest or the largest value to represent, one for each scale."""


@checked
@dataclass(frozen=True, eq=False)
class AffineQuantizer:
    """The map x ↦ q = clip(round(x / s) + z, q_min, q_max) and its inverse q ↦ x̂ = s (q − z).

    Zero is exact: x = 0 has the code z and comes back as 0. Ties go to the even code distance
    q − z, as in torch.

    >>> quantizer = AffineQuantizer(torch.tensor(0.5), torch.tensor(2), IntegerGrid(bits=3))
    >>> x = torch.tensor([-1.2, 0.0, 0.3, 9.0])
    >>> quantizer.quantize(x).tolist()
    [0, 2, 3, 7]
    >>> quantizer.round_trip(x).tolist()
    [-1.0, 0.0, 0.5, 2.5]

    Args:
        scale: s; its shape broadcasts to that of x: () for one scale per tensor, (C, 1, 1, 1) for
            one per output channel of a convolution. A copy is kept in float32 or wider.
        zero_point: z, the code of 0. A copy is kept as int32.

    References: Jacob et al. 2018, "Quantization and Training of Neural Networks", equation 1.
    """

    scale: Scale
    zero_point: Integer[Tensor, "*granularity"]
    grid: IntegerGrid

    def __post_init__(self) -> None:
        """Keep copies, so that later changes to the arguments have no effect."""
        self.grid.require_codes("zero_point", self.zero_point)
        object.__setattr__(self, "scale", widened(self.scale.detach()).clone())
        object.__setattr__(self, "zero_point", self.zero_point.to(torch.int32, copy=True))

    @checked
    def quantize(self, x: Values) -> Codes:
        """Return q = clip(round(x / s) + z, q_min, q_max), in the smallest type for the grid.

        Arithmetic on int8 and uint8 wraps: widen the codes before computing with them. Values far
        outside clip too; torch's kernel per channel overflows beyond |x / s| = 2⁶³.

        Equation: eq-affine-quantize, chapter 03.
        """
        u = in_steps(x, self.scale)
        return nearest_codes(u, self.zero_point, self.grid).to(self.grid.dtype)

    @checked
    def dequantize(self, q: Codes, dtype: FloatType = torch.float32) -> Float[Tensor, "*shape"]:
        """Return x̂ = s (q − z), computed in float32 or wider and then rounded to ``dtype``.

        Equation: eq-affine-dequantize, chapter 03.
        """
        self.grid.require_codes("q", q)
        _require_broadcast("q", q, self.scale)
        wide = torch.promote_types(dtype, self.scale.dtype)
        return q.to(wide).sub_(self.zero_point).mul_(self.scale).to(dtype)

    @checked
    def round_trip(self, x: Values) -> Float[Tensor, "*shape"]:
        """Return x̂ = s (clip(round(x / s) + z, q_min, q_max) − z) in the dtype of ``x``.

        Also called fake quantization. No gradient passes, since rounding is flat
        (`reference_impl.quantization.straight_through` replaces its derivative).

        Equation: eq-affine-bound, chapter 03.
        """
        return self.dequantize(self.quantize(x), x.dtype)


def in_steps(x: Float[Tensor, "*shape"], scale: Tensor) -> Float[Tensor, "*shape"]:
    """Return u = x / s, in the widest type of x, s and float32."""
    _require_broadcast("x", x, scale)
    wide = torch.promote_types(torch.promote_types(x.dtype, scale.dtype), torch.float32)
    return x.to(wide) * (1 / scale).to(wide)  # x / s differs at ties: as torch


def nearest_codes(
    u: Float[Tensor, "*shape"], zero_point: Tensor, grid: IntegerGrid
) -> Float[Tensor, "*shape"]:
    """Return q = clip(round(u) + z, q_min, q_max) for u = x / s, in floating point."""
    # in place: quantize, then dequantize takes 1.2 × torch's time, in new memory 2.8 ×
    return torch.round(u).add_(zero_point).clamp_(grid.q_min, grid.q_max)


def _require_broadcast(name: str, x: Tensor, scale: Tensor) -> None:
    lengths = zip(reversed(scale.shape), reversed(x.shape), strict=False)
    if scale.ndim > x.ndim or any(n not in (1, size) for n, size in lengths):
        raise ValueError(
            f"{name} must have a shape to which the scale's shape {tuple(scale.shape)} "
            f"broadcasts, got {tuple(x.shape)}"
        )


@checked
def affine_from_range(low: End, high: End, grid: IntegerGrid) -> AffineQuantizer:
    """Return the asymmetric quantizer of the range [low, high] stretched to include 0.

    s = (high − low) / (q_max − q_min),    z = q_min − round(low / s).

    Rounding z moves the ends of the range by up to half a step. Where low = high = 0, any step
    would do, and s is 1.

    >>> quantizer = affine_from_range(torch.tensor(-1.0), torch.tensor(2.0), IntegerGrid(bits=2))
    >>> quantizer.scale.item(), quantizer.zero_point.item()
    (1.0, 1)

    References: Jacob et al. 2018, section 3.
    Equation: eq-affine-scale, eq-affine-zero-point, eq-affine-shift, chapter 03.
    """
    low, high = _ordered(low, high)
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = _or_one((high - low) / grid.steps)
    zero_point = (grid.q_min - torch.round(low / scale)).clamp(grid.q_min, grid.q_max)
    return AffineQuantizer(scale, zero_point.to(torch.int32), grid)


@checked
def symmetric_from_range(low: End, high: End, grid: IntegerGrid) -> AffineQuantizer:
    """Return the quantizer with z = 0 and s = max(|low|, |high|) / q_max.

    Torch's observers use 2 max(|low|, |high|) / (q_max − q_min), which is the same on a narrow
    grid and less by half a step in 2^(b−1) on a full one. An unsigned grid serves values that
    are never negative, and refuses others. Where low = high = 0, s is 1.

    >>> grid = IntegerGrid(4, signed=True, narrow=True)
    >>> symmetric_from_range(torch.tensor(-3.5), torch.tensor(1.0), grid).scale.item()
    0.5

    Equation: eq-affine-symmetric, eq-affine-symmetric-full, eq-affine-waste, chapter 03.
    """
    low, high = _ordered(low, high)
    if not grid.signed and readable() and low.min() < 0:
        raise ValueError(f"low must be at least 0 for an unsigned grid, got {low.min().item()}")
    scale = _or_one(torch.maximum(low.abs(), high.abs()) / grid.q_max)
    return AffineQuantizer(scale, torch.zeros_like(scale, dtype=torch.int32), grid)


def _ordered(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return both ends in their wider type, at least float32."""
    below = high < low
    if readable() and below.any():
        raise ValueError(f"high must not be below low = {low[below][0]}, got {high[below][0]}")
    wide = torch.promote_types(torch.promote_types(low.dtype, high.dtype), torch.float32)
    return low.to(wide), high.to(wide)


def _or_one(step: Tensor) -> Tensor:
    """Return the step, and 1 where it is 0 or so small that 1/s overflows: x is 0 there."""
    return torch.where(torch.isfinite(1 / step), step, torch.ones_like(step))
