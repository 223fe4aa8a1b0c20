"""The layer that reads a width: what it reads, and a constant that its bias takes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance
from reference_impl.compress.activations import outputs_at
from reference_impl.compress.quantized import WEIGHT_LAYERS, WeightLayer, places
from reference_impl.models import Network


def only_reader(network: Network, label: str) -> tuple[str, WeightLayer]:
    """Return the one layer that reads the units of a width, and its place in the chain.

    Raises:
        TypeError: if ``network`` is none.
        ValueError: if there is no such width, several layers read it, or one inside a block.
    """
    require_instance("network", network, Network)
    if label not in network.widths:
        raise ValueError(f"label must be one of {sorted(network.widths)}, got {label!r}")
    names = [
        name for name, axes in network.axes.items() if any(axis.label == label for axis in axes[1:])
    ]
    if len(names) > 1:
        raise ValueError(
            f"{label!r} is read by several layers, {names}, each with its own values: "
            "one width map cannot reproduce them all"
        )
    weight = network.get_parameter(names[0])
    for place, module in places(network.chain()):
        if isinstance(module, WEIGHT_LAYERS) and module.weight is weight:
            return place, module
    raise ValueError(f"{label!r} is read inside a block, by {names[0]!r}: no place of the chain is")


def values_read(
    network: Network, label: str, images: Float[Tensor, "m 1 28 28"]
) -> Float[Tensor, "rows units"]:
    """Return what the layer that reads a width reads: a row per image and position.

    Args:
        network: left as it is; it answers in evaluation mode.
        label: which width.
        images: a matrix of images · positions rows is returned.

    Raises:
        TypeError: if an argument is of the wrong kind, or ``images`` of another dtype than the
            network's weights.
        ValueError: as `only_reader`, or if ``images`` is empty, not finite or no four-dimensional
            batch.
    """
    place, _ = only_reader(network, label)
    require_images(network, images)
    chain = network.chain()
    names = [name for name, _ in places(chain)]
    before = names[names.index(place) - 1]
    values = outputs_at(chain, [before], images)[before]
    by_unit = values.reshape(len(images), network.widths[label], -1)
    return by_unit.transpose(1, 2).flatten(0, 1)


def require_images(network: Network, images: Float[Tensor, "m 1 28 28"]) -> None:
    """Require a batch of images that the network takes.

    Raises:
        TypeError: if ``images`` is no tensor of the dtype of the network's weights.
        ValueError: if it is empty, not finite, or has not four axes.
    """
    require_float_tensor("images", images)
    dtype = next(network.parameters()).dtype
    if images.dtype != dtype:
        raise TypeError(f"images must be {dtype} as the network's weights, got {images.dtype}")
    if images.ndim != 4:
        raise ValueError(f"images must be a batch of 1 × 28 × 28, got {tuple(images.shape)}")


def takes_offset(network: Network, label: str) -> bool:
    """Return whether a constant added to each unit is one added to the bias of what reads it.

    It is not where zeros pad the feature map, as they stay zeros; nor where there is no bias.

    Raises:
        TypeError, ValueError: as `only_reader`.
    """
    _, layer = only_reader(network, label)
    padded = isinstance(layer, nn.Conv2d) and layer.padding not in ((0, 0), "valid")
    return layer.bias is not None and not padded


def absorb_offset(network: Network, label: str, offset: Float[Tensor, " units"]) -> None:
    """Change, in place, the bias of the layer that reads a width: b' ← b' + W' e.

    Behind a flatten e is that of each position, and so it is at each place of a kernel.

    Args:
        network: it is changed.
        label: which width.
        offset: e, a constant for each unit.

    Raises:
        TypeError: if ``network`` is none, or ``offset`` no floating-point tensor.
        ValueError: as `only_reader`, if ``offset`` has another length or is not finite, or if it
            is not 0 and no bias can take it, see `takes_offset`.
    """
    _, layer = only_reader(network, label)
    require_float_tensor("offset", offset)
    if offset.shape != (network.widths[label],):
        raise ValueError(
            f"offset must be ({network.widths[label]},), one per unit, got {tuple(offset.shape)}"
        )
    if not offset.any():
        return
    if layer.bias is None or not takes_offset(network, label):
        raise ValueError(
            f"offset must be 0 for {label!r}: what reads it has no bias, or zeros pad its input"
        )
    weight = layer.weight.detach().double()
    summed = weight.reshape(len(weight), len(offset), -1).sum(dim=2)  # positions, or the kernel
    offset = offset.detach().double()
    with torch.no_grad():
        layer.bias += (summed @ offset).to(layer.bias.dtype)
