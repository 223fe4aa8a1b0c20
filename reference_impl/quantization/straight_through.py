"""The straight-through estimator: a derivative for functions whose own is zero almost everywhere.

round(u) = u + ρ(u) with the residual ρ(u) = round(u) − u. The estimator holds ρ constant when it
differentiates, so that d round(u)/du = 1. Rounding is still rounding on the way forward.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_broadcast, require_float_tensor, require_instance
from reference_impl.quantization.affine import AffineQuantizer


def round_straight_through(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return round(u), with the derivative of u: d round(u)/du = 1.

    ``detach`` makes the residual round(u) − u a constant. The sum is exact, since the residual
    is: the values are those of ``torch.round``, bit for bit.

    >>> u = torch.tensor([0.4, 1.7], requires_grad=True)
    >>> round_straight_through(u).tolist()
    [0.0, 2.0]
    >>> torch.autograd.grad(round_straight_through(u).sum(), u)[0].tolist()
    [1.0, 1.0]

    Args:
        u: values, usually x / s.

    Raises:
        TypeError: if ``u`` is no floating-point tensor.
        ValueError: if it is empty or not finite.

    References:
        Bengio, Léonard & Courville 2013, "Estimating or propagating gradients through stochastic
        neurons for conditional computation".

    Equation: eq-qat-residual, chapter 07.
    """
    require_float_tensor("u", u)
    residual = (torch.round(u) - u).detach()
    return u + residual


def fake_quantize(
    x: Float[Tensor, "*shape"], quantizer: AffineQuantizer
) -> Float[Tensor, "*shape"]:
    """Return x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), with the derivative of the clip.

    ∂x̂/∂x = 1 where q_min ≤ round(x / s) + z ≤ q_max, else 0.

    The values are those of `AffineQuantizer.round_trip`. What was clipped gets no gradient: it
    moves no more, unless something else moves it.

    >>> from reference_impl.quantization.grid import IntegerGrid
    >>> quantizer = AffineQuantizer(torch.tensor(0.5), torch.tensor(0), IntegerGrid(bits=2))
    >>> x = torch.tensor([-0.3, 0.6, 1.7, 1.8], requires_grad=True)
    >>> x_hat = fake_quantize(x, quantizer)
    >>> x_hat.tolist()
    [0.0, 0.5, 1.5, 1.5]
    >>> torch.autograd.grad(x_hat.sum(), x)[0].tolist()
    [0.0, 1.0, 1.0, 0.0]

    Args:
        x: values.
        quantizer: with s, z and the grid, all constant; see `reference_impl.quantization.lsq`
            for those that are learned.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `AffineQuantizer.quantize`.

    Equation: eq-qat-ste, chapter 07.
    """
    require_instance("quantizer", quantizer, AffineQuantizer)
    x_hat: Tensor = _FakeQuantize.apply(x, quantizer)
    return x_hat


def inside(x: Float[Tensor, "*shape"], quantizer: AffineQuantizer) -> Float[Tensor, "*shape"]:
    """Return 1 where q_min ≤ round(x / s) + z ≤ q_max and 0 where x is clipped, in x's dtype.

    A value up to half a step beyond the last code is rounded to it, and is inside.

    Raises:
        TypeError, ValueError: as `fake_quantize`.
    """
    require_instance("quantizer", quantizer, AffineQuantizer)
    require_float_tensor("x", x)
    require_broadcast("x", x, quantizer.scale)
    wide = torch.promote_types(torch.promote_types(x.dtype, quantizer.scale.dtype), torch.float32)
    code = torch.round(x.detach() * (1 / quantizer.scale).to(wide)) + quantizer.zero_point
    grid = quantizer.grid
    return ((code >= grid.q_min) & (code <= grid.q_max)).to(x.dtype)


class _FakeQuantize(torch.autograd.Function):
    """The round trip forward, the mask `inside` backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantizer: AffineQuantizer) -> Tensor:
        x_hat = quantizer.round_trip(x)
        ctx.save_for_backward(inside(x, quantizer))
        return x_hat

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0] * mask, None
