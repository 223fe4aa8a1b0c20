"""AdaRound for a network: layer by layer, on what the layers before it give."""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Count, Finite, checked, widened
from reference_impl.compress.layers import Net, at, outside_inference_mode
from reference_impl.compress.quantized import (
    QuantizedLayer,
    WeightLayer,
    quantize_layers,
    zero_padding,
)
from reference_impl.compress.trace import trace
from reference_impl.models import evaluating
from reference_impl.quantization import (
    AdaRoundSettings,
    AffineQuantizer,
    LayerLoss,
    round_adaptively,
)


def as_rows(layer: WeightLayer, y: Float[Tensor, "n c ..."]) -> Float[Tensor, "groups m c_group"]:
    """Return, for each group, a row of channels per example, or per example and position."""
    if isinstance(layer, nn.Linear):
        return y.flatten(0, -2).unsqueeze(0)
    by_group: Tensor = y.flatten(2).unflatten(1, (layer.groups, -1))  # (n, groups, c, positions)
    return by_group.permute(1, 0, 3, 2).flatten(1, 2)


@checked
def patches(layer: WeightLayer, x: Float[Tensor, "n ..."]) -> Float[Tensor, "groups m k"]:
    """Return the m inputs of k numbers that the layer's outputs are linear in, for each group.

    Those of a convolution are its patches, with the padding's zeros; in the order of `as_rows`.
    """
    if isinstance(layer, nn.Linear):
        return as_rows(layer, x)
    x = F.pad(x, [p for p in reversed(zero_padding(layer)) for _ in ("before", "after")])
    axes = range(2, x.ndim)
    for axis, k, stride, step in zip(
        axes, layer.kernel_size, layer.stride, layer.dilation, strict=True
    ):
        x = x.unfold(axis, step * (k - 1) + 1, stride)[..., ::step]
    x = x.movedim([*axes], [*range(-len(axes), 0)])  # (n, c, kernel …, positions …)
    return as_rows(layer, x.flatten(1, len(axes) + 1))


@checked
def layer_loss(
    layer: WeightLayer,
    outputs: Finite[Tensor, "n c ..."],
    inputs: Finite[Tensor, "n ..."],
    *,
    batch_size: Count = 64,
) -> LayerLoss:
    """Return the loss of the outputs y that the layer should give, when it reads the inputs x̂.

    Its geometry is used, not its weight. Only ``batch_size`` examples are unfolded at a time.

    Raises:
        ValueError: if inputs and outputs do not have the shapes of the layer's.
    """
    sums: list[Tensor] = []
    count, size = 0, layer.weight.numel()
    for x_part, y_part in zip(inputs.split(batch_size), outputs.split(batch_size), strict=True):
        dtype = torch.promote_types(x_part.dtype, widened(y_part).dtype)
        x, y = patches(layer, x_part.to(dtype)), as_rows(layer, y_part.to(dtype))
        if x.shape[:2] != y.shape[:2] or y.shape[2] * x[0, 0].numel() * len(x) != size:
            raise ValueError(
                f"inputs and outputs must be those of {layer}, got the shapes "
                f"{tuple(inputs.shape)} and {tuple(outputs.shape)}"
            )
        moments = (x.sum(1), y.sum(1), x.mT @ x, y.mT @ x, y.square().sum())
        wide = [moment.double() for moment in moments]
        sums = [a + b for a, b in zip(sums, wide, strict=True)] if sums else wide
        count += x.shape[1]
    inputs_mean, outputs_mean, products, mixed, power = (total / count for total in sums)
    return LayerLoss.of_moments(inputs_mean, outputs_mean, products, mixed, float(power))


@checked
@outside_inference_mode
def adaround(
    network: Net,
    weights: Mapping[str, AffineQuantizer],
    inputs: Mapping[str, AffineQuantizer] | None,
    images: Finite[Tensor, "n ..."],
    settings: AdaRoundSettings | None = None,
) -> Net:
    """Return the network quantized as by `quantize_layers`, but rounded adaptively and corrected.

    From the first layer to the last: y is the layer's output in the network, x̂ its quantized input
    in the quantized network so far; Ŵ is searched for the least loss of y, and the bias is the best
    one for Ŵ, so that bias correction is part of it. No label is needed; the network is not
    changed.

    References: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization".
    """
    traced, result = trace(network), quantize_layers(network, weights, inputs)
    full, rounded = traced.run(copy.deepcopy(network).eval(), images), traced.run(result, images)
    with evaluating(result):
        for node in traced.graph.nodes:
            y = full.step(node)
            if node.op == "call_module" and node.target in weights:
                module = at(result, node.target)
                x_hat = rounded.source(node)
                reader = module.input_quantizer
                seen = x_hat if reader is None else reader.round_trip(x_hat)
                layer = at(network, node.target)
                _round(module, layer.weight.detach(), layer_loss(layer, y, seen), settings)
            rounded.step(node)
    return result


def _round(
    module: QuantizedLayer, weight: Tensor, loss: LayerLoss, settings: AdaRoundSettings | None
) -> None:
    """Give the layer the Ŵ and b of the least loss."""
    shape, quantizer = loss.cross.shape, module.weight_quantizer  # (groups, o, k)
    by_row = AffineQuantizer(
        quantizer.scale.expand_as(weight).reshape(shape),
        quantizer.zero_point.expand_as(weight).reshape(shape),
        quantizer.grid,
    )
    w_hat = round_adaptively(weight.reshape(shape), by_row, loss, settings)
    rounded = module.layer.weight
    rounded.data.copy_(w_hat.view_as(weight))  # in the layout that it has
    bias = loss.bias(w_hat).flatten().to(w_hat.dtype)
    module.layer.bias = nn.Parameter(bias, rounded.requires_grad)
