"""Chapter 16: the teacher made smaller by several scores (twenty minutes).

The teacher loses channels until half, or a quarter, of its multiply–accumulates are left: by
scores, by chance, and by Torch-Pruning. What is left is trained for a moment.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor

from experiments.measures import accuracies
from reference_impl import compress
from reference_impl.data import Dataset, Examples
from reference_impl.models import Network
from reference_impl.pruning import mean_square_gate_taylor, output_change, row_norm
from reference_impl.training import Recipe, load_checkpoint, pruned_steps

PLACES = {f"conv{i}": f"relu{i}" for i in range(1, 5)}
SHARES = (0.5, 0.25)  #: at most this share of the teacher's multiply–accumulates
SEEDS = range(3)
#: training images of the fine-tuning, and those that scores may look at
N_TUNED, N_SCORED = 10_000, 2_000
RECIPE = Recipe("teacher", epochs=2, learning_rate=2e-3)

Scores = Mapping[str, Tensor]
Way = Callable[[Network, int, Examples], Network]
"""(network, MACs at most, images to look at) → a smaller one"""


def norms(network: Network, _: Examples) -> Scores:
    """Return ‖[w, b]‖ of every unit, BatchNorm folded."""
    return {label: row_norm(compress.incoming_rows(network, label)) for label in network.widths}


def taylor(network: Network, examples: Examples) -> Scores:
    """Return the mean square of every unit's contributions to the loss."""
    values = compress.unit_contributions(network, PLACES, examples)
    return {label: mean_square_gate_taylor(value) for label, value in values.items()}


def output_changes(network: Network, examples: Examples) -> Scores:
    """Return ‖W'_i‖² mean a_i² of every unit, the mean over images and positions."""
    seen = compress.outputs_at(network, tuple(PLACES.values()), examples.images)
    means = {label: seen[place].square().mean(dim=(0, 2, 3)) for label, place in PLACES.items()}
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
    """Return a teacher without ``ratio`` of all its channels, chosen by Torch-Pruning."""
    from benchmarks import pruning  # noqa: PLC0415 — imports Torch-Pruning, which is slow

    state = pruning.torch_pruned(network, ratio).state_dict()
    widths = {label: len(state[f"{label}.weight"]) for label in network.widths}
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
    """One training: which method, what share of the operations is left, which order of images."""

    packages: ClassVar = ("torch_pruning",)
    method: str
    share: float
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return widths, operations, seconds, and accuracies before and after the training."""
        teacher = load_checkpoint("teacher")
        budget, start = int(self.share * _macs(teacher)), time.perf_counter()
        small = METHODS[self.method](teacher, budget, dataset.train[:N_SCORED])
        pruned = time.perf_counter()
        found = {"widths": dict(small.widths), "macs": _macs(small)}
        found["before"] = accuracies(small, dataset)
        small.to(memory_format=torch.channels_last)  # twice as fast on a processor
        list(pruned_steps(small, dataset.train[:N_TUNED], replace(RECIPE, seed=self.seed)))
        small.to(memory_format=torch.contiguous_format)
        return found | {
            "after": accuracies(small, dataset),
            "pruning_seconds": round(pruned - start, 3),
            "seconds": round(time.perf_counter() - pruned, 1),
        }


PLAN = [Run(method, share, seed) for seed, share, method in product(SEEDS, SHARES, METHODS)]


def about() -> dict[str, Any]:
    """Return the recipe of the training."""
    return {"recipe": asdict(RECIPE) | {"images": N_TUNED, "scored": N_SCORED}}


def _macs(network: Network) -> int:
    return compress.mac_formula(network)(network.widths)
