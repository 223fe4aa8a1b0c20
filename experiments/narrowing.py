"""Chapter 16: two networks made smaller by several scores, and what runs faster (fifty minutes).

The teacher and LeNet-5 lose units until half, or a quarter, of their multiply–accumulates are left:
by scores, by chance, and by Torch-Pruning. What is left is trained for a moment. And all networks
of the course, masked, narrow or sparse, are timed.
"""

import copy
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from experiments.measures import accuracies
from reference_impl import compress
from reference_impl.data import Dataset, Examples
from reference_impl.measuring import compare_latencies, device_name
from reference_impl.models import Network
from reference_impl.pruning import (
    keep_highest,
    mean_square_gate_taylor,
    output_change,
    row_norm,
)
from reference_impl.training import Recipe, load_checkpoint, magnitude_masks, pruned_steps

#: label of a width → the last layer before the next layer reads its units
PLACES = {
    "ConvTeacher": {f"conv{i}": f"relu{i}" for i in range(1, 5)},
    "LeNet5": {"conv1": "pool1", "conv2": "pool2", "hidden": "relu1"},
}
NETWORKS = ("teacher", "lenet5")
SHARES = (0.5, 0.25)  #: at most this share of a network's multiply–accumulates
SEEDS = range(4)
#: training images of the fine-tuning, and those that scores may look at
N_TUNED, N_SCORED = 10_000, 2_000
RECIPE = Recipe("teacher", epochs=2, learning_rate=2e-3)

TIMED = ("lenet300", "lenet5", "separable", "residual", "teacher")
BATCHES = (64, 1)
REPETITIONS, ROUNDS = 3, 40
SPARSITIES = (0.5, 0.9, 0.98)

Scores = Mapping[str, Tensor]
Way = Callable[[Network, int, Examples], Network]
"""(network, MACs at most, images to look at) → a smaller one"""


def norms(network: Network, _: Examples | None) -> Scores:
    """Return ‖[w, b]‖ of every unit, BatchNorm folded."""
    return {label: row_norm(compress.incoming_rows(network, label)) for label in network.widths}


def taylor(network: Network, examples: Examples) -> Scores:
    """Return the mean square of every unit's contributions to the loss."""
    values = compress.unit_contributions(network, _places(network), examples)
    return {label: mean_square_gate_taylor(value) for label, value in values.items()}


def output_changes(network: Network, examples: Examples) -> Scores:
    """Return ‖W'_i‖² mean h_i² of every unit, the mean over images and positions."""
    places = _places(network)
    seen = compress.outputs_at(network, tuple(places.values()), examples.images)
    squares = {label: seen[place].square() for label, place in places.items()}
    means = {label: x.mean(dim=(0, *range(2, x.ndim))) for label, x in squares.items()}
    return {
        label: output_change(compress.outgoing_columns(network, label), mean)
        for label, mean in means.items()
    }


def chances(network: Network, _: Examples) -> Scores:
    """Return numbers from [0, 1)."""
    generator = torch.Generator().manual_seed(0)
    return {label: torch.rand(n, generator=generator) for label, n in network.widths.items()}


def by(score: Callable[[Network, Examples], Scores], normalise: Callable[[Tensor], Tensor]) -> Way:
    """Return what removes the lowest scores."""
    return lambda network, max_macs, examples: compress.prune_to_budget(
        network, score(network, examples), max_macs, normalise=normalise
    )


def anew(network: Network, max_macs: int, examples: Examples) -> Network:
    """Take the widths of "Taylor", and initial weights."""
    widths = METHODS["Taylor"](network, max_macs, examples).widths
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return type(network).from_widths(widths)


def by_torch_pruning(network: Network, max_macs: int, _: Examples) -> Network:
    """Remove as Torch-Pruning does by default, all layers together, at its least ratio that fits.

    Its magnitude of a group, each layer's divided by its mean; in steps of a thousandth.
    """
    found = bisect_left(
        range(1, 1000), -max_macs, key=lambda ratio: -_macs(torch_pruned(network, ratio / 1000))
    )
    return torch_pruned(network, (found + 1) / 1000)


def torch_pruned(network: Network, ratio: float) -> Network:
    """Return a network without ``ratio`` of all its units, chosen by Torch-Pruning."""
    from benchmarks import pruning  # noqa: PLC0415 — imports Torch-Pruning, which is slow

    state = pruning.torch_pruned(network, ratio).state_dict()
    widths = {label: len(state[f"{name}.weight"]) for name, label in network.width_names.items()}
    small = type(network).from_widths(widths)
    small.load_state_dict(state)
    return small.eval()


METHODS: Mapping[str, Way] = {
    "Taylor": by(taylor, compress.by_mean),
    "output change": by(output_changes, compress.by_mean),
    "norm": by(norms, compress.by_mean),
    "norm, evenly": by(norms, compress.by_rank),
    "Taylor, unchanged": by(taylor, compress.unchanged),
    "Torch-Pruning": by_torch_pruning,
    "at random": by(chances, compress.by_rank),
    "anew": anew,
}


@dataclass(frozen=True)
class Run:
    """One training: which network and method, the share of operations left, the order of images."""

    packages: ClassVar = ("torch_pruning",)
    network: str
    method: str
    share: float
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return widths, operations, seconds, and accuracies before and after the training."""
        whole = load_checkpoint(self.network)
        budget, start = int(self.share * _macs(whole)), time.perf_counter()
        small = METHODS[self.method](whole, budget, dataset.train[:N_SCORED])
        pruned = time.perf_counter()
        found = {"widths": dict(small.widths), "macs": _macs(small)}
        found["before"] = accuracies(small, dataset)
        small.to(memory_format=torch.channels_last)  # twice as fast on a processor
        recipe = replace(RECIPE, model=self.network, seed=self.seed)
        list(pruned_steps(small, dataset.train[:N_TUNED], recipe))
        small.to(memory_format=torch.contiguous_format)
        return found | {
            "after": accuracies(small, dataset),
            "pruning_seconds": round(pruned - start, 3),
            "seconds": round(time.perf_counter() - pruned, 1),
        }


@dataclass(frozen=True)
class Timing:
    """One measurement of all forms of a network, which take turns."""

    place: ClassVar = "times"
    network: str
    batch: int
    repetition: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the milliseconds of a call of each form in its quietest round, and the machine."""
        images = dataset.validation.images[: self.batch]
        calls = {name: answering(one, images) for name, one in forms(self.network).items()}
        found = compare_latencies(calls, rounds=ROUNDS, min_run_time=0.01, summary=min)
        return {
            "device": device_name(),
            "threads": torch.get_num_threads(),
            "milliseconds": {name: 1000 * seconds for name, seconds in found.items()},
        }


def forms(name: str) -> dict[str, nn.Module]:
    """Return a network whole, with half of its units masked, and without them.

    LeNet-300-100 also with zeros for weights, masked and as sparse rows, and with 144 and 48 units,
    multiples of 16, in the place of 150 and 50.
    """
    whole = load_checkpoint(name).eval()
    scores = norms(whole, None)
    keep = {label: keep_highest(score, share=0.5) for label, score in scores.items()}
    made: dict[str, nn.Module] = {
        "whole": whole,
        "masked": compress.silence_units(whole, keep),
        "narrow": compress.remove_units(whole, keep),
    }
    if name != "lenet300":
        return made
    fewer = {label: keep_highest(score, share=0.48) for label, score in scores.items()}
    made["narrow, multiples of 16"] = compress.remove_units(whole, fewer)
    for sparsity in SPARSITIES:
        zeros = copy.deepcopy(whole)
        compress.apply_masks(zeros, magnitude_masks(zeros, sparsity))
        made[f"zeros {sparsity}"] = zeros
        made[f"sparse rows {sparsity}"] = compress.with_sparse_layers(zeros)
    return made


def answering(network: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """Return the forward pass of some images, without gradients."""

    def answer() -> Tensor:
        with torch.no_grad():
            logits: Tensor = network(images)
        return logits

    return answer


PLAN = [
    *(Run(n, m, share, seed) for seed, n, share, m in product(SEEDS, NETWORKS, SHARES, METHODS)),
    *(Timing(*each) for each in product(TIMED, BATCHES, range(REPETITIONS))),
]


def about() -> dict[str, Any]:
    """Return the recipe of the training."""
    return {"recipe": asdict(RECIPE) | {"images": N_TUNED, "scored": N_SCORED}}


def _places(network: Network) -> Mapping[str, str]:
    return PLACES[type(network).__name__]


def _macs(network: Network) -> int:
    return compress.mac_formula(network)(network.widths)
