"""Affine quantizers: codes are integers of a grid, and the number zero has a code of its own.

q = clip(round(x / s) + z, q_min, q_max),    x̂ = s (q − z).

The granularity, how finely a tensor is divided into parts with a scale of their own, is the shape
of the scale, which is broadcast against x.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from reference_impl.checks import (
    FLOATING_TYPES,
    require_broadcast,
    require_float_tensor,
    require_instance,
    require_same_shape,
)
from reference_impl.quantization.grid import IntegerGrid


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
        scale: s, in the unit of x, above 0; any shape that broadcasts to that of x: () for one
            scale per tensor, (C, 1, 1, 1) for one per output channel of a convolution. Kept in
            float32 or wider.
        zero_point: z, the code of 0, integers of the grid; the shape of ``scale``. Kept as int32.
        grid: the codes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a scale is not positive and finite, or so small that 1/s is not finite; if
            the shapes differ; if a zero point lies outside the grid.

    References:
        Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", equation 1.
    """

    scale: Float[Tensor, "*granularity"]
    zero_point: Integer[Tensor, "*granularity"]
    grid: IntegerGrid

    def __post_init__(self) -> None:
        """Validate the arguments and keep copies, which nobody else can change."""
        require_instance("grid", self.grid, IntegerGrid)
        require_float_tensor("scale", self.scale)
        scale = self.scale.detach().to(torch.promote_types(self.scale.dtype, torch.float32))
        smallest = scale.min().item()
        if smallest <= 0:
            raise ValueError(f"scale must be above 0, got {smallest}")
        if not torch.isfinite(1 / scale).all():
            raise ValueError(f"scale must have a finite inverse in {scale.dtype}, got {smallest}")
        self.grid.require_codes("zero_point", self.zero_point)
        require_same_shape("zero_point", self.zero_point, "scale", self.scale)
        object.__setattr__(self, "scale", scale.clone())
        object.__setattr__(self, "zero_point", self.zero_point.to(torch.int32, copy=True))

    def quantize(self, x: Float[Tensor, "*shape"]) -> Integer[Tensor, "*shape"]:
        """Return q = clip(round(x / s) + z, q_min, q_max), in the smallest type for the grid.

        Mind that arithmetic on int8 and uint8 wraps: widen the codes before computing with them.
        Values far outside clip too; torch's kernel per channel overflows beyond |x / s| = 2⁶³.

        Args:
            x: values; half-precision ones are computed in float32.

        Raises:
            TypeError: if ``x`` is no floating-point tensor.
            ValueError: if ``x`` is empty or not finite, if the scale's shape does not broadcast
                to that of ``x``, or if x / s overflows.

        Equation: eq-affine-quantize, chapter 03.
        """
        return self._codes(x).to(self.grid.dtype)

    def dequantize(
        self, q: Integer[Tensor, "*shape"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*shape"]:
        """Return x̂ = s (q − z), computed in float32 or wider and then rounded to ``dtype``.

        Raises:
            TypeError: if ``q`` does not hold integers or ``dtype`` is no floating-point type of
                16 bits or more.
            ValueError: if ``q`` is empty or has a code outside the grid, if the scale's shape
                does not broadcast to that of ``q``, or if ``dtype`` cannot hold x̂.

        Equation: eq-affine-dequantize, chapter 03.
        """
        if dtype not in FLOATING_TYPES:
            raise TypeError(f"dtype must be a floating-point torch.dtype, got {dtype!r}")
        self.grid.require_codes("q", q)
        require_broadcast("q", q, self.scale)
        return self._values(q.to(self._wide(dtype)), dtype)

    def round_trip(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return x̂ = s (clip(round(x / s) + z, q_min, q_max) − z) in the dtype of ``x``.

        Also called fake quantization. Its gradient is 0 wherever it has one: rounding is flat
        (`reference_impl.quantization.straight_through` replaces it).

        Raises:
            TypeError, ValueError: as `quantize`, or if the dtype of ``x`` cannot hold x̂.

        Equation: eq-affine-bound, chapter 03.
        """
        return self._values(self._codes(x), x.dtype)

    def _codes(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the codes of ``x``, still in floating point."""
        require_float_tensor("x", x)
        require_broadcast("x", x, self.scale)
        wide = self._wide(x.dtype)  # of both: a scale without axes would leave x in half precision
        scaled = x.to(wide) * (1 / self.scale).to(wide)  # x / s differs at ties: as torch
        if not torch.isfinite(torch.stack(torch.aminmax(scaled.detach()))).all():
            raise ValueError(f"x / scale must be finite in {scaled.dtype}: x is too large for it")
        q = scaled.round_().add_(self.zero_point)  # in place: new memory costs 10 times as much
        return q.clamp_(self.grid.q_min, self.grid.q_max)

    def _values(self, q: Float[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
        """Return s (q − z) in ``dtype``; ``q`` is overwritten."""
        x_hat = q.sub_(self.zero_point).mul_(self.scale).to(dtype)
        if self._reach > torch.finfo(dtype).max and not torch.isfinite(x_hat).all():
            raise ValueError(f"s (q − z) must be finite in {dtype}, it reaches {self._reach:g}")
        return x_hat

    @property
    def _reach(self) -> float:
        """Return max s (q − z) over the grid, in magnitude."""
        distance = torch.maximum(
            self.zero_point - self.grid.q_min, self.grid.q_max - self.zero_point
        )
        return (distance * self.scale.double()).max().item()

    def _wide(self, dtype: torch.dtype) -> torch.dtype:
        """Return the type to compute in: at least float32, and as wide as the scale."""
        wide = torch.promote_types(dtype, self.scale.dtype)
        return torch.promote_types(wide, torch.float32)


def affine_from_range(
    low: Float[Tensor, "*granularity"], high: Float[Tensor, "*granularity"], grid: IntegerGrid
) -> AffineQuantizer:
    """Return the asymmetric quantizer of the range [low, high] stretched to include 0.

    s = (high − low) / (q_max − q_min),    z = q_min − round(low / s).

    Rounding z moves the ends of the range by up to half a step. Where low = high = 0, any step
    would do, and s is 1.

    >>> quantizer = affine_from_range(torch.tensor(-1.0), torch.tensor(2.0), IntegerGrid(bits=2))
    >>> quantizer.scale.item(), quantizer.zero_point.item()
    (1.0, 1)

    Args:
        low: smallest value to represent, one for each scale.
        high: largest value; the shape of ``low``, no element below it.
        grid: the codes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a bound is not finite, the shapes differ, ``high`` is below ``low``
            somewhere, or (high − low) / (q_max − q_min) is no positive finite number with a
            finite inverse.

    References:
        Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", section 3.

    Equation: eq-affine-scale, eq-affine-zero-point, eq-affine-shift, chapter 03.
    """
    low, high = _bounds(low, high)
    require_instance("grid", grid, IntegerGrid)
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = _step(high - low, grid.steps)
    zero_point = (grid.q_min - torch.round(low / scale)).clamp(grid.q_min, grid.q_max)
    return AffineQuantizer(scale, zero_point.to(torch.int32), grid)


def symmetric_from_range(
    low: Float[Tensor, "*granularity"], high: Float[Tensor, "*granularity"], grid: IntegerGrid
) -> AffineQuantizer:
    """Return the quantizer with z = 0 and s = max(|low|, |high|) / q_max.

    Torch's observers use 2 max(|low|, |high|) / (q_max − q_min), which is the same on a narrow
    grid and less by half a step in 2^(b−1) on a full one. An unsigned grid serves values that
    are never negative. Where low = high = 0, s is 1.

    >>> grid = IntegerGrid(4, signed=True, narrow=True)
    >>> symmetric_from_range(torch.tensor(-3.5), torch.tensor(1.0), grid).scale.item()
    0.5

    Args:
        low: smallest value to represent, one for each scale; at least 0 on an unsigned grid.
        high: largest value; the shape of ``low``, no element below it.
        grid: the codes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `affine_from_range`, or if the grid is unsigned and ``low`` negative.

    Equation: eq-affine-symmetric, eq-affine-symmetric-full, eq-affine-waste, chapter 03.
    """
    low, high = _bounds(low, high)
    require_instance("grid", grid, IntegerGrid)
    if not grid.signed and low.min() < 0:
        raise ValueError(f"low must be at least 0 for an unsigned grid, got {low.min().item()}")
    scale = _step(torch.maximum(low.abs(), high.abs()), grid.q_max)
    return AffineQuantizer(scale, torch.zeros_like(scale, dtype=torch.int32), grid)


def _bounds(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the validated bounds, at least in float32."""
    require_float_tensor("low", low)
    require_float_tensor("high", high)
    require_same_shape("high", high, "low", low)
    if (high < low).any():
        worst = int((high - low).argmin())
        raise ValueError(
            f"high must not be below low = {low.flatten()[worst].item()}, "
            f"got {high.flatten()[worst].item()}"
        )
    wide = torch.promote_types(torch.promote_types(low.dtype, high.dtype), torch.float32)
    return low.to(wide), high.to(wide)


def _step(width: Tensor, steps: int) -> Tensor:
    """Return width / steps, and 1 where there is nothing to divide."""
    step = torch.where(width == 0, torch.ones_like(width), width / steps)
    bad = step[~(torch.isfinite(step) & torch.isfinite(1 / step))]
    if bad.numel():
        raise ValueError(
            f"low and high must give a scale with a finite inverse in {step.dtype}, "
            f"got {bad[0].item()}"
        )
    return step
