"""The truth that scores are held against: the loss without one weight, or without one unit.

Each is removed, the loss is measured, and it is put back: brute force. The network answers in
evaluation mode and in float64, since the loss of one weight of many is a difference in the sixth
digit.
"""

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_integer_tensor
from reference_impl.compress.quantized import places
from reference_impl.data import Examples
from reference_impl.models import Network


def loss_without_weights(
    network: Network, place: str, which: Int64[Tensor, " m"], examples: Examples
) -> Float64[Tensor, " m"]:
    """Return ΔL_q = L(w with w_q = 0) − L(w) for each of m weights of one layer, one by one.

    L is the mean cross-entropy of the examples, in nats.

    Args:
        network: left as it is.
        place: of the layer in the network's chain, such as ``"fc1"``.
        which: indices into the layer's flattened weight.
        examples: all of them pass for every weight.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there is no such place, it has no weight, or an index is out of range.

    Equation: eq-importance-truth, chapter 12.
    """
    require_integer_tensor("which", which)
    before, rest = _split(network, place, examples, after=False)
    layer = rest[0]
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"place must be a layer with a weight, got {place!r}")
    weight.data = weight.detach().contiguous()  # a channels-last kernel has no flat view
    flat = weight.detach().view(-1)
    if which.ndim != 1 or which.min() < 0 or which.max() >= len(flat):
        raise ValueError(f"which must be a vector of indices below {len(flat)}")
    whole = _loss(rest, before, examples)
    losses = torch.empty(len(which), dtype=torch.float64)
    for i, q in enumerate(which.tolist()):
        value = flat[q].clone()
        flat[q] = 0
        losses[i] = _loss(rest, before, examples)
        flat[q] = value
    return losses - whole


def loss_without_units(
    network: Network, place: str, examples: Examples
) -> Float64[Tensor, " units"]:
    """Return ΔL_i = L(without unit i) − L for every unit of a layer, one by one.

    Args:
        network: left as it is.
        place: of the chain where the units' values are read, such as ``"relu1"``; what follows
            gets 0 in the unit's place, as `reference_impl.compress.narrow.silence_units` does.
        examples: all of them pass for every unit.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there is no such place, or nothing behind it.
    """
    values, rest = _split(network, place, examples, after=True)
    if not len(rest):
        raise ValueError(f"place must have a layer behind it, got {place!r}")
    whole = _loss(rest, values, examples)
    losses = torch.empty(values.shape[1], dtype=torch.float64)
    for i in range(len(losses)):
        without = values.clone()
        without[:, i] = 0
        losses[i] = _loss(rest, without, examples)
    return losses - whole


def _split(
    network: Network, place: str, examples: Examples, *, after: bool
) -> tuple[Tensor, nn.Sequential]:
    """Return what the chain computes before (or at) a place, and a float64 copy of the rest."""
    require_instance("network", network, Network)
    require_instance("examples", examples, Examples)
    chain = copy.deepcopy(network.chain()).double().eval()
    names = [name for name, _ in places(chain)]
    if place not in names:
        raise ValueError(f"place must be one of {names}, got {place!r}")
    at = names.index(place) + int(after)
    with torch.no_grad():
        parts = [chain[:at](part.double()) for part in examples.images.split(1000)]
    return torch.cat(parts), chain[at:]


def _loss(rest: nn.Sequential, values: Tensor, examples: Examples) -> float:
    """Return the mean cross-entropy in nats, of batches that fit the cache."""
    with torch.no_grad():
        sums = [
            F.cross_entropy(rest(part), labels, reduction="sum").item()
            for part, labels in _batches(values, examples.labels)
        ]
    return sum(sums) / len(examples)


def _batches(values: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(values.split(500), labels.split(500), strict=True)
