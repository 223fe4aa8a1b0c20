"""Bias correction: what rounding adds to a layer's mean output is taken off its bias."""

import copy

from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Finite, checked
from reference_impl.compress.layers import Net, at, outside_inference_mode
from reference_impl.compress.quantized import QuantizedLayer, WeightLayer, channel_axis, layers_of
from reference_impl.compress.trace import trace
from reference_impl.models import evaluating


def output_mean(y: Float[Tensor, "..."], channels: int) -> Float[Tensor, " c"]:
    """Return E y of each channel, over examples and positions, summed in float64."""
    rest = [axis for axis in range(y.ndim) if axis != channels % y.ndim]
    return y.double().mean(dim=rest).to(y.dtype)


@checked
@outside_inference_mode
def correct_biases(quantized: Net, network: nn.Module, images: Finite[Tensor, "n ..."]) -> Net:
    """Return the quantized network with β ← β + E[y] − E[ŷ] in each of its quantized layers.

    y is the layer's output in the network, ŷ that in the quantized one, whose earlier layers are
    corrected already. On the images every channel then has the mean that it had before. No label
    is needed, and both networks are left as they are.

    Raises:
        ValueError: if ``quantized`` was not made from ``network`` by `quantize_layers`.

    References: Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
    Correction", section 4.2 and appendix D.
    Equation: eq-ptq-bias, chapter 07.
    """
    ours = {p: m for p, m in quantized.named_modules() if isinstance(m, QuantizedLayer)}
    traced = trace(network)
    if not ours or not set(ours) <= set(layers_of(traced)):
        raise ValueError(f"quantized must be network after quantize_layers, got {list(ours)}")
    result = copy.deepcopy(quantized)
    full, rounded = traced.run(copy.deepcopy(network).eval(), images), traced.run(result, images)
    with evaluating(result):
        for node in traced.graph.nodes:
            y, y_hat = full.step(node), rounded.step(node)
            if node.op == "call_module" and node.target in ours:
                rounded.env[node] = _corrected(at(result, node.target).layer, y, y_hat)
    return result


def _corrected(layer: WeightLayer, y: Tensor, y_hat: Tensor) -> Tensor:
    """Change the layer's bias, and return its output ŷ as it is then."""
    axis = channel_axis(layer)
    shift = output_mean(y, axis) - output_mean(y_hat, axis)
    bias = shift if layer.bias is None else layer.bias.detach() + shift
    layer.bias = nn.Parameter(bias, layer.weight.requires_grad)
    return (y_hat.movedim(axis, -1) + shift).movedim(-1, axis)
