"""BatchNorm folded into the layer before it: at inference both are one affine map."""

from itertools import pairwise

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from reference_impl.arrays import all_finite
from reference_impl.checked import Finite, checked
from reference_impl.compress.quantized import WEIGHT_LAYERS, places, refuse_nested, unshared
from reference_impl.merging import batch_norm_factor

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

Norm = nn.BatchNorm1d | nn.BatchNorm2d


@checked
def norm_factor(norm: Norm) -> Float64[Tensor, " out"]:
    """Return a = γ / √(σ² + ε), by which BatchNorm multiplies each channel in evaluation mode."""
    if norm.running_var is None or not all_finite(norm.running_mean):
        raise ValueError(f"norm must have finite running statistics, got {norm}")
    variance = norm.running_var.double()
    gamma = torch.ones_like(variance) if norm.weight is None else norm.weight.detach().double()
    return batch_norm_factor(gamma, variance, eps=norm.eps)


@checked
def folded(
    weight: Finite[Tensor, "out ..."], bias: Finite[Tensor, " out"], norm: Norm
) -> tuple[Float[Tensor, "out ..."], Float[Tensor, " out"]]:
    """Return W' = a W and b' = a (b − μ) + β, a = γ / √(σ² + ε), one a for each output.

    μ and σ² are the running mean and variance, γ and β the learned scale and shift. Computed in
    float64, returned in the dtype of W.

    Equation: eq-ptq-fold, chapter 06.
    """
    a, mean = norm_factor(norm), norm.get_buffer("running_mean").double()
    beta = 0 if norm.bias is None else norm.bias.detach().double()
    new_weight = weight.double() * a.view(-1, *[1] * (weight.ndim - 1))
    new_bias = a * (bias.double() - mean) + beta
    return new_weight.to(weight.dtype), new_bias.to(weight.dtype)


@checked
def fold_batch_norms(chain: nn.Sequential) -> nn.Sequential:
    """Return the chain without its BatchNorm layers: each is folded into the layer before it.

    In evaluation mode the function is the same, up to rounding. In training mode BatchNorm
    normalizes by its batch, which no constant weight can imitate. The chain is left as it is.

    Raises:
        ValueError: if the chain or a BatchNorm is in training mode, or a BatchNorm lies inside
            another module or does not directly follow a weight layer of its width.

    References: Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2.
    Equation: eq-ptq-norm, chapter 06.
    """
    if chain.training:
        raise ValueError("chain must be in evaluation mode, call chain.eval(); it is in training")
    refuse_nested(chain, NORMS)
    result = unshared(chain)
    for (_, layer), (name, norm) in pairwise([("", None), *places(result)]):
        if isinstance(norm, NORMS):
            _fold(layer, norm, name)
            delattr(result, name)
    return result.eval()


def _fold(layer: nn.Module | None, norm: Norm, name: str) -> None:
    """Replace the weight and the bias of the layer before a BatchNorm by the folded ones."""
    n = norm.num_features
    if not isinstance(layer, WEIGHT_LAYERS) or len(layer.weight) != n or norm.training:
        raise ValueError(
            f"{name!r} must be in evaluation mode, directly after a linear or convolutional layer "
            f"of {n} outputs, got {norm} with training={norm.training} after {layer}"
        )
    old = layer.weight.new_zeros(n) if layer.bias is None else layer.bias.detach()
    try:
        weight, bias = folded(layer.weight.detach(), old, norm)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
