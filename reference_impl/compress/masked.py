"""Weights set to 0 in place by masks: which weights those can be, and what share of them is left.

A mask is true where a weight is kept. Biases and BatchNorm's parameters are never masked and never
counted: they are few, and a unit without its bias is another unit.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference_impl.checks import require_instance

PRUNABLE = (nn.Linear, nn.Conv2d)
"""Layers whose weights can be masked."""


def prunable_weights(network: nn.Module) -> dict[str, Float[Tensor, "..."]]:
    """Return name → weight of every linear and convolutional layer: parameters, not copies.

    Args:
        network: a network, or its chain.

    Returns:
        In the order of the layers. A weight that two layers share appears once, under its first
        name.

    Raises:
        TypeError: if ``network`` is no module.
        ValueError: if it has no such layer, or one whose weight is no parameter of its own but
            computed (a parametrization, a hook of `torch.nn.utils.prune`).

    >>> from reference_impl.models import LeNet300
    >>> list(prunable_weights(LeNet300()))
    ['fc1.weight', 'fc2.weight', 'fc3.weight']
    """
    require_instance("network", network, nn.Module)
    layers = {name: m for name, m in network.named_modules() if isinstance(m, PRUNABLE)}
    if not layers:
        raise ValueError("network must have a linear or convolutional layer, got none")
    for name, layer in layers.items():
        if "weight" not in dict(layer.named_parameters(recurse=False)):
            raise ValueError(
                f"network must have weights that are parameters, got a computed one in {name!r}"
            )
    own = {id(layer.weight) for layer in layers.values()}
    return {name: value for name, value in network.named_parameters() if id(value) in own}


def apply_masks(network: nn.Module, masks: Mapping[str, Bool[Tensor, "..."]]) -> None:
    """Set W = 0 wherever its mask is false, in place. All masks are checked before the first acts.

    Args:
        network: its weights are changed; those without a mask stay.
        masks: name of a weight, as `prunable_weights` gives it → true where kept.

    Raises:
        TypeError: if an argument is of the wrong kind, or a mask holds no booleans.
        ValueError: if a name is none of the network's, or a mask has another shape than its
            weight; the network is then as it was.

    >>> layer = nn.Sequential(nn.Linear(2, 2))
    >>> apply_masks(layer, {"0.weight": torch.eye(2).bool()})
    >>> int((layer[0].weight != 0).sum())
    2
    """
    weights = prunable_weights(network)
    _require_masks(masks, weights)
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].masked_fill_(~mask, 0.0)  # W · mask would keep nan and give −0


def masks_of(network: nn.Module) -> dict[str, Bool[Tensor, "..."]]:
    """Return name → W ≠ 0: what of a network is left.

    Raises:
        TypeError, ValueError: as `prunable_weights`.
    """
    return {name: weight.detach() != 0 for name, weight in prunable_weights(network).items()}


def density(network: nn.Module) -> float:
    """Return ‖W‖₀ / n: the share of all prunable weights that are not 0. Sparsity is 1 − density.

    Biases and BatchNorm are in neither count.

    Raises:
        TypeError, ValueError: as `prunable_weights`.

    >>> from reference_impl.models import LeNet300
    >>> density(LeNet300())
    1.0
    """
    weights = prunable_weights(network).values()
    return sum(int((w != 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def _require_masks(masks: Any, weights: Mapping[str, Tensor]) -> None:
    require_instance("masks", masks, Mapping)
    for name, mask in masks.items():
        if name not in weights:
            raise ValueError(f"masks must be for weights of {sorted(weights)}, got {name!r}")
        require_instance(f"masks[{name!r}]", mask, Tensor)
        if mask.dtype != torch.bool:
            raise TypeError(f"masks[{name!r}] must hold booleans, got dtype {mask.dtype}")
        if mask.layout != torch.strided or mask.device != weights[name].device:
            raise TypeError(
                f"masks[{name!r}] must be a dense tensor on {weights[name].device}, "
                f"got {mask.layout} on {mask.device}"
            )
        if mask.shape != weights[name].shape:
            raise ValueError(
                f"masks[{name!r}] must have the weight's shape {tuple(weights[name].shape)}, "
                f"got {tuple(mask.shape)}"
            )
