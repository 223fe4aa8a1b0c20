"""Quantization-aware training: a trained network is trained on, with its quantizers in the loop."""

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from reference_impl import compress
from reference_impl.checked import checked
from reference_impl.data import Examples, batches
from reference_impl.training.augmentation import epoch_batches
from reference_impl.training.loop import train_steps
from reference_impl.training.recipe import QatRecipe

N_START = 512
"""Training images from which the inputs' first steps are taken."""


@checked
def prepare(chain: nn.Sequential, recipe: QatRecipe, train: Examples) -> nn.Sequential:
    """Return the network with which the training begins; the chain is left as it is.

    The first `N_START` images of ``train`` give the inputs' first steps; no label is used.

    Raises:
        ValueError: as `fold_batch_norms`, for example if the chain is not in evaluation mode.
    """
    start = compress.fold_batch_norms(chain) if recipe.fold else copy.deepcopy(chain)
    if recipe.bits is not None:
        inner = compress.Bits(recipe.bits, recipe.bits)
        bits = compress.edge_bits(start, inner, edges=recipe.edges)
        start = compress.learn_layers(start, train.images[:N_START], bits)
    return start.to(memory_format=torch.channels_last)  # twice as fast on a processor


@checked
def fine_tune(chain: nn.Sequential, recipe: QatRecipe, train: Examples) -> Iterator[float]:
    """Train a chain of `prepare` in place; yield the mean cross-entropy before each step, in nats.

    After each step, `keep_scales_positive` holds the steps of the quantizers above 0. The chain
    ends in evaluation mode.
    """
    optimizer = _optimizer(chain, recipe)
    n_steps = recipe.epochs * len(batches(train, recipe.batch_size))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: (1 + math.cos(math.pi * step / n_steps)) / 2
    )
    source = (b for epoch in range(recipe.epochs) for b in epoch_batches(train, recipe, epoch))
    for loss in train_steps(chain, source, F.cross_entropy, optimizer):
        compress.keep_scales_positive(chain)
        yield loss
        rate.step()
    chain.eval()


def _optimizer(chain: nn.Sequential, recipe: QatRecipe) -> torch.optim.SGD:
    """Return the optimizer, with the quantizers' parameters in a group of their own."""
    own = [p for quantizer in compress.learned_quantizers(chain) for p in quantizer.parameters()]
    known = set(own)
    rest = [p for p in chain.parameters() if p not in known]
    rates = ((rest, recipe.learning_rate), (own, recipe.learning_rate * recipe.scale_rate))
    groups = [{"params": p, "lr": rate} for p, rate in rates if p]
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
