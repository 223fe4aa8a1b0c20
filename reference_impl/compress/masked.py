"""Weights set to 0 in place by masks: which weights those can be, and what share of them is left.

A mask is true where a weight is kept. Biases and BatchNorm's parameters are never masked and never
counted: they are few, and a unit without its bias is another unit.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference_impl.checked import checked
from reference_impl.compress.layers import OTHERS, WEIGHT_LAYERS, kind_of
from reference_impl.compress.sparse import CsrLinear


@checked
def prunable_weights(network: nn.Module) -> dict[str, Float[Tensor, "..."]]:
    """Return name → weight of every linear and convolutional layer: parameters, not copies.

    A weight that two layers share appears once, under its first name.

    Raises:
        ValueError: if there is no such layer, or one whose weight is computed (a parametrization,
            a hook of `torch.nn.utils.prune`, sparse rows) and not a parameter of its own.

    >>> from reference_impl.models import LeNet300
    >>> list(prunable_weights(LeNet300()))
    ['fc1.weight', 'fc2.weight', 'fc3.weight']
    """
    layers: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, WEIGHT_LAYERS) and "weight" in own:
            layers[name] = module
        elif isinstance(module, (*WEIGHT_LAYERS, CsrLinear)):
            raise ValueError(
                f"network must have weights that are parameters, got a computed one in {name!r}"
            )
        elif kind_of(module) not in OTHERS and any(map(_mixes, own.values())):
            raise ValueError(
                "network must multiply by weights in linear and convolutional layers, "
                f"{name!r} is {kind_of(module).__name__}"
            )
    if not layers:
        raise ValueError("network must have a linear or convolutional layer, got none")
    weights = {id(layer.weight) for layer in layers.values()}
    return {name: value for name, value in network.named_parameters() if id(value) in weights}


def _mixes(parameter: Tensor) -> bool:
    """Return whether a parameter has more than a number for each unit, as (c, 1, 1) has."""
    return parameter.ndim > 1 and parameter[0].numel() > 1


@checked
def apply_masks(network: nn.Module, masks: Mapping[str, Bool[Tensor, "..."]]) -> None:
    """Set W = 0 wherever its mask is false, in place. All masks are checked before the first acts.

    ``masks`` has names from `prunable_weights`; weights without a mask are not changed.

    Raises:
        ValueError: if a name is not that of a weight, or a mask does not have its weight's shape.

    >>> layer = nn.Sequential(nn.Linear(2, 2))
    >>> apply_masks(layer, {"0.weight": torch.eye(2).bool()})
    >>> int((layer[0].weight != 0).sum())
    2
    """
    weights = prunable_weights(network)
    for name, mask in masks.items():
        if name not in weights:
            raise ValueError(f"masks must be for weights of {sorted(weights)}, got {name!r}")
        if mask.shape != (shape := weights[name].shape):
            raise ValueError(f"masks[{name!r}] must be {tuple(shape)}, got {tuple(mask.shape)}")
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].masked_fill_(~mask, 0.0)  # W · mask would keep nan and give −0


@checked
def masks_of(network: nn.Module) -> dict[str, Bool[Tensor, "..."]]:
    """Return name → W ≠ 0: what of a network is left, see `prunable_weights`."""
    return {name: weight.detach() != 0 for name, weight in prunable_weights(network).items()}


@checked
def density(network: nn.Module) -> float:
    """Return ‖W‖₀ / n: the share of all prunable weights that are not 0. Sparsity is 1 − density.

    Biases and BatchNorm are in neither count.

    >>> from reference_impl.models import LeNet300
    >>> density(LeNet300())
    1.0
    """
    weights = prunable_weights(network).values()
    return sum(int((w != 0).sum()) for w in weights) / sum(w.numel() for w in weights)
