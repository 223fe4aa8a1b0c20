"""The truth that scores are held against: the loss without one weight, or without one unit.

Each is removed, the loss is measured, and it is put back: brute force. A copy of the network
answers in evaluation mode and in float64, since the loss of one weight of many is a difference in
the sixth digit.
"""

import copy
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from reference_impl.checked import Within, checked
from reference_impl.compress.quantized import places
from reference_impl.data import Examples
from reference_impl.models import Network

Indices = Annotated[Int64[Tensor, " m"], Within(0)]
Losses = Float64[Tensor, " m"]


@checked
def loss_without_weights(
    network: Network, place: str, which: Indices, examples: Examples
) -> Losses:
    """Return ΔL_q = L(w with w_q = 0) − L(w) for each of m weights of one layer, one by one.

    L is the mean cross-entropy of the examples, in nats; all of them pass for every weight.
    ``which`` are indices into the flattened weight of the layer at a place such as ``"fc1"``.

    Raises:
        ValueError: if there is no such place, it has no weight, or an index is out of range.

    Equation: eq-importance-truth, chapter 12.
    """
    x, rest = _split(network, place, examples, after=False)
    if not isinstance(weight := getattr(rest[0], "weight", None), Tensor):
        raise ValueError(f"place must be a layer with a weight, got {place!r}")
    flat = weight.detach().view(-1)
    if which.max() >= len(flat):
        raise ValueError(f"which must hold indices below {len(flat)}, got {which.max()}")
    whole = _loss(rest, x, examples.labels)
    losses = torch.empty(len(which), dtype=torch.float64)
    for i, q in enumerate(which.tolist()):
        value = flat[q].item()
        flat[q] = 0
        losses[i] = _loss(rest, x, examples.labels)
        flat[q] = value
    return losses - whole


@checked
def loss_without_units(network: Network, place: str, examples: Examples) -> Losses:
    """Return ΔL_i = L(without unit i) − L for every unit of a layer, one by one.

    The units' values are read at a place of the chain such as ``"relu1"``; what follows gets 0 in
    the unit's place, as in `reference_impl.compress.silence_units`.

    Raises:
        ValueError: if there is no such place, or nothing after it.
    """
    values, rest = _split(network, place, examples, after=True)
    losses = [
        _loss(rest, values.index_fill(1, torch.tensor([i]), 0), examples.labels)
        for i in range(values.shape[1])
    ]
    return torch.tensor(losses, dtype=torch.float64) - _loss(rest, values, examples.labels)


def _split(
    network: Network, place: str, examples: Examples, *, after: bool
) -> tuple[Tensor, nn.Sequential]:
    """Return what the chain computes before (or at) a place, and a float64 copy of the rest."""
    chain = copy.deepcopy(network.chain()).double().eval()
    chain.to(memory_format=torch.contiguous_format)  # a channels-last kernel has no flat view
    names = [name for name, _ in places(chain)]
    known = names[:-1] if after else names
    if place not in known:
        raise ValueError(f"place must be one of {known}, got {place!r}")
    at = names.index(place) + int(after)
    with torch.no_grad():
        parts = [chain[:at](part.double()) for part in examples.images.split(100)]
    return torch.cat(parts), chain[at:]


def _loss(rest: nn.Sequential, values: Tensor, labels: Tensor) -> float:
    """Return the mean cross-entropy in nats, of batches that fit the cache."""
    with torch.no_grad():
        sums = [
            F.cross_entropy(rest(part), those, reduction="sum").item()
            for part, those in zip(values.split(500), labels.split(500), strict=True)
        ]
    return sum(sums) / len(labels)
