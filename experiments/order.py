"""Chapter 20: prune, merge, distil and quantize in every order (two hours).

Every order has the same number of training steps on the same batches. Orders that begin alike
share what they have in common, so that a run makes all orders with one first stage.

Hypotheses, written down before the first run. The gain of "A before B" is the mean difference in
test accuracy between the orders …AB… and …BA…, in which two neighbours are swapped and all else is
the same: 6 such pairs of orders, averaged for each seed. 6 pairs of stages, 2 networks and 2
strengths are 24 comparisons, Bonferroni's. A prediction holds if its interval lies above 0, it
fails if it lies below, else it is undecided.

1. arXiv 2403.17447 (distil → prune → quantize): distil before prune, distil before quantize.
2. arXiv 2511.19495 (prune → distil → quantize): prune before distil, distil before quantize.
3. arXiv 2604.04988 (prune → quantize → distil): prune before quantize, quantize before distil.
4. arXiv 2603.18426: of prune, merge and quantize the weaker change first, measured by the
   validation accuracy that a stage costs by itself before it is trained.
5. Our own: merge before prune, since masks spoil what least squares makes up for; no gain from
   prune before quantize at the mild strength, since a mask and a symmetric grid commute; merge
   before quantize, since a merge chooses all steps anew; distil last.

The strengths, the rate and the fixed steps of the quantizers were chosen before, by validation
accuracy in pilots of a few orders from the shipped networks, which no run begins from.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any, ClassVar

import torch

from experiments.measures import accuracies, answered
from reference_impl import compress
from reference_impl.data import Dataset
from reference_impl.measuring import compare_latencies, count_parameters
from reference_impl.models import Network
from reference_impl.training import QatRecipe, Recipe, accuracy, fit
from reference_impl.training.pipeline import (
    N_LOOKED,
    Distil,
    Merge,
    Prune,
    Quantize,
    Stage,
    after_stage,
)

#: how the networks are trained from which all orders begin
STARTS = {
    "lenet300": Recipe("lenet300", epochs=8, learning_rate=2e-3),
    "student": Recipe("student", epochs=6, learning_rate=1e-2),
}
#: how every stage is trained; the rate was chosen on validation images of the shipped networks
RECIPE = QatRecipe(bits=None, epochs=1, batch_size=64, learning_rate=0.03)
N_STEPS = 400  #: of all four stages together
Stages = dict[str, Any]  #: name → stage
STAGES: dict[tuple[str, str], Stages] = {
    (network, strength): {
        "prune": Prune(sparsity),
        "merge": Merge(share),
        "distil": Distil(),
        "quantize": Quantize(bits),
    }
    for network, strength, sparsity, share, bits in (
        ("lenet300", "mild", 0.5, 0.25, 4),
        ("lenet300", "strong", 0.8, 0.5, 2),
        ("student", "mild", 0.3, 0.125, 4),
        ("student", "strong", 0.6, 0.25, 3),
    )
}
NAMES = ("prune", "merge", "distil", "quantize")
SEEDS = range(1, 6)
BATCHES = (1, 64)  #: images at a time whose milliseconds are measured


@dataclass(frozen=True)
class Run:
    """All orders that begin with one stage."""

    network: str
    strength: str
    seed: int
    first: str

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return what the first stage costs, and the results of six orders.

        ``once`` and ``trained`` are validation accuracies after the first stage's change and after
        its training. An order has accuracies in percent, the stored bytes, and the density.
        """
        start, stages = started(self.network, self.seed, dataset), self.stages()
        images = dataset.train.images[:N_LOOKED]
        once = accuracy(stages[self.first].changed(start, images), dataset.validation)
        first = self.after(start, (self.first,), dataset)
        trained = accuracy(first, dataset.validation)
        orders = {
            " → ".join(order): results(network, dataset)
            for order, network in self.finished(first, (self.first,), dataset)
        }
        return {"once": once, "trained": trained, "orders": orders}

    def stages(self) -> Stages:
        """Return the stages by name."""
        return STAGES[self.network, self.strength]

    def after(self, network: Network, order: tuple[str, ...], dataset: Dataset) -> Network:
        """Return a network after the last stage of an order, trained for its quarter."""
        view, share = answered("teacher", dataset.train), N_STEPS // len(NAMES)
        recipe, stage = replace(RECIPE, seed=self.seed), self.stages()[order[-1]]
        return after_stage(network, stage, view, recipe, share, begin=share * (len(order) - 1))

    def finished(
        self, network: Network, order: tuple[str, ...], dataset: Dataset
    ) -> Iterator[tuple[tuple[str, ...], Network]]:
        """Yield every order that begins like this, with its network."""
        if len(order) == len(NAMES):
            yield order, network
        for name in NAMES:
            if name not in order:
                longer = (*order, name)
                yield from self.finished(self.after(network, longer, dataset), longer, dataset)


@dataclass(frozen=True)
class Together:
    """The simple rivals: merged, pruned and quantized at once, then trained for all the steps."""

    place: ClassVar = "together"
    network: str
    strength: str
    seed: int
    loss: str  #: that of the stage "distil", or "labels", which all other stages have

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return what an order has."""
        stages, images = STAGES[self.network, self.strength], dataset.train.images[:N_LOOKED]
        network = started(self.network, self.seed, dataset)
        for name in ("merge", "prune", "quantize"):
            network = stages[name].changed(network, images)
        last = stages["distil"] if self.loss == "distil" else Stage()
        view, recipe = answered("teacher", dataset.train), replace(RECIPE, seed=self.seed)
        return results(after_stage(network, last, view, recipe, N_STEPS), dataset)


@dataclass(frozen=True)
class Start:
    """The network before all stages."""

    place: ClassVar = "starts"
    network: str
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return accuracies in percent, and the bytes of its float32 numbers, BatchNorm folded."""
        network = started(self.network, self.seed, dataset)
        plain = compress.fold_batch_norms(network)
        return accuracies(network, dataset) | {"bytes": 4 * count_parameters(plain)}


@dataclass(frozen=True)
class Timed:
    """How long a network takes before and after its merge, which alone changes the shape."""

    place: ClassVar = "times"
    network: str
    strength: str

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return milliseconds in float32 on one thread, by the number of images at a time."""
        whole = started(self.network, SEEDS[0], dataset)
        merge = STAGES[self.network, self.strength]["merge"]
        merged = merge.changed(whole, dataset.train.images[:N_LOOKED])
        networks = {
            "whole": compress.fold_batch_norms(whole),
            "merged": compress.fold_batch_norms(merged),
        }
        found: dict[str, Any] = {"widths": dict(merged.widths)}
        with torch.inference_mode():
            for n in BATCHES:
                images = dataset.test.images[:n]
                calls = {name: partial(network, images) for name, network in networks.items()}
                times = compare_latencies(calls, threads=1, rounds=15, summary=min)
                found[str(n)] = {name: round(1000 * t, 4) for name, t in times.items()}
        return found


def planned(_: Sequence[Any]) -> Iterator[Run | Together | Start | Timed]:
    """Yield the runs in the order in which they are made: seed after seed of each network."""
    for network, seed in product(STARTS, SEEDS):
        yield Start(network, seed)
        for strength in ("mild", "strong"):
            yield from (Run(network, strength, seed, first) for first in NAMES)
            yield from (Together(network, strength, seed, loss) for loss in ("distil", "labels"))
            if seed == SEEDS[0]:
                yield Timed(network, strength)


def about() -> dict[str, Any]:
    """Return how all orders are trained, and what the stages are."""
    stages = {
        f"{network}, {strength}": {name: asdict(stage) for name, stage in each.items()}
        for (network, strength), each in STAGES.items()
    }
    before = {name: asdict(recipe) for name, recipe in STARTS.items()}
    return {"recipe": asdict(RECIPE), "steps": N_STEPS, "before": before, "stages": stages}


@cache
def started(network: str, seed: int, dataset: Dataset) -> Network:
    """Return the trained network of a seed, from which all orders begin."""
    *_, last = fit(replace(STARTS[network], seed=seed), dataset)
    return last.best


def results(network: Network, dataset: Dataset) -> dict[str, float]:
    """Return what is left of a quantized network, with the numbers that it is stored in."""
    deployed = compress.deploy(network)
    share = round(compress.density(network), 4)
    return accuracies(deployed, dataset) | {"bytes": stored_bytes(deployed), "density": share}


def stored_bytes(deployed: Network) -> int:
    """Return the bytes of all that a file needs, deflated by zlib at level 9.

    For each layer: a byte for each code of the weight, its steps in half precision, the step and
    the zero point of the input, the bias in float32.
    """
    parts: list[bytes] = []
    for layer in deployed.modules():
        if isinstance(layer, compress.QuantizedLayer):
            state = layer.state_dict()
            parts += [
                layer.weight_quantizer.quantize(state["layer.weight"]).numpy().tobytes(),
                state["of_weight.scale"].half().numpy().tobytes(),
                state["of_input.scale"].numpy().tobytes(),
                state["of_input.zero_point"].numpy().tobytes(),
                state["layer.bias"].numpy().tobytes(),
            ]
    return len(zlib.compress(b"".join(parts), level=9))
