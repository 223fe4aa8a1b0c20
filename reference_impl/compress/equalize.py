"""Cross-layer equalization: a channel made smaller in one layer and larger in the next.

A ReLU lets positive factors pass, relu(s x) = s relu(x), and so do pooling and flattening. So the
weights of output channel i may be divided by any s_i > 0 if those that read channel i in the next
layer are multiplied by it: the function stays, the ranges move.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_int, require_same_shape
from reference_impl.compress.quantized import (
    WEIGHT_LAYERS,
    WeightLayer,
    places,
    unshared,
    weight_layers,
)

HOMOGENEOUS = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Identity,
)
"""Modules f with f(s x) = s f(x) for s > 0, channel by channel."""


def equalizing_factors(r1: Float[Tensor, " c"], r2: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """Return s_i = √(r1_i r2_i) / r2_i = √(r1_i / r2_i), and 1 where a range is 0.

    Then r1_i / s_i = r2_i s_i = √(r1_i r2_i): both layers have the same range in each channel.

    >>> equalizing_factors(torch.tensor([8.0, 1.0, 0.0]), torch.tensor([2.0, 4.0, 1.0])).tolist()
    [2.0, 0.5, 1.0]

    Args:
        r1: max |W1| over the weights that make channel i.
        r2: max |W2| over the weights that read it.

    Raises:
        TypeError: if a range is no floating-point tensor.
        ValueError: if one is not finite or negative, or the shapes differ.

    References:
        Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias
        Correction", eq. 11.

    Equation: eq-ptq-equalize, chapter 06.
    """
    for name, r in (("r1", r1), ("r2", r2)):
        require_float_tensor(name, r)
        if r.min() < 0:
            raise ValueError(f"{name} must be at least 0, got {r.min().item()}")
    require_same_shape("r2", r2, "r1", r1)
    alive = (r1 > 0) & (r2 > 0)
    one = torch.ones_like(r1)
    return torch.where(alive, torch.sqrt(r1) / torch.sqrt(torch.where(alive, r2, one)), one)


def output_ranges(layer: WeightLayer) -> Float[Tensor, " out"]:
    """Return max |W| over the weights of each output channel."""
    return layer.weight.detach().abs().flatten(1).amax(dim=1)


def input_ranges(layer: WeightLayer, channels: int) -> Float[Tensor, " channels"]:
    """Return max |W| over the weights that read each channel.

    Behind a flatten a channel is read by several neighbouring columns of a linear layer; in a
    grouped convolution by the filters of its group, in a depthwise one by one filter.
    """
    return _by_input(layer.weight.detach(), layer, channels).abs().amax(dim=(1, 3)).flatten()


def equalize(chain: nn.Sequential, *, sweeps: int = 20) -> nn.Sequential:
    """Return the chain with equal ranges in each channel of neighbouring weight layers.

    Each sweep goes through all pairs of neighbours; a layer between two others takes part in two
    pairs, so that more than one sweep is needed. Biases are divided as the weights that make the
    channel. The function is the same, up to rounding; the chain is left as it is.

    Args:
        chain: without BatchNorm, see `reference_impl.compress.fold.fold_batch_norms`.
        sweeps: over all pairs.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``, or ``sweeps`` no integer.
        ValueError: if there are fewer than two weight layers, or between two of them stands a
            module through which a positive factor does not pass, such as ReLU6, GELU or BatchNorm;
            if a flatten does not keep the channels as the slowest part of a vector; if the widths
            of neighbours do not fit; if ``sweeps`` is below 1.

    Equation: eq-ptq-homogeneous, eq-ptq-rescale, chapter 06.
    """
    layers = weight_layers(chain)
    require_int("sweeps", sweeps, 1)
    if len(layers) < 2:
        raise ValueError(f"chain must have two weight layers or more, got {list(layers)}")
    _require_homogeneous(chain)
    result = unshared(chain)
    pairs = list(pairwise(weight_layers(result).items()))
    for (name, layer), (next_name, after) in pairs:
        _require_fitting(name, layer, next_name, after)
    with torch.no_grad():
        for _ in range(sweeps):
            for (_, layer), (_, after) in pairs:
                _equalize_pair(layer, after)
    return result


def _equalize_pair(layer: WeightLayer, after: WeightLayer) -> None:
    """Divide the channels of ``layer`` by s, and multiply the weights of ``after`` by it."""
    channels = layer.weight.shape[0]
    s = equalizing_factors(output_ranges(layer), input_ranges(after, channels))
    layer.weight.div_(s.view(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.div_(s)
    read = _by_input(after.weight, after, channels)
    read.mul_(s.view(read.shape[0], 1, read.shape[2], 1))


def _by_input(weight: Tensor, layer: WeightLayer, channels: int) -> Tensor:
    """Return the weight as (groups, outputs, channels of a group, weights of one channel)."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    return weight.view(groups, weight.shape[0] // groups, channels // groups, -1)


def _require_fitting(name: str, layer: WeightLayer, next_name: str, after: WeightLayer) -> None:
    channels = layer.weight.shape[0]
    read = after.in_channels if isinstance(after, nn.Conv2d) else after.in_features
    flattened = isinstance(layer, nn.Conv2d) and isinstance(after, nn.Linear)
    fits = read % channels == 0 if flattened else read == channels
    if not fits:
        raise ValueError(f"{next_name!r} must read the {channels} channels of {name!r}, got {read}")


def _require_homogeneous(chain: nn.Sequential) -> None:
    """Refuse modules between the first and the last weight layer that are not in HOMOGENEOUS."""
    modules = places(chain)
    layers = [i for i, (_, module) in enumerate(modules) if isinstance(module, WEIGHT_LAYERS)]
    for name, module in modules[layers[0] : layers[-1]]:
        if not isinstance(module, (*WEIGHT_LAYERS, *HOMOGENEOUS)):
            raise ValueError(
                "chain must let positive factors pass between its weight layers, "
                f"got {type(module).__name__} {name!r}"
            )
        if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) != (1, -1):
            raise ValueError(f"{name!r} must flatten all axes from 1 to -1, got {module}")
    for first, second in pairwise(layers):
        (name, layer), *between, (next_name, after) = modules[first : second + 1]
        flat = any(isinstance(module, nn.Flatten) for _, module in between)
        if isinstance(layer, nn.Conv2d) and isinstance(after, nn.Linear) and not flat:
            raise ValueError(
                f"chain must have a flatten between {name!r} and {next_name!r}, got none"
            )
