"""The truth that scores are held against: the loss without one weight, or without one unit.

Each is removed, the loss is measured, and it is put back: brute force. A copy of the network
answers in evaluation mode and in float64, since the loss of one weight of many is a difference in
the sixth digit.
"""

import copy
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from reference_impl.checked import Within, checked
from reference_impl.compress.layers import at
from reference_impl.compress.trace import trace
from reference_impl.data import Examples
from reference_impl.distillation.soft_targets import require_labels

Indices = Annotated[Int64[Tensor, " m"], Within(0)]
Losses = Float64[Tensor, " m"]


@checked
def loss_without_weights(
    network: nn.Module, place: str, which: Indices, examples: Examples
) -> Losses:
    """Return ΔL_q = L(w with w_q = 0) − L(w) for each of m weights of one layer, one by one.

    L is the mean cross-entropy of the examples, in nats; all of them pass for every weight.
    ``which`` are indices into the flattened weight of the layer at a place such as ``"fc1"``.

    Raises:
        ValueError: if there is no such place, it has no weight, or an index is out of range.

    Equation: eq-importance-truth, chapter 14.
    """
    rest = _Rest(network, place, examples, after=False)
    if not isinstance(weight := getattr(rest.module, "weight", None), Tensor):
        raise ValueError(f"place must be a layer with a weight, got {place!r}")
    flat = weight.detach().view(-1)
    if which.max() >= len(flat):
        raise ValueError(f"which must hold indices below {len(flat)}, got {which.max()}")
    whole = rest.loss()
    losses = torch.empty(len(which), dtype=torch.float64)
    for i, q in enumerate(which.tolist()):
        value = flat[q].item()
        flat[q] = 0
        losses[i] = rest.loss()
        flat[q] = value
    return losses - whole


@checked
def loss_without_units(network: nn.Module, place: str, examples: Examples) -> Losses:
    """Return ΔL_i = L(without unit i) − L for every unit of a layer, one by one.

    The units' values are read at a place such as ``"relu1"``; what follows gets 0 in the unit's
    place, as in `reference_impl.compress.silence_units`.

    Raises:
        ValueError: if there is no such place, or nothing after it.
    """
    rest = _Rest(network, place, examples, after=True)
    losses = [rest.loss(without=i) for i in range(rest.units)]
    return torch.tensor(losses, dtype=torch.float64) - rest.loss()


class _Rest:
    """What a float64 copy of a network computes from a place on; all before it is done once."""

    def __init__(self, network: nn.Module, place: str, examples: Examples, *, after: bool) -> None:
        own = copy.deepcopy(network).double().eval()
        own.to(memory_format=torch.contiguous_format)  # a channels-last kernel has no flat view
        traced = trace(own)
        nodes = list(traced.graph.nodes)
        known = {str(node.target): node for node in nodes if node.op == "call_module"}
        if after:
            known = {name: node for name, node in known.items() if node.next.op != "output"}
        if place not in known:
            raise ValueError(f"place must be one of {list(known)}, got {place!r}")
        self.node, self.module = known[place], at(own, place)
        self.axis = traced.channel_axis(self.node)
        first = nodes.index(self.node) + int(after)
        self.nodes, self.overwrites = nodes[first:], any(map(traced.in_place, nodes[first:]))
        self.parts = []
        batches = zip(examples.images.split(500), examples.labels.split(500), strict=True)
        for images, labels in batches:
            run = traced.run(own, images.double())
            for node in nodes[:first]:
                run.step(node)
            self.parts.append((run, dict(run.env), labels))

    @property
    def units(self) -> int:
        """Return the number of units at the place."""
        return int(self.parts[0][1][self.node].shape[self.axis])

    def loss(self, *, without: int | None = None) -> float:
        """Return the mean cross-entropy in nats, with a unit of the place at 0."""
        total, count = 0.0, 0
        for run, before, labels in self.parts:
            run.env = {n: self._own(value) for n, value in before.items()}
            if without is not None:
                gone = torch.tensor([without])
                run.env[self.node] = run.env[self.node].index_fill(self.axis, gone, 0)
            for node in self.nodes:
                logits = run.step(node)
            require_labels(labels, logits.shape[1])
            total += F.cross_entropy(logits, labels, reduction="sum").item()
            count += len(labels)
        return total / count

    def _own(self, value: Any) -> Any:
        return value.clone() if self.overwrites and isinstance(value, Tensor) else value
