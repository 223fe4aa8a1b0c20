"""Prune, merge, distil and quantize, one after another in any order.

A stage changes a network at once, then trains it for its share of the steps. What the stages
before it did stays in force: a weight that is 0 stays 0, a removed unit stays removed, and a layer
that is quantized is trained through its quantizers. A network carries all of this itself, so that
a stage is a function from network to network.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_impl import compress
from reference_impl.checked import Count, Finite, FromZero, NonNegative, Where, Within, checked
from reference_impl.compress.layers import Net, replaced
from reference_impl.distillation import distillation_objective
from reference_impl.pruning import keep_highest, row_norm
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    min_max_range,
    mse_range,
    symmetric_from_range,
)
from reference_impl.training.augmentation import epoch_seeds
from reference_impl.training.distil import Targets, View
from reference_impl.training.loop import recipe_steps
from reference_impl.training.prune import magnitude_masks, masked_steps
from reference_impl.training.recipe import BaseRecipe

N_LOOKED = 256  #: training images from which a merge and the ranges of the inputs are computed
Images = Finite[Tensor, "n ..."]
Dropped = Annotated[float, Within(0, 1, below=True)]


class Stage:
    """A change of a network, and the loss that trains it afterwards; here no change, and labels."""

    def changed(self, network: Net, images: Images) -> Net:  # noqa: ARG002
        """Return the network after the change, not yet trained; the one given is left as it is."""
        return copy.deepcopy(network)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Return the cross-entropy with the labels."""
        return F.cross_entropy(logits, targets.labels)


@checked
@dataclass(frozen=True)
class Prune(Stage):
    """Set a share of all weights, those of least magnitude, to 0."""

    sparsity: Dropped

    def changed(self, network: Net, images: Images) -> Net:  # noqa: ARG002, D102
        pruned = copy.deepcopy(network)
        compress.apply_masks(pruned, magnitude_masks(pruned, self.sparsity))
        return pruned


@checked
@dataclass(frozen=True)
class Merge(Stage):
    """Remove a share of the units of each width, those of least norm; the rest stand in for them.

    The next layer's weights become those of least squares on the images; where the weight of a
    kept unit was 0, it is 0 again. The quantizers of a quantized network are chosen anew.
    """

    share: Dropped
    ridge: NonNegative = 0.03

    def changed(self, network: Net, images: Images) -> Net:  # noqa: D102
        learned = compress.learned_layers(network)
        plain = replaced(network, {path: layer.layer for path, layer in learned.items()})
        found = compress.dependency_graph(plain, images[:1])
        keep = {
            label: keep_highest(
                row_norm(compress.incoming_rows(plain, label, found)), share=1 - self.share
            )
            for label in found.widths
        }
        merged = compress.merge_least_squares(plain, keep, images, ridge=self.ridge)
        compress.apply_masks(merged, compress.masks_of(compress.remove_units(plain, keep, found)))
        grids = {
            path: (layer.weight_quantizer.grid, layer.input_quantizer.grid)
            for path, layer in learned.items()
        }
        return _with_quantizers(merged, images, grids)


@checked
@dataclass(frozen=True)
class Distil(Stage):
    """Train by (1 − α) CE + α T² KL from the teacher's soft targets; change nothing at once."""

    temperature: Annotated[float, Within(0, 100, above=True)] = 4.0
    alpha: Annotated[float, Within(0, 1)] = 0.9

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:  # noqa: D102
        return distillation_objective(
            logits,
            targets.logits,
            targets.labels,
            temperature=self.temperature,
            alpha=self.alpha,
        )


@checked
@dataclass(frozen=True)
class Quantize(Stage):
    """Train every weight layer through quantizers of its weight, symmetric, and of its input.

    Their steps are fixed. (Learned steps diverged in a pilot, where a training by soft targets
    followed a quantization: T² KL has steep gradients.)
    """

    bits: Annotated[int, Within(2, 8)]
    input_bits: Annotated[int, Within(2, 8)] = 8

    def changed(self, network: Net, images: Images) -> Net:  # noqa: D102
        grid = IntegerGrid(self.bits, signed=True, narrow=True)
        grids = dict.fromkeys(compress.weight_layers(network), (grid, IntegerGrid(self.input_bits)))
        return _with_quantizers(network, images, grids)


Stages = Annotated[Sequence[Stage], Where("one stage or more", bool)]


@checked
def after_stage(
    network: Net,
    stage: Stage,
    view: View,
    recipe: BaseRecipe,
    n_steps: Count,
    *,
    begin: FromZero = 0,
) -> Net:
    """Return the network changed by a stage and trained for ``n_steps`` steps, in evaluation mode.

    The batches are those from step ``begin`` on of a stream that the recipe's seed alone decides.
    A weight that is 0 after the change is 0 in the end. The network given is left as it is.
    """
    changed = stage.changed(network, view.batch(torch.arange(min(N_LOOKED, len(view.labels))))[0])
    changed = changed.to(memory_format=torch.channels_last)  # twice as fast on a processor
    batches = islice(index_batches(view, recipe), begin, begin + n_steps)
    steps = recipe_steps(changed, map(view.batch, batches), stage.loss, recipe, n_steps)
    for _ in masked_steps(changed, steps, n_steps, masks=compress.masks_of(changed)):
        pass
    return changed


@checked
def pipeline(
    network: Net, stages: Stages, view: View, recipe: BaseRecipe, n_steps: Count
) -> Iterator[Net]:
    """Yield the network after each stage; all have the same share of ``n_steps`` steps.

    Raises:
        ValueError: if the number of stages does not divide ``n_steps``.
    """
    if n_steps % len(stages):
        raise ValueError(f"n_steps must be a multiple of {len(stages)} stages, got {n_steps}")
    share = n_steps // len(stages)
    for i, stage in enumerate(stages):
        network = after_stage(network, stage, view, recipe, share, begin=i * share)
        yield network


def index_batches(view: View, recipe: BaseRecipe) -> Iterator[Tensor]:
    """Yield the indices of batch after batch without end, each epoch in another order."""
    for epoch in count():
        seed, _ = epoch_seeds(recipe.seed, epoch)
        order = torch.randperm(len(view.labels), generator=torch.Generator().manual_seed(seed))
        yield from order.split(recipe.batch_size)


def _with_quantizers(
    network: Net, images: Tensor, grids: dict[str, tuple[IntegerGrid, IntegerGrid]]
) -> Net:
    """Return the network with quantizers of these grids, for weight and input, by layer.

    A weight's range is that of the least squared error, for each output channel, and its zero
    point is 0. An input's range is from its minimum to its maximum on the images.
    """
    layers, learned = compress.weight_layers(network), {}
    for path, x in compress.layer_inputs(network, images):
        if path in grids:
            layer, (grid, input_grid) = layers[path], grids[path]
            ends = mse_range(layer.weight.detach(), 0, grid=grid, from_range=symmetric_from_range)
            weight = symmetric_from_range(*ends, grid)
            inputs = affine_from_range(*min_max_range(x), input_grid)
            of_weight, of_input = (
                compress.LearnedQuantizer(start, n).requires_grad_(requires_grad=False)
                for start, n in ((weight, layer.weight[0].numel()), (inputs, x[0].numel()))
            )
            fixed = compress.LearnedLayer(layer, of_weight, of_input)
            learned[path] = fixed.train(layer.training)
    return replaced(network, learned)
