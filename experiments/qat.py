"""Chapter 09: networks of few bits, trained with their quantizers (four hours)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from experiments.measures import accuracies, mean_of_last
from experiments.qat_steps import FiftySteps, Misled, Ordered, Speeds
from reference_impl import compress, quantization
from reference_impl.compress.learned import EDGE_BITS
from reference_impl.data import Dataset
from reference_impl.training import QatRecipe, accuracy, fine_tune, load_checkpoint, prepare
from reference_impl.training.quantize import N_START

#: network → how it is trained on; chosen by validation accuracy alone
RECIPES = {
    "lenet300": QatRecipe(bits=None, epochs=3),
    "lenet5": QatRecipe(bits=None, epochs=3),
    "student": QatRecipe(bits=None, epochs=6, learning_rate=0.04, augment=True),
    "teacher": QatRecipe(bits=None, epochs=5, augment=True, erase=True),
}
WIDTHS = (4, 3, 2)
SEEDS = (0, 1, 2)
ORDER_SEEDS = range(5)
#: learning rates that are tried where BatchNorm is folded before the training
FOLDED_RATES = (0.04, 0.01, 0.0025)
EDGES = torch.linspace(-2, 2, 101)  #: edges of the bins of `watched`, in steps of the quantizers


@dataclass(frozen=True)
class Run:
    """One training."""

    network: str
    recipe: QatRecipe

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the accuracies before and after a training, in percent."""
        chain = prepare(load_checkpoint(self.network), self.recipe, dataset.train)
        start = accuracy(chain, dataset.validation)
        loss = mean_of_last(fine_tune(chain, self.recipe, dataset.train))
        final = compress.deploy(chain) if self.recipe.bits else chain
        return {"start_validation": start, **accuracies(final, dataset), "loss": loss}


@dataclass(frozen=True)
class Rounding:
    """Post-training quantization of a network at the same bits."""

    place: ClassVar = "post_training"
    network: str
    bits: int
    draw: int = 0  #: which `N_START` training images, one after the other

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the test accuracies of post-training quantization, in percent.

        BatchNorm is folded; ranges are those of the least mean squared error, per output channel
        for the weights; then each weight is rounded to the nearest code, or by chapter 08's
        AdaRound. The first and the last layer have 8 bits.
        """
        chain = compress.fold_batch_norms(load_checkpoint(self.network))
        images = dataset.train.images[self.draw * N_START :][:N_START]
        bits = compress.edge_bits(chain, compress.LayerBits(self.bits, self.bits))
        weights, inputs = {}, {}
        for name, layer in compress.weight_layers(chain).items():
            grid = quantization.IntegerGrid(bits[name].weight, signed=True, narrow=True)
            symmetric = quantization.symmetric_from_range
            ends = quantization.mse_range(layer.weight.detach(), 0, grid=grid, from_range=symmetric)
            weights[name] = symmetric(*ends, grid)
        for name, x in compress.layer_inputs(chain, images):
            grid = quantization.IntegerGrid(bits[name].inputs)
            ends = quantization.mse_range(x, (), grid=grid)
            inputs[name] = quantization.affine_from_range(*ends, grid)
        ways = {
            "nearest": compress.quantize_layers(chain, weights, inputs),
            "adaround": compress.adaround(chain, weights, inputs, images),
        }
        return {way: accuracy(quantized, dataset.test) for way, quantized in ways.items()}


@dataclass(frozen=True)
class Watched:
    """The middle layer of LeNet-300-100 while it is trained at 2 bits."""

    place: ClassVar = ("watched",)

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return what the training at 2 bits does to the middle layer of LeNet-300-100.

        The density of its weights, in steps of their quantizers, before and after; and, every 20
        steps of the training, the share of its codes that changed since.
        """
        recipe = replace(RECIPES["lenet300"], bits=2)
        chain = prepare(load_checkpoint("lenet300"), recipe, dataset.train)
        layer = compress.learned_layers(chain)["fc2"]

        def in_steps() -> Tensor:
            return (layer.layer.weight / layer.weight_quantizer.scale).detach().clone()

        def density() -> list[float]:
            share = torch.histogram(in_steps().flatten(), EDGES, density=True).hist
            return [round(value, 4) for value in share.tolist()]

        before, codes, changed = density(), in_steps().round().clamp(-1, 1), []
        for step, _ in enumerate(fine_tune(chain, recipe, dataset.train), start=1):
            if step % 20 == 0:
                now = in_steps().round().clamp(-1, 1)
                changed.append(round((now != codes).double().mean().item(), 6))
                codes = now
        ends = {"low": float(EDGES[0]), "high": float(EDGES[-1])}
        return ends | {"before": before, "after": density(), "changed": changed}


def planned(_: Sequence[Any]) -> Iterator[Any]:
    """Yield the runs in the order in which they are made."""

    def run(network: str, bits: int | None = None, **how: Any) -> Run:
        return Run(network, replace(RECIPES[network], bits=bits, **how))

    for seed in SEEDS:
        yield from (run("lenet300", bits, seed=seed) for bits in (*WIDTHS, None))
        yield run("lenet300", 2, edges=2, seed=seed)
        yield from (
            run(name, bits, seed=seed) for name in ("student", "teacher") for bits in WIDTHS
        )
    yield run("teacher")
    for bits in WIDTHS:
        yield run("lenet5", bits)
        yield from (run("student", bits, fold=True, learning_rate=rate) for rate in FOLDED_RATES)
    yield Watched()
    yield from (Rounding(network, bits) for network in RECIPES for bits in WIDTHS)
    for seed in ORDER_SEEDS:
        for edges in (EDGE_BITS, 2):
            yield from (Ordered("lenet300", edges, first, seed) for first in ("round", "clip"))
    yield Speeds()
    yield from (FiftySteps(scaled, seed) for seed in ORDER_SEEDS for scaled in (True, False))
    for rate, start in ((1.0, 1.0), (30.0, 1.0), (1000.0, 1.0), (1.0, 3.0), (1.0, 30.0)):
        yield from (Misled(rate, start, seed) for seed in SEEDS)
    yield from (run("student", seed=seed) for seed in SEEDS)
    for name in ("lenet300", "student"):
        yield from (Rounding(name, bits, draw) for bits in WIDTHS for draw in SEEDS[1:])
