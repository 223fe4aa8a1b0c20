"""Learned step size quantization (LSQ): the step s, and the zero point z, have gradients too.

x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), differentiated with the residual
round(x / s) − x / s held constant, see `reference_impl.quantization.straight_through`:

============== ============================== =========== =====================
derivative     inside                         below q_min above q_max
============== ============================== =========== =====================
∂x̂/∂x          1                              0           0
∂x̂/∂s          round(x / s) − x / s           q_min − z   q_max − z
∂x̂/∂z          0                              −s          −s
============== ============================== =========== =====================

Inside means q_min ≤ round(x / s) + z ≤ q_max: x is rounded first and clipped then, as in torch.
The paper clips first, so that its inside ends half a step earlier, at x / s = q_max.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import (
    require_broadcast,
    require_float_tensor,
    require_instance,
    require_int,
    require_real,
)
from reference_impl.quantization.affine import AffineQuantizer
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.ranges import Axes, reduced_axes


def learned_fake_quantize(
    x: Float[Tensor, "*shape"],
    scale: Float[Tensor, "*granularity"],
    zero_point: Float[Tensor, "*granularity"],
    grid: IntegerGrid,
) -> Float[Tensor, "*shape"]:
    """Return x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), differentiable in x, s and z.

    The derivatives are those of the table at the head of this module. Whoever multiplies x and s
    by a number multiplies x̂ by it, so that x ∂x̂/∂x + s ∂x̂/∂s = x̂ (Euler's theorem on homogeneous
    functions).

    >>> scale = torch.tensor(0.5, requires_grad=True)
    >>> x = torch.tensor([0.6, 9.0], requires_grad=True)
    >>> x_hat = learned_fake_quantize(x, scale, torch.tensor(0.0), IntegerGrid(bits=2))
    >>> x_hat.sum().backward()
    >>> x_hat.tolist(), x.grad.tolist(), round(scale.grad.item(), 4)
    ([0.5, 1.5], [1.0, 0.0], 2.8)

    Args:
        x: values.
        scale: s, in the unit of x, above 0; any shape that broadcasts to that of x.
        zero_point: z, the shape of ``scale``; it is rounded to an integer of the grid.
        grid: the codes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `AffineQuantizer` and its ``quantize``; a scale that training made 0 or
            negative is one case.

    References:
        Esser, McKinstry, Bablani, Appuswamy & Modha 2020, "Learned step size quantization",
        equations 1 to 3; Bhalgat, Lee, Nagel, Blankevoort & Kwak 2020, "LSQ+: improving low-bit
        quantization through learnable offsets and better initialization".

    Equation: eq-qat-quantizer, eq-qat-step, eq-qat-zero, eq-qat-euler, chapter 07.
    """
    require_float_tensor("x", x)
    to_quantizer(scale, zero_point, grid)  # refuses what is no quantizer
    require_broadcast("x", x, scale)
    x_hat: Tensor = _LearnedFakeQuantize.apply(x, scale, zero_point, grid)
    return x_hat


def to_quantizer(
    scale: Float[Tensor, "*granularity"],
    zero_point: Float[Tensor, "*granularity"],
    grid: IntegerGrid,
) -> AffineQuantizer:
    """Return the quantizer with the values of s and round(z), z brought into the grid.

    Raises:
        TypeError, ValueError: as `learned_fake_quantize`.
    """
    require_instance("grid", grid, IntegerGrid)
    require_float_tensor("zero_point", zero_point)
    z = torch.round(zero_point.detach()).clamp(grid.q_min, grid.q_max).to(torch.int32)
    return AffineQuantizer(scale, z, grid)


def initial_scale(
    x: Float[Tensor, "*shape"], grid: IntegerGrid, axes: Axes = ()
) -> Float[Tensor, "*granularity"]:
    """Return s = 2 E|x| / √q_max of each part of x, where LSQ starts.

    A part that is 0 everywhere may have any step, and gets 1.

    >>> initial_scale(torch.tensor([-1.0, 3.0]), IntegerGrid(3, signed=True)).item()
    2.309401035308838

    Args:
        x: weights, or the activations of some batch.
        grid: the codes.
        axes: along which the parts are told apart, see `reference_impl.quantization.ranges`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``x`` is empty or not finite, or an axis is out of range or named twice.

    Equation: eq-qat-start, chapter 07.
    """
    require_float_tensor("x", x)
    require_instance("grid", grid, IntegerGrid)
    dims = reduced_axes(x.ndim, axes)
    magnitude = x.detach().abs().to(torch.promote_types(x.dtype, torch.float32))
    mean = magnitude.mean(dim=dims, keepdim=True) if dims else magnitude
    return torch.where(mean > 0, 2 * mean / math.sqrt(grid.q_max), torch.ones_like(mean))


def gradient_factor(n: int, grid: IntegerGrid) -> float:
    """Return g = 1 / √(N q_max), by which LSQ multiplies the gradient of a step.

    >>> gradient_factor(100, IntegerGrid(3, signed=True, narrow=True))
    0.05773502691896257

    Args:
        n: N, how many elements share the step: weights, or features of one example.
        grid: the codes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``n`` is below 1.

    References:
        Esser et al. 2020, section 2.2.

    Equation: eq-qat-ratio, eq-qat-factor, chapter 07.
    """
    n = require_int("n", n, 1)
    require_instance("grid", grid, IntegerGrid)
    return 1 / math.sqrt(n * grid.q_max)


def scale_gradient(value: Float[Tensor, "*shape"], factor: float) -> Float[Tensor, "*shape"]:
    """Return the value itself, whose gradient arrives multiplied by a factor.

    >>> s = torch.tensor(3.0, requires_grad=True)
    >>> scale_gradient(s, 0.25).square().backward()
    >>> s.grad.item()
    1.5

    Raises:
        TypeError: if ``value`` is no floating-point tensor or ``factor`` no number.
        ValueError: if ``value`` is empty or not finite, or ``factor`` negative or not finite.
    """
    require_float_tensor("value", value)
    scaled: Tensor = _ScaleGradient.apply(value, require_real("factor", factor, 0))
    return scaled


class _LearnedFakeQuantize(torch.autograd.Function):
    """The arithmetic of `AffineQuantizer.round_trip`, and the table's ∂x̂/∂s on the way."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, grid: IntegerGrid
    ) -> Tensor:
        z = torch.round(zero_point).clamp(grid.q_min, grid.q_max)
        wide = torch.promote_types(torch.promote_types(x.dtype, scale.dtype), torch.float32)
        u = x * (1 / scale).to(wide)
        code = torch.round(u).add_(z)
        clipped = code.clamp(grid.q_min, grid.q_max)
        inside = clipped == code
        level = clipped.sub_(z)  # q − z
        slope = level - torch.where(inside, u, 0)  # ∂x̂/∂s
        ctx.save_for_backward(inside, slope, scale)
        return level.mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inside, slope, scale = ctx.saved_tensors
        (to_x_hat,) = gradients
        to_x = to_x_hat * inside
        to_scale = to_zero = None
        if ctx.needs_input_grad[1]:
            to_scale = (to_x_hat * slope).sum_to_size(scale.shape).to(scale.dtype)
        if ctx.needs_input_grad[2]:
            to_zero = (to_x - to_x_hat).sum_to_size(scale.shape) * scale
        return to_x, to_scale, to_zero, None


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None
