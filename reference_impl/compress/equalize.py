"""Cross-layer equalization: a channel made smaller in one layer and larger in the next.

A ReLU lets positive factors pass, relu(c x) = c relu(x), and so do pooling and flattening. So the
weights of output channel i may be divided by any c_i > 0 if those that read channel i in the next
layer are multiplied by it: the function is unchanged, but the ranges change.
"""

import copy
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from reference_impl.checked import Count, Within, checked
from reference_impl.compress.layers import (
    HOMOGENEOUS,
    WEIGHT_LAYERS,
    Net,
    at,
    kind_of,
    outside_inference_mode,
)
from reference_impl.compress.quantized import WeightLayer, layers_of
from reference_impl.compress.trace import Trace, trace

Ranges = Annotated[Float[Tensor, " c"], Within(0)]


@checked
def equalizing_factors(r1: Ranges, r2: Ranges) -> Float[Tensor, " c"]:
    """Return c_i = √(r1_i / r2_i), and 1 where a range is 0.

    r1 is max |W1| over the weights that write channel i, r2 max |W2| over those that read it. Then
    r1_i / c_i = r2_i c_i = √(r1_i r2_i): both layers have the same range in each channel.

    >>> equalizing_factors(torch.tensor([8.0, 1.0, 0.0]), torch.tensor([2.0, 4.0, 1.0])).tolist()
    [2.0, 0.5, 1.0]

    References: Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
    Correction", eq. 11.
    Equation: eq-ptq-equalize, chapter 07.
    """
    return torch.where((r1 > 0) & (r2 > 0), torch.sqrt(r1) / torch.sqrt(r2), 1)


@checked
def output_ranges(layer: WeightLayer) -> Float[Tensor, " out"]:
    """Return max |W| over the weights of each output channel."""
    return layer.weight.detach().abs().flatten(1).amax(dim=1)


def input_ranges(layer: WeightLayer, channels: int) -> Float[Tensor, " channels"]:
    """Return max |W| over the weights that read each channel.

    After a flatten a channel is read by several neighbouring columns of a linear layer; in a
    grouped convolution by the filters of its group, in a depthwise one by one filter.
    """
    return _by_input(layer.weight.detach(), layer, channels).abs().amax(dim=(1, 3)).flatten()


@checked
@outside_inference_mode
def equalize(network: Net, *, sweeps: Count = 20) -> Net:
    """Return the network with equal ranges in each channel of neighbouring weight layers.

    Neighbours are two layers of which the second alone reads the first, through operations that
    let a positive factor pass; other layers keep their weights. Each sweep visits all pairs; a
    layer between two others takes part in two, so that more than one sweep is needed. Biases are
    divided as the weights that make the channel. A channel is left alone, as one without weights,
    if its bias is larger than its n weights together can be, |b_i| > n r1_i: so small a factor as
    they ask for would make its activation so large that all others round to 0. The function is the
    same, up to rounding. The network is left as it is.

    Raises:
        ValueError: if the network has no two neighbours.

    Equation: eq-ptq-homogeneous, eq-ptq-rescale, chapter 07.
    """
    pairs = neighbours(trace(network))
    result = copy.deepcopy(network)
    with torch.no_grad():
        for path, next_path in sweeps * list(pairs.items()):
            layer, after = at(result, path), at(result, next_path)
            channels = len(layer.weight)
            s = equalizing_factors(_alive(layer), input_ranges(after, channels))
            layer.weight.div_(s.view(-1, *[1] * (layer.weight.ndim - 1)))
            if layer.bias is not None:
                layer.bias.div_(s)
            read = _by_input(after.weight, after, channels)
            read.mul_(s.view(read.shape[0], 1, read.shape[2], 1))
    return result


def _alive(layer: WeightLayer) -> Tensor:
    """Return the range of each output channel, 0 where the bias outweighs all weights."""
    r1 = output_ranges(layer)
    if layer.bias is None:
        return r1
    return r1.masked_fill(layer.bias.abs() > layer.weight[0].numel() * r1, 0)


def _by_input(weight: Tensor, layer: WeightLayer, channels: int) -> Tensor:
    """Return the weight as (groups, outputs, channels of a group, weights of one channel)."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    return weight.view(groups, weight.shape[0] // groups, channels // groups, -1)


def neighbours(traced: Trace) -> dict[str, str]:
    """Return path → path of the one layer that reads the layer's channels, factors and all."""
    pairs, stops = {}, []
    calls = traced.calls(*WEIGHT_LAYERS)
    for path in layers_of(traced):
        after = _reader(traced, calls[path])
        if isinstance(after, str):
            stops.append(f"{path!r} is followed by {after}")
        else:
            pairs[path] = str(after.target)
    if not pairs:
        raise ValueError(
            "network must let positive factors pass from one weight layer to another: "
            + "; ".join(stops[:-1] or stops)
        )
    return pairs


def _reader(traced: Trace, node: fx.Node) -> fx.Node | str:
    """Return the weight layer that alone reads a layer's channels, or what stands before it."""
    layer = traced.module(node)
    channels, axis = len(layer.weight), "last" if isinstance(layer, nn.Linear) else "first"
    while len(node.users) == 1:
        (node,) = node.users
        if node.op == "output":
            return "nothing"
        after, operation = traced.module(node), traced.operation(node)
        if after is not None and kind_of(after) in WEIGHT_LAYERS:
            if _reads(after, axis, channels):
                return node
            return f"{traced.name(node)}, which does not read its {channels} channels"
        if traced.flattens(node) or traced.averages(node):
            axis = "last" if axis == "last" else "flat"  # then a channel has neighbouring entries
        elif operation not in HOMOGENEOUS or (axis != "first" and "pool" in operation):
            return traced.name(node)
    return f"{len(node.users)} readers"


def _reads(layer: WeightLayer, axis: str, channels: int) -> bool:
    if not isinstance(layer, nn.Linear):
        return axis == "first" and layer.in_channels == channels
    if axis == "flat":
        return layer.in_features % channels == 0
    return axis == "last" and layer.in_features == channels
