"""Bias correction: what rounding adds to a layer's mean output is taken off its bias."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Finite, checked
from reference_impl.compress.quantized import QuantizedLayer, places, unshared, weight_layers
from reference_impl.models import evaluating


def output_mean(y: Float[Tensor, "n c ..."]) -> Float[Tensor, " c"]:
    """Return E y of each channel, over examples and positions, summed in float64."""
    return y.double().mean(dim=[axis for axis in range(y.ndim) if axis != 1]).to(y.dtype)


@checked
def correct_biases(
    quantized: nn.Sequential, chain: nn.Sequential, images: Finite[Tensor, "n ..."]
) -> nn.Sequential:
    """Return the quantized chain with b ← b + E[y] − E[ŷ] in each of its quantized layers.

    y is the layer's output in the chain, ŷ that in the quantized chain, whose earlier layers are
    corrected already. On the images every channel then has the mean that it had before. No label
    is needed, and both chains are left as they are.

    Raises:
        ValueError: if ``quantized`` was not made from ``chain`` by `quantize_layers`.

    References: Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
    Correction", section 4.2 and appendix D.
    Equation: eq-ptq-bias, chapter 06.
    """
    ours = [name for name, module in places(quantized) if isinstance(module, QuantizedLayer)]
    if not ours or not set(ours) <= set(weight_layers(chain)):
        raise ValueError(f"quantized must be chain after quantize_layers, got {ours} quantized")
    result, full = unshared(quantized), unshared(chain)
    x, x_hat = images.detach().clone(), images.detach().clone()  # modules may work in place
    with torch.no_grad(), evaluating(result), evaluating(full):
        for module, counterpart in zip(result, full, strict=True):
            x, x_hat = counterpart(x), module(x_hat)
            if isinstance(module, QuantizedLayer):
                layer = module.layer
                shift = output_mean(x) - output_mean(x_hat)
                layer.bias = nn.Parameter(shift if layer.bias is None else layer.bias + shift)
                x_hat = x_hat + shift.view(1, -1, *[1] * (x_hat.ndim - 2))
    return result
