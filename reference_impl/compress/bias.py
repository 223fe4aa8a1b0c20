"""Bias correction: what rounding adds to a layer's mean output is taken off its bias."""

import copy
from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance
from reference_impl.compress.quantized import WEIGHT_LAYERS, QuantizedLayer, places


def output_mean(y: Float[Tensor, "n c ..."]) -> Float[Tensor, " c"]:
    """Return E y of each channel, over examples and positions, summed in float64."""
    return y.double().mean(dim=[axis for axis in range(y.ndim) if axis != 1]).to(y.dtype)


def correct_biases(
    quantized: nn.Sequential, chain: nn.Sequential, images: Float[Tensor, "n 1 28 28"]
) -> nn.Sequential:
    """Return the quantized chain with b ← b + E[y] − E[ŷ] in each of its quantized layers.

    y is the layer's output in the chain, ŷ that in the quantized chain, whose earlier layers are
    corrected already. On the images every channel then has the mean that it had before. No label
    is needed.

    Args:
        quantized: made from ``chain`` by `reference_impl.compress.quantized.quantize_layers`;
            it is left as it is.
        chain: in full precision.
        images: to average over, all at a time.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``images`` is empty or not finite, the two chains have not the same layers,
            or nothing in ``quantized`` is quantized.

    References:
        Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
        Correction", section 4.2 and appendix D.

    Equation: eq-ptq-bias, chapter 06.
    """
    require_instance("quantized", quantized, nn.Sequential)
    require_instance("chain", chain, nn.Sequential)
    require_float_tensor("images", images)
    pairs = _layer_pairs(quantized, chain)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    x, x_hat = images.detach().clone(), images.detach().clone()  # modules may work in place
    with torch.no_grad():
        for name, ours, theirs in pairs:
            module = copy.deepcopy(ours).eval()
            x, x_hat = copy.deepcopy(theirs).eval()(x), module(x_hat)
            if isinstance(module, QuantizedLayer):
                shift = output_mean(x) - output_mean(x_hat)
                add_to_bias(module, shift)
                x_hat = x_hat + shift.view(1, -1, *[1] * (x_hat.ndim - 2))
            parts[name] = module
    return nn.Sequential(parts).train(quantized.training)


def add_to_bias(module: QuantizedLayer, shift: Float[Tensor, " c"]) -> None:
    """Add to the layer's bias in place, which begins at 0 if it has none."""
    layer = module.layer
    old = layer.bias.detach() if layer.bias is not None else torch.zeros_like(shift)
    layer.bias = nn.Parameter(old + shift)


def _layer_pairs(
    quantized: nn.Sequential, chain: nn.Sequential
) -> list[tuple[str, nn.Module, nn.Module]]:
    """Return (name, quantized, full) of each layer, after a check that they belong together."""
    ours, theirs = dict(places(quantized)), dict(places(chain))
    if list(ours) != list(theirs):
        raise ValueError(
            f"quantized must have the layers of chain, {list(theirs)}, got {list(ours)}"
        )
    found = [name for name, module in ours.items() if isinstance(module, QuantizedLayer)]
    if not found:
        raise ValueError("quantized must have a quantized layer, got none")
    for name in found:
        if not isinstance(theirs[name], WEIGHT_LAYERS):
            raise ValueError(
                f"chain must have a linear or convolutional layer {name!r}, "
                f"got {type(theirs[name]).__name__}"
            )
    return [(name, ours[name], theirs[name]) for name in ours]
