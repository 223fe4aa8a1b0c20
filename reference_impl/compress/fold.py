"""BatchNorm folded into the layer before it: at inference both are one affine map."""

import copy
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reference_impl.arrays import all_finite
from reference_impl.checked import Finite, checked
from reference_impl.compress.layers import ACTIVATIONS, NORMS, WEIGHT_LAYERS, Net, at, kind_of
from reference_impl.compress.quantized import WeightLayer
from reference_impl.compress.trace import Trace, trace
from reference_impl.merging import batch_norm_factor
from reference_impl.models import Network

Norm = _BatchNorm
Example = Finite[Tensor, "n ..."] | None
"""An input of the network, where its shape decides something."""


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
def fold_batch_norms(network: Net, example: Example = None) -> Net:
    """Return the network with each BatchNorm behind a weight layer folded into that layer.

    An identity takes its place; in an ``nn.Sequential`` nothing does. A BatchNorm behind anything
    else (a sum, a concatenation) stays. In evaluation mode the function is the same, up to
    rounding; in training mode BatchNorm normalizes by its batch, which no constant weight can
    imitate. The network is left as it is.

    BatchNorm scales axis 1, a linear layer writes the last: an ``example`` of the network's input
    says whether these are one, where nothing else does.

    Raises:
        ValueError: if the network or a BatchNorm is in training mode, or if the axes differ.

    References: Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2.
    Equation: eq-ptq-norm, chapter 06.
    """
    if network.training:
        raise ValueError("network must be in evaluation mode, call network.eval()")
    traced = trace(network)
    pairs = folding_pairs(traced, example)
    result = copy.deepcopy(network)
    for path, norm_path in pairs.items():
        _fold(at(result, path), at(result, norm_path), norm_path)
        parent, _, name = norm_path.rpartition(".")
        holder = at(result, parent)
        if kind_of(holder) is nn.Sequential or isinstance(holder, Network):
            delattr(holder, name)
        else:
            setattr(holder, name, nn.Identity().eval())
    return result


def folding_pairs(traced: Trace, example: Example = None) -> dict[str, str]:
    """Return path of a weight layer → path of the BatchNorm that alone reads its outputs."""
    pairs = {}
    for path, node in traced.calls(*NORMS).items():
        before = node.args[0]
        if not isinstance(before, fx.Node) or len(before.users) > 1:
            continue
        layer = traced.module(before)
        if layer is None or kind_of(layer) not in WEIGHT_LAYERS:
            continue
        if isinstance(layer, nn.Linear) and not _two_axes(traced, before, path, example):
            continue
        pairs[str(before.target)] = path
    return pairs


def _two_axes(traced: Trace, node: Any, norm: str, example: Example) -> bool:
    """Return whether the last axis of a linear layer's output is axis 1."""
    if example is not None:
        return len(traced.shapes(example)[node]) == 2
    while traced.operation(node) in ("linear", "batchnorm1d", "identity", "dropout", *ACTIVATIONS):
        node = node.args[0]
    if not traced.flattens(node):
        raise ValueError(
            f"{norm!r} scales axis 1, the linear layer before it writes the last: give an example "
            "of the network's input, to say whether they are one"
        )
    return True


def _fold(layer: WeightLayer, norm: Norm, name: str) -> None:
    """Give a layer the folded weight and bias."""
    n = norm.num_features
    if len(layer.weight) != n or norm.training:
        raise ValueError(
            f"{name!r} must be in evaluation mode, behind a layer of {n} outputs, got {norm} with "
            f"training={norm.training} behind {layer}"
        )
    old = layer.weight.new_zeros(n) if layer.bias is None else layer.bias.detach()
    try:
        weight, bias = folded(layer.weight.detach(), old, norm)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error
    layer.weight = nn.Parameter(weight, layer.weight.requires_grad)
    layer.bias = nn.Parameter(bias, layer.weight.requires_grad)
