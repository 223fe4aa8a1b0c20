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

Inside means q_min ≤ round(x / s) + z ≤ q_max: x is rounded first and then clipped, as in torch.
The paper clips first, so that its inside ends half a step earlier, at x / s = q_max.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Count, Finite, NonNegative, Values, checked, widened
from reference_impl.quantization.affine import AffineQuantizer, Scale, in_steps
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.ranges import Axes, part_means
from reference_impl.quantization.straight_through import differential


@checked
def learned_fake_quantize(
    x: Values, scale: Scale, zero_point: Finite[Tensor, "*granularity"], grid: IntegerGrid
) -> Float[Tensor, "*shape"]:
    """Return x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), differentiable in x, s and z.

    The derivatives are those of the table at the head of this module; z is rounded to an integer
    of the grid. If x and s are multiplied by a number, so is x̂; hence x ∂x̂/∂x + s ∂x̂/∂s = x̂
    (Euler's theorem on homogeneous functions).

    >>> scale = torch.tensor(0.5, requires_grad=True)
    >>> x = torch.tensor([0.6, 9.0], requires_grad=True)
    >>> x_hat = learned_fake_quantize(x, scale, torch.tensor(0.0), IntegerGrid(bits=2))
    >>> x_hat.sum().backward()
    >>> x_hat.tolist(), x.grad.tolist(), round(scale.grad.item(), 4)
    ([0.5, 1.5], [1.0, 0.0], 2.8)

    References: Esser et al. 2020, "Learned step size quantization", equations 1 to 3; Bhalgat et
    al. 2020, "LSQ+: improving low-bit quantization through learnable offsets and better
    initialization".
    Equation: eq-qat-quantizer, eq-qat-step, eq-qat-zero, eq-qat-euler, chapter 09.
    """
    u, s = in_steps(x.detach(), scale.detach()), scale.detach()  # x / s
    z = _rounded(zero_point, grid)
    level = torch.clamp(torch.round(u) + z, grid.q_min, grid.q_max) - z  # q − z
    inside = torch.round(u) == level
    slope = level - torch.where(inside, u, 0)  # ∂x̂/∂s
    dx, ds, dz = (value - value.detach() for value in (x, scale, zero_point))  # 0 with a derivative
    return (s * level + inside * dx + slope * ds - ~inside * (s * dz)).to(x.dtype)


def _rounded(zero_point: Tensor, grid: IntegerGrid) -> Tensor:
    return torch.round(zero_point.detach()).clamp(grid.q_min, grid.q_max)


@checked
def to_quantizer(
    scale: Scale, zero_point: Finite[Tensor, "*granularity"], grid: IntegerGrid
) -> AffineQuantizer:
    """Return the quantizer with the values of s and round(z), z brought into the grid."""
    return AffineQuantizer(scale, _rounded(zero_point, grid).to(torch.int32), grid)


@checked
def initial_scale(x: Values, grid: IntegerGrid, axes: Axes = ()) -> Float[Tensor, "*granularity"]:
    """Return s = 2 E|x| / √q_max of each part of x, where LSQ starts.

    x are weights, or the activations of some batch. A part that is 0 everywhere may have any
    step, and gets 1.

    >>> initial_scale(torch.tensor([-1.0, 3.0]), IntegerGrid(3, signed=True)).item()
    2.309401035308838

    Equation: eq-qat-start, chapter 09.
    """
    mean = part_means(widened(x.detach().abs()), axes)
    return torch.where(mean > 0, 2 * mean / math.sqrt(grid.q_max), torch.ones_like(mean))


@checked
def gradient_factor(n: Count, grid: IntegerGrid) -> float:
    """Return gradscale = 1 / √(N q_max), by which LSQ multiplies the gradient of a step.

    N elements share the step: weights, or features of one example.

    >>> gradient_factor(100, IntegerGrid(3, signed=True, narrow=True))
    0.05773502691896257

    References: Esser et al. 2020, section 2.2.
    Equation: eq-qat-ratio, eq-qat-factor, chapter 09.
    """
    return 1 / math.sqrt(n * grid.q_max)


@checked
def scale_gradient(value: Values, factor: NonNegative) -> Float[Tensor, "*shape"]:
    """Return the value itself, whose gradient arrives multiplied by a factor.

    >>> s = torch.tensor(3.0, requires_grad=True)
    >>> scale_gradient(s, 0.25).square().backward()
    >>> s.grad.item()
    1.5
    """
    return value.detach() + factor * differential(value)
