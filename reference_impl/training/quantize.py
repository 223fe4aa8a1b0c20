"""Quantization-aware training: a trained network is trained on, with its quantizers in the loop."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int, require_real
from reference_impl.compress import (
    Bits,
    edge_bits,
    fold_batch_norms,
    keep_scales_positive,
    learn_layers,
    learned_quantizers,
)
from reference_impl.compress.learned import EDGE_BITS
from reference_impl.data import Examples, batches
from reference_impl.training.augmentation import augment, erase
from reference_impl.training.loop import train_steps

N_START = 512
"""Training images from which the inputs' first steps are taken."""


@dataclass(frozen=True)
class QatRecipe:
    """How a trained network is made one of few bits: SGD with momentum on the cross-entropy.

    Args:
        bits: of weights and inputs; None trains on in full precision, the control.
        edges: bits of the first and the last layer.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: η, at the start; it falls along half a cosine to 0. For weights and steps.
        scale_rate: multiple of η with which the steps learn.
        momentum: of both.
        fold: whether BatchNorm is folded before the training; else it is trained on, and folded
            when the network is deployed.
        augment: mirror and shift the images at random, see `training.augmentation.augment`.
        erase: overwrite a part of them at random, see `training.augmentation.erase`.
        seed: of the order of the images and their augmentation.

    Raises:
        TypeError: if a value is of the wrong kind.
        ValueError: if one is out of its range.

    References:
        Esser et al. 2020, "Learned step size quantization", section 3.
    """

    bits: int | None
    edges: int = EDGE_BITS
    epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 0.01
    scale_rate: float = 1.0
    momentum: float = 0.9
    fold: bool = False
    augment: bool = False
    erase: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate the arguments."""
        if self.bits is not None:
            require_int("bits", self.bits, 2, 8)
        require_int("edges", self.edges, 2, 8)
        require_int("epochs", self.epochs, 1)
        require_int("batch_size", self.batch_size, 2)  # BatchNorm needs two
        require_real("learning_rate", self.learning_rate, 0, open_low=True)
        require_real("scale_rate", self.scale_rate, 0)
        require_real("momentum", self.momentum, 0, 0.9999)
        require_int("seed", self.seed, 0, 2**31 - 1)
        for name in ("fold", "augment", "erase"):
            require_instance(name, getattr(self, name), bool)


def prepare(chain: nn.Sequential, recipe: QatRecipe, train: Examples) -> nn.Sequential:
    """Return the network with which the training begins; the chain is left as it is.

    Args:
        chain: a trained network, in evaluation mode.
        recipe: what to do.
        train: the first `N_START` of its images give the inputs' first steps; no label is used.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `reference_impl.compress.fold.fold_batch_norms`.
    """
    require_instance("chain", chain, nn.Sequential)
    require_instance("recipe", recipe, QatRecipe)
    require_instance("train", train, Examples)
    start = fold_batch_norms(chain) if recipe.fold else copy.deepcopy(chain)
    if recipe.bits is not None:
        bits = edge_bits(start, Bits(recipe.bits, recipe.bits), edges=recipe.edges)
        start = learn_layers(start, train.images[:N_START], bits)
    return start.to(memory_format=torch.channels_last)  # twice as fast on a processor


def fine_tune(chain: nn.Sequential, recipe: QatRecipe, train: Examples) -> Iterator[float]:
    """Train the chain in place and yield each step's loss; the caller's loop is the callback.

    Behind each step, `keep_scales_positive` holds the steps of the quantizers above 0.

    Args:
        chain: made by `prepare`; left in evaluation mode at the end.
        recipe: what to do.
        train: the images, with labels.

    Yields:
        The mean cross-entropy of the batch before the step, in nats.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the loss is nan or infinite.
    """
    require_instance("chain", chain, nn.Sequential)
    require_instance("recipe", recipe, QatRecipe)
    require_instance("train", train, Examples)
    optimizer = _optimizer(chain, recipe)
    total = recipe.epochs * math.ceil(len(train) / recipe.batch_size)
    source = _epochs(recipe, train)
    for step, loss in enumerate(train_steps(chain, source, F.cross_entropy, optimizer), start=1):
        keep_scales_positive(chain)
        yield loss
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * (1 + math.cos(math.pi * step / total)) / 2
    chain.eval()


def _optimizer(chain: nn.Sequential, recipe: QatRecipe) -> torch.optim.SGD:
    """Return the optimizer, with the quantizers' parameters in a group of their own."""
    own = [p for quantizer in learned_quantizers(chain) for p in quantizer.parameters()]
    known = set(own)
    rest = [p for p in chain.parameters() if p not in known]
    rates = ((rest, recipe.learning_rate), (own, recipe.learning_rate * recipe.scale_rate))
    groups = [{"params": p, "lr": rate, "initial_lr": rate} for p, rate in rates if p]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)


def _epochs(recipe: QatRecipe, train: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of all epochs; everything random comes from (seed, epoch)."""
    for epoch in range(recipe.epochs):
        order, chance = np.random.SeedSequence([recipe.seed, epoch]).generate_state(2)
        generator = torch.Generator().manual_seed(int(chance))
        for images, labels in batches(train, recipe.batch_size, seed=int(order)):
            changed = augment(images, generator) if recipe.augment else images
            yield (erase(changed, generator) if recipe.erase else changed), labels
