"""Training a network towards a file of a certain size: the rate is a part of the loss."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from reference_impl.checked import Count, Positive, Share, Within, checked
from reference_impl.compress.coded import network_rate, settle
from reference_impl.training.distil import Views, view_batches
from reference_impl.training.loop import Objective, train_steps
from reference_impl.training.recipe import BaseRecipe

PRICES = 1e-7, 2e-4
"""The least and the largest λ, in nats per bit."""


@checked
@dataclass(frozen=True, kw_only=True)
class CodedRecipe(BaseRecipe):
    """How a coded network is trained: Adam on loss + λ · rate.

    The rate is led to its target on a geometric path between two moments of the training; λ follows
    it: it grows while the rate is above the path, and shrinks while it is below.
    """

    bits: Count  #: the rate at the end
    learning_rate: Positive = 0.02  #: of integers, in units of one
    other_rate: Positive = 0.5  #: multiple of it for BatchNorm; four times that once it is settled
    begin: Share = 0.1  #: moments, as shares of the training: the rate starts to count,
    end: Share = 0.6  #: it has reached its target,
    settled: Annotated[float, Within(0, 1, above=True)] = 0.65  #: BatchNorm is folded

    moment = 0.5

    @checked
    def rate(self, progress: Share) -> float:
        """Return the learning rate: half a cosine, after a straight line in the first twentieth."""
        return min(1.0, 20 * progress) * super().rate(progress)

    @checked
    def optimizer(self, network: nn.Module) -> Optimizer:
        """Return Adam, the integers in a group of their own."""
        named = dict(network.named_parameters())
        own = [p for name, p in named.items() if name.endswith("layer.weight")]
        rest = [p for name, p in named.items() if not name.endswith("layer.weight")]
        settled = any(getattr(layer, "settled", False) for layer in network.modules())
        of = 4 * self.other_rate if settled else self.other_rate  # now in quarters and eighths
        groups = [{"params": own, "of": 1.0}, {"params": rest, "of": of}]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)

    @checked
    def path(self, progress: Share, start: Positive) -> float:
        """Return the bits that the rate should have after a share of all steps."""
        left = min(1.0, max(0.0, (self.end - progress) / (self.end - self.begin)))
        return self.bits * float((start / self.bits) ** left)


@checked
def steer(price: Positive, rate: Positive, path: Positive) -> float:
    """Return λ exp(0.01 push), within `PRICES`, with push = clip(5 ln(rate / path), −1, 1).

    So λ grows while the rate is too high.

    Args:
        price: λ so far, in nats per bit.
        rate: that of the network, in bits.
        path: what it should be.

    Equation: eq-coding-lambda, chapter 19.
    """
    above = min(max(5 * math.log(rate / path), -1), 1)
    return min(max(price * math.exp(0.01 * above), PRICES[0]), PRICES[1])


@checked
def coded_steps(
    network: nn.Module, views: Views, objective: Objective, recipe: CodedRecipe
) -> Iterator[float]:
    """Train a coded network in place; yield loss and rate together before each step."""
    n_steps, start, price = recipe.n_steps(len(views[0].labels)), 0.0, 10 * PRICES[0]
    batches, step = view_batches(views, recipe), 0

    def with_rate(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal start, price
        loss = objective(outputs.float(), targets)
        if step < recipe.begin * n_steps:
            return loss
        found = network_rate(network)
        start = start or found.item()
        price = steer(price, found.item(), recipe.path(step / n_steps, start))
        return loss + price * found

    def paced(until: int, optimizer: Optimizer) -> Iterator[tuple[Tensor, Any]]:
        for pair in islice(batches, until - step):
            for group in optimizer.param_groups:
                group["lr"] = group["of"] * recipe.rate((step + 0.5) / n_steps)
            yield pair

    for until in (round(recipe.settled * n_steps), n_steps):
        if step:
            settle(network)
        optimizer = recipe.optimizer(network)
        for loss in train_steps(network, paced(until, optimizer), with_rate, optimizer):
            yield loss
            step += 1
    network.eval()
