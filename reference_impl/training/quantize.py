"""Quantization-aware training: a trained network is trained on, with its quantizers in the loop."""

import copy
from collections.abc import Iterator

import torch
from torch import nn

from reference_impl import compress
from reference_impl.checked import checked
from reference_impl.compress.layers import Net
from reference_impl.data import Examples
from reference_impl.training.loop import example_steps
from reference_impl.training.recipe import QatRecipe

N_START = 512  #: training images from which the inputs' first steps are taken


@checked
def prepare(network: Net, recipe: QatRecipe, train: Examples) -> Net:
    """Return the network with which the training begins; the one given is left as it is.

    The first `N_START` images of ``train`` give the inputs' first steps; no label is used.
    """
    start = compress.fold_batch_norms(network) if recipe.fold else copy.deepcopy(network)
    if recipe.bits is not None:
        inner = compress.LayerBits(recipe.bits, recipe.bits)
        bits = compress.edge_bits(start, inner, edges=recipe.edges)
        start = compress.learn_layers(start, train.images[:N_START], bits)
    return start.to(memory_format=torch.channels_last)  # twice as fast on a processor


@checked
def fine_tune(network: nn.Module, recipe: QatRecipe, train: Examples) -> Iterator[float]:
    """Train what `prepare` made, in place; yield the mean cross-entropy before each step, in nats.

    After each step, `keep_scales_positive` holds the steps of the quantizers above 0. The network
    ends in evaluation mode.
    """
    for loss in example_steps(network, train, recipe):
        compress.keep_scales_positive(network)
        yield loss
