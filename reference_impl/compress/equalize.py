"""Cross-layer equalization: a channel made smaller in one layer and larger in the next.

A ReLU lets positive factors pass, relu(s x) = s relu(x), and so do pooling and flattening. So the
weights of output channel i may be divided by any s_i > 0 if those that read channel i in the next
layer are multiplied by it: the function is unchanged, but the ranges change.
"""

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Count, Within, checked
from reference_impl.compress.quantized import WeightLayer, places, unshared, weight_layers

POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.Identity, *POOLS)
"""Modules f with f(s x) = s f(x) for s > 0, channel by channel, and so is a flatten."""

Ranges = Annotated[Float[Tensor, " c"], Within(0)]


@checked
def equalizing_factors(r1: Ranges, r2: Ranges) -> Float[Tensor, " c"]:
    """Return s_i = √(r1_i r2_i) / r2_i = √(r1_i / r2_i), and 1 where a range is 0.

    r1 is max |W1| over the weights that make channel i, r2 max |W2| over those that read it. Then
    r1_i / s_i = r2_i s_i = √(r1_i r2_i): both layers have the same range in each channel.

    >>> equalizing_factors(torch.tensor([8.0, 1.0, 0.0]), torch.tensor([2.0, 4.0, 1.0])).tolist()
    [2.0, 0.5, 1.0]

    References: Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
    Correction", eq. 11.
    Equation: eq-ptq-equalize, chapter 06.
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
def equalize(chain: nn.Sequential, *, sweeps: Count = 20) -> nn.Sequential:
    """Return the chain with equal ranges in each channel of neighbouring weight layers.

    Each sweep visits all pairs of neighbours; a layer between two others takes part in two pairs,
    so that more than one sweep is needed. Biases are divided as the weights that make the channel.
    The function is the same, up to rounding. The given chain, which must not have a BatchNorm, is
    left as it is.

    Raises:
        ValueError: if there are fewer than two weight layers, or a layer does not read the
            channels of the one before it, through modules that let a positive factor pass.

    Equation: eq-ptq-homogeneous, eq-ptq-rescale, chapter 06.
    """
    result = unshared(chain)
    pairs = _neighbours(result)
    with torch.no_grad():
        for layer, after in sweeps * pairs:
            channels = len(layer.weight)
            s = equalizing_factors(output_ranges(layer), input_ranges(after, channels))
            layer.weight.div_(s.view(-1, *[1] * (layer.weight.ndim - 1)))
            if layer.bias is not None:
                layer.bias.div_(s)
            read = _by_input(after.weight, after, channels)
            read.mul_(s.view(read.shape[0], 1, read.shape[2], 1))
    return result


def _by_input(weight: Tensor, layer: WeightLayer, channels: int) -> Tensor:
    """Return the weight as (groups, outputs, channels of a group, weights of one channel)."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    return weight.view(groups, weight.shape[0] // groups, channels // groups, -1)


def _neighbours(chain: nn.Sequential) -> list[tuple[WeightLayer, WeightLayer]]:
    """Return each weight layer with the next; refuse those that do not share their channels."""
    layers, modules = weight_layers(chain), dict(places(chain))
    if len(layers) < 2:
        raise ValueError(f"chain must have two weight layers or more, got {list(layers)}")
    names = list(modules)
    for (name, layer), (next_name, after) in pairwise(layers.items()):
        between = [modules[n] for n in names[names.index(name) + 1 : names.index(next_name)]]
        channels = len(layer.weight)
        read = after.in_channels if isinstance(after, nn.Conv2d) else after.in_features
        if isinstance(layer, nn.Conv2d) and isinstance(after, nn.Linear):
            flat = any(isinstance(module, nn.Flatten) for module in between)
            read = channels if flat and read % channels == 0 else 0
        for module in between:
            if not _passes_factors(module):
                raise ValueError(
                    "chain must let positive factors pass between its weight layers, got "
                    f"{type(module).__name__} {next(n for n in names if modules[n] is module)!r}"
                )
        if read != channels:
            raise ValueError(
                f"chain must pass a factor of each of the {channels} channels from {name!r} to "
                f"{next_name!r}, got {[*between, after]}"
            )
    return list(pairwise(layers.values()))


def _passes_factors(module: nn.Module) -> bool:
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)  # channels remain in one piece
    return isinstance(module, HOMOGENEOUS)
