"""BatchNorm folded into the layer before it: at inference both are one affine map."""

import copy

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reference_impl.arrays import all_finite
from reference_impl.checked import Finite, checked
from reference_impl.compress.layers import (
    NORMS,
    WEIGHT_LAYERS,
    Net,
    TwoAxes,
    at,
    kind_of,
    outside_inference_mode,
)
from reference_impl.compress.quantized import WeightLayer
from reference_impl.compress.trace import Trace, trace
from reference_impl.merging import batch_norm_factor
from reference_impl.models import Network

Norm = _BatchNorm


@checked
def norm_factor(norm: Norm) -> Float64[Tensor, " out"]:
    """Return γ / √(σ² + ε), by which BatchNorm multiplies each channel in evaluation mode."""
    if norm.running_var is None or not all_finite(norm.running_mean):
        raise ValueError(f"norm must have finite running statistics, got {norm}")
    variance = norm.running_var.double()
    gamma = torch.ones_like(variance) if norm.weight is None else norm.weight.detach().double()
    return batch_norm_factor(gamma, variance, eps=norm.eps)


@checked
def folded(
    weight: Finite[Tensor, "out ..."], bias: Finite[Tensor, " out"], norm: Norm
) -> tuple[Float[Tensor, "out ..."], Float[Tensor, " out"]]:
    """Return W' = γ/√(σ² + ε) W and β' = γ/√(σ² + ε) (β − μ) + β_norm, one factor for each output.

    β is the layer's bias; of the BatchNorm, μ and σ² are the running mean and variance, γ and
    β_norm the learned scale and shift. Computed in float64, returned in the dtype of W.

    Equation: eq-ptq-fold, chapter 07.
    """
    a, mean = norm_factor(norm), norm.get_buffer("running_mean").double()
    beta = 0 if norm.bias is None else norm.bias.detach().double()
    new_weight = weight.double() * a.view(-1, *[1] * (weight.ndim - 1))
    new_bias = a * (bias.double() - mean) + beta
    return new_weight.to(weight.dtype), new_bias.to(weight.dtype)


@checked
@outside_inference_mode
def fold_batch_norms(network: Net) -> Net:
    """Return the network with each BatchNorm after a weight layer folded into that layer.

    An identity takes its place; in an ``nn.Sequential`` nothing does. A BatchNorm after anything
    else (a sum, a concatenation) stays. In evaluation mode the function is the same, up to
    rounding; in training mode BatchNorm normalizes by its batch, which no constant weight can
    imitate. The network is left as it is.

    BatchNorm scales axis 1, a linear layer writes the last. Where it is not plain that these are
    one, `TwoAxes` stays, which refuses values with more axes.

    Fold, quantize, export:

    >>> import torch
    >>> from reference_impl.compress import PostTraining, integer_network, to_onnx
    >>> from reference_impl.models import ConvStudent
    >>> network, images = ConvStudent().eval(), torch.rand(64, 1, 28, 28)
    >>> folded = fold_batch_norms(network)
    >>> quantized = PostTraining(bits=8, equalized=True)(folded, images)
    >>> content = to_onnx(quantized, images[:1])  # the bytes of a file for ONNX Runtime
    >>> integer_network(quantized).input_quantizer.grid
    IntegerGrid(bits=8, signed=False, narrow=False)

    Raises:
        ValueError: if the network or a BatchNorm is in training mode, or of another width.

    References: Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2.
    Equation: eq-ptq-norm, chapter 07.
    """
    if network.training:
        raise ValueError("network must be in evaluation mode, call network.eval()")
    traced = trace(network)
    pairs = folding_pairs(traced)
    result = copy.deepcopy(network)
    for path, norm_path in pairs.items():
        _fold(at(result, path), at(result, norm_path), norm_path)
        linear = isinstance(at(network, path), nn.Linear)
        one_axis = not linear or traced.flat(traced.calls(*NORMS)[norm_path])
        _leave_out(result, norm_path, one_axis=one_axis)
    return result


def _leave_out(network: nn.Module, path: str, *, one_axis: bool) -> None:
    """Take a BatchNorm away that is folded now."""
    parent, _, name = path.rpartition(".")
    holder = at(network, parent)
    if not one_axis:
        setattr(holder, name, TwoAxes().eval())
    elif kind_of(holder) is nn.Sequential or isinstance(holder, Network):
        delattr(holder, name)
    else:
        setattr(holder, name, nn.Identity().eval())


def folding_pairs(traced: Trace) -> dict[str, str]:
    """Return path of a weight layer → path of the BatchNorm that alone reads its outputs."""
    pairs = {}
    for path, node in traced.calls(*NORMS).items():
        before = node.all_input_nodes[0]
        layer = traced.module(before)
        if layer is not None and kind_of(layer) in WEIGHT_LAYERS and len(before.users) == 1:
            pairs[str(before.target)] = path
    return pairs


def folded_by(norm: Norm, name: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return `folded`; what it refuses names the norm."""
    try:
        return folded(weight, bias, norm)
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from error


def _fold(layer: WeightLayer, norm: Norm, name: str) -> None:
    """Give a layer the folded weight and bias."""
    n = norm.num_features
    if len(layer.weight) != n or norm.training:
        raise ValueError(
            f"{name!r} must be in evaluation mode, after a layer of {n} outputs, got {norm} with "
            f"training={norm.training} after {layer}"
        )
    old = layer.weight.new_zeros(n) if layer.bias is None else layer.bias.detach()
    weight, bias = folded_by(norm, name, layer.weight.detach(), old)
    layer.weight = nn.Parameter(weight, layer.weight.requires_grad)
    layer.bias = nn.Parameter(bias, layer.weight.requires_grad)
