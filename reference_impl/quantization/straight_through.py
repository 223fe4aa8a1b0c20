"""The straight-through estimator: a derivative for functions whose own is zero almost everywhere.

round(u) = u + ρ(u) with the residual ρ(u) = round(u) − u. The estimator holds ρ constant when it
differentiates, so that d round(u)/du = 1. Rounding is still rounding on the way forward.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Values, checked
from reference_impl.quantization.affine import AffineQuantizer, in_steps, nearest_codes


@checked
def round_straight_through(u: Values) -> Float[Tensor, "*shape"]:
    """Return round(u), with the derivative of u: d round(u)/du = 1.

    ``detach`` makes the residual round(u) − u a constant. The sum is exact, since the residual
    is: the values are those of ``torch.round``, bit for bit.

    >>> u = torch.tensor([0.4, 1.7], requires_grad=True)
    >>> round_straight_through(u).tolist()
    [0.0, 2.0]
    >>> torch.autograd.grad(round_straight_through(u).sum(), u)[0].tolist()
    [1.0, 1.0]

    References: Bengio et al. 2013, "Estimating or propagating gradients through stochastic neurons
    for conditional computation".
    Equation: eq-qat-residual, chapter 09.
    """
    residual = (torch.round(u) - u).detach()
    return u + residual


def differential(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return dx = x − x with the second x held constant: the value 0, with the derivative of x.

    So y + slope · dx has the value of y, and this slope with respect to x.
    """
    return x - x.detach()


@checked
def fake_quantize(x: Values, quantizer: AffineQuantizer) -> Float[Tensor, "*shape"]:
    """Return x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), with the derivative of the clip.

    ∂x̂/∂x = 1 where q_min ≤ round(x / s) + z ≤ q_max, else 0.

    The values are those of `AffineQuantizer.round_trip`; s and z are constant (in
    `reference_impl.quantization.lsq` they are learned). A value up to half a step beyond the last
    code is rounded to it, and is inside. A clipped value gets no gradient, so training does not
    move it any more.

    >>> from reference_impl.quantization.grid import IntegerGrid
    >>> quantizer = AffineQuantizer(torch.tensor(0.5), torch.tensor(0), IntegerGrid(bits=2))
    >>> x = torch.tensor([-0.3, 0.6, 1.7, 1.8], requires_grad=True)
    >>> x_hat = fake_quantize(x, quantizer)
    >>> x_hat.tolist()
    [0.0, 0.5, 1.5, 1.5]
    >>> torch.autograd.grad(x_hat.sum(), x)[0].tolist()
    [0.0, 1.0, 1.0, 0.0]

    Equation: eq-qat-ste, chapter 09.
    """
    u, z, grid = in_steps(x.detach(), quantizer.scale), quantizer.zero_point, quantizer.grid
    inside = torch.round(u) + z == nearest_codes(u, z, grid)
    return quantizer.round_trip(x) + inside * differential(x)
