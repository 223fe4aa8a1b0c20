"""AdaRound for a chain: layer by layer, on what the layers before it give."""

import copy
from collections import OrderedDict
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.compress.quantized import (
    WEIGHT_LAYERS,
    QuantizedLayer,
    WeightLayer,
    places,
    quantize_layers,
)
from reference_impl.quantization import (
    AdaRoundSettings,
    AffineQuantizer,
    LayerLoss,
    round_adaptively,
)


def patches(layer: WeightLayer, x: Float[Tensor, "n ..."]) -> Float[Tensor, "groups m k"]:
    """Return the m inputs of k numbers that the layer's outputs are linear in, for each group.

    A linear layer has one for each example; a convolution one for each example and position, its
    patch with the padding's zeros.

    Raises:
        TypeError: if ``layer`` is no linear or convolutional layer.
        ValueError: if its padding is a word or not of zeros.
    """
    require_instance("layer", layer, WEIGHT_LAYERS)
    if isinstance(layer, nn.Linear):
        rows: Tensor = x.flatten(0, -2).unsqueeze(0)
        return rows
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ValueError(
            f"layer must have padding by a number of zeros, got {layer.padding!r} and "
            f"{layer.padding_mode!r}"
        )
    columns = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    by_group: Tensor = columns.unflatten(1, (layer.groups, -1))  # (n, groups, k, positions)
    return by_group.permute(1, 0, 3, 2).flatten(1, 2)


def as_rows(layer: WeightLayer, y: Float[Tensor, "n c ..."]) -> Float[Tensor, "groups m o"]:
    """Return the layer's outputs in the order of its `patches`."""
    if isinstance(layer, nn.Linear):
        rows: Tensor = y.flatten(0, -2).unsqueeze(0)
        return rows
    by_group: Tensor = y.flatten(2).unflatten(1, (layer.groups, -1))
    return by_group.permute(1, 0, 3, 2).flatten(1, 2)


def layer_loss(
    layer: WeightLayer,
    outputs: Float[Tensor, "n c ..."],
    inputs: Float[Tensor, "n ..."],
    *,
    batch_size: int = 64,
) -> LayerLoss:
    """Return the loss of the layer's outputs y when it reads x̂.

    Args:
        layer: its geometry is used, not its weight.
        outputs: y, what the layer should give.
        inputs: x̂, what it reads, one for each of the outputs.
        batch_size: examples unfolded at a time, for the memory.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty or not finite, or there is not one input per output,
            or they have not the shapes of the layer's.
    """
    require_float_tensor("outputs", outputs)
    require_float_tensor("inputs", inputs)
    require_int("batch_size", batch_size, 1)
    if len(inputs) != len(outputs):
        raise ValueError(f"inputs must be {len(outputs)}, one per output, got {len(inputs)}")
    require_instance("layer", layer, WEIGHT_LAYERS)
    sums: list[Tensor] = []
    count, size = 0, layer.weight.numel()
    for x_part, y_part in zip(inputs.split(batch_size), outputs.split(batch_size), strict=True):
        x, y = patches(layer, x_part), as_rows(layer, y_part)
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


def adaround(
    chain: nn.Sequential,
    weights: Mapping[str, AffineQuantizer],
    inputs: Mapping[str, AffineQuantizer] | None,
    images: Float[Tensor, "n 1 28 28"],
    settings: AdaRoundSettings | None = None,
) -> nn.Sequential:
    """Return the chain quantized as by `quantize_layers`, but rounded adaptively and corrected.

    From the first layer to the last: y is the layer's output in the chain, x̂ its quantized input
    in the quantized chain so far; Ŵ is searched for the least loss of y, and the bias is the best
    one for Ŵ, so that bias correction is part of it. No label is needed.

    Args:
        chain: in full precision, left as it is.
        weights: name of a layer → quantizer of its weight.
        inputs: name of a layer → quantizer of its input; None leaves all inputs as they are.
        images: to calibrate on.
        settings: of the search; None for the defaults.

    Raises:
        TypeError, ValueError: as `reference_impl.compress.quantized.quantize_layers`; and
            if ``images`` is no tensor of finite numbers.

    References:
        Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization".
    """
    require_float_tensor("images", images)
    quantized = quantize_layers(chain, weights, inputs)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    x, x_hat = images.detach().clone(), images.detach().clone()  # modules may work in place
    pairs = zip(places(quantized), places(chain), strict=True)
    for (name, module), (_, full) in pairs:
        part = module.eval()
        with torch.no_grad():
            x = copy.deepcopy(full).eval()(x)
        if isinstance(part, QuantizedLayer) and isinstance(full, WEIGHT_LAYERS):
            part = _rounded(part, full, x, x_hat, settings)
        with torch.no_grad():
            x_hat = part(x_hat)
        parts[name] = part
    return nn.Sequential(parts).train(chain.training)


def _rounded(
    module: QuantizedLayer,
    full: WeightLayer,
    y: Tensor,
    x: Tensor,
    settings: AdaRoundSettings | None,
) -> QuantizedLayer:
    """Return the layer with Ŵ and b of the least loss of y."""
    reader = module.input_quantizer
    loss = layer_loss(full, y, x if reader is None else reader.round_trip(x))
    shape = loss.cross.shape
    quantizer = _for_rows(module.weight_quantizer, full.weight, shape)
    weight = full.weight.detach().view(shape)
    w_hat = round_adaptively(weight, quantizer, loss, settings)
    result = copy.deepcopy(module)
    result.layer.weight = nn.Parameter(w_hat.view_as(full.weight))
    result.layer.bias = nn.Parameter(loss.bias(w_hat).flatten().to(w_hat.dtype))
    return result


def _for_rows(quantizer: AffineQuantizer, weight: Tensor, shape: torch.Size) -> AffineQuantizer:
    """Return the same quantizer for the weight in the shape (groups, o, k)."""
    return AffineQuantizer(
        quantizer.scale.expand_as(weight).reshape(shape),
        quantizer.zero_point.expand_as(weight).reshape(shape),
        quantizer.grid,
    )
