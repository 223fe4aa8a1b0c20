"""BatchNorm folded into the layer before it: at inference both are one affine map."""

import copy
from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance
from reference_impl.compress.quantized import WEIGHT_LAYERS, WeightLayer, places

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def folded(
    weight: Float[Tensor, "out ..."],
    bias: Float[Tensor, " out"],
    norm: Norm,
) -> tuple[Float[Tensor, "out ..."], Float[Tensor, " out"]]:
    """Return W' = a W and b' = a (b − μ) + β, a = γ / √(σ² + ε), one a for each output.

    μ and σ² are the running mean and variance, γ and β the learned scale and shift. Computed in
    float64, returned in the dtype of W.

    Equation: eq-ptq-fold, chapter 06.
    """
    mean, variance = _statistics(norm)
    ones = torch.ones_like(mean)
    gamma = ones if norm.weight is None else norm.weight.detach().double()
    beta = 0 * ones if norm.bias is None else norm.bias.detach().double()
    a = gamma / torch.sqrt(variance + norm.eps)
    new_weight = weight.double() * a.view(-1, *[1] * (weight.ndim - 1))
    new_bias = a * (bias.double() - mean) + beta
    return new_weight.to(weight.dtype), new_bias.to(weight.dtype)


def fold_batch_norms(chain: nn.Sequential) -> nn.Sequential:
    """Return the chain without its BatchNorm layers: each is folded into the layer before it.

    In evaluation mode the function is the same, up to rounding. The chain is left as it is.

    Args:
        chain: in evaluation mode, for in training mode BatchNorm normalizes by its batch, which
            no constant weight can imitate.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
        ValueError: if it or a BatchNorm in it is in training mode, or a BatchNorm has no linear or
            convolutional layer directly before it, lies inside another module, has another width
            than that layer, or keeps no running statistics, or such that are no finite means and
            variances.

    References:
        Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", section 3.2.

    Equation: eq-ptq-norm, chapter 06.
    """
    require_instance("chain", chain, nn.Sequential)
    if chain.training:
        raise ValueError("chain must be in evaluation mode, call chain.eval(); it is in training")
    _require_flat(chain)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    before = ""
    for name, module in places(chain):
        if not isinstance(module, NORMS):
            parts[name] = copy.deepcopy(module)
            before = name
            continue
        layer = parts.get(before)
        if not isinstance(layer, WEIGHT_LAYERS):
            raise ValueError(
                f"chain must have a linear or convolutional layer directly before {name!r}, "
                f"got {type(layer).__name__ if layer is not None else 'nothing'}"
            )
        _fold_into(layer, module, name)
        before = ""  # a second norm in a row has no layer directly before it
    return nn.Sequential(parts).eval()


def _require_flat(chain: nn.Sequential) -> None:
    """Refuse a BatchNorm inside a module of the chain, which no step of the walk would reach."""
    nested = [
        f"{name}.{inner}"
        for name, module in places(chain)
        for inner, part in module.named_modules()
        if inner and isinstance(part, NORMS)
    ]
    if nested:
        raise ValueError(f"chain must have each BatchNorm as a module of its own, got {nested}")


def _fold_into(layer: WeightLayer, norm: Norm, name: str) -> None:
    """Replace the layer's weight and bias by the folded ones."""
    outputs = layer.weight.shape[0]
    if norm.training:
        raise ValueError(
            f"{name!r} must be in evaluation mode, call chain.eval(); it is in training"
        )
    if norm.num_features != outputs:
        raise ValueError(f"{name!r} must have {outputs} features, got {norm.num_features}")
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"{name!r} must have running statistics, it keeps none")
    require_float_tensor(f"running_mean of {name!r}", norm.running_mean)
    require_float_tensor(f"running_var of {name!r}", norm.running_var)
    if norm.running_var.min() < 0:
        raise ValueError(
            f"running_var of {name!r} must be at least 0, got {norm.running_var.min().item()}"
        )
    old = layer.bias if layer.bias is not None else layer.weight.new_zeros(outputs)
    weight, bias = folded(layer.weight.detach(), old.detach(), norm)
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(bias)


def _statistics(norm: Norm) -> tuple[Tensor, Tensor]:
    """Return the running mean and variance, in float64."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("norm must have running statistics, it keeps none")
    return mean.double(), variance.double()
