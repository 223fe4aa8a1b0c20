"""Chapter 14: the teacher made smaller by several scores (twenty minutes).

The teacher loses channels until half, or a quarter, of its multiply–accumulates are left: by
several scores, by chance, and by Torch-Pruning. What is left is trained for a moment, with three
orders of the images.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from experiments.measures import accuracies
from reference_impl.compress import (
    by_mean,
    by_rank,
    incoming_rows,
    mac_formula,
    outgoing_columns,
    outputs_at,
    prune_to_budget,
    unchanged,
    unit_contributions,
)
from reference_impl.compress.budget import Normalise
from reference_impl.data import Dataset, Examples
from reference_impl.models import IMAGE_SHAPE, Network
from reference_impl.pruning import mean_square_gate_taylor, output_change, row_norm
from reference_impl.training import Recipe, load_checkpoint, pruned_steps

PACKAGES = ("torch_pruning",)

PLACES = {f"conv{i}": f"relu{i}" for i in range(1, 5)}
SHARES = (0.5, 0.25)
"""At most this share of the teacher's multiply–accumulates."""

SEEDS = range(3)
N_TUNED = 10_000
"""Training images of the fine-tuning."""

N_SCORED = 2_000
"""Training images that scores may look at."""

RECIPE = Recipe("teacher", epochs=2, learning_rate=2e-3)

Scores = Mapping[str, Tensor]
Pruner = Callable[[Network, int, Examples], Network]
"""(network, MACs at most, images to look at) → a smaller one."""


def norms(network: Network, _: Examples) -> Scores:
    """Return ‖[w, b]‖ of every unit, BatchNorm folded."""
    return {label: row_norm(incoming_rows(network, label)) for label in network.widths}


def taylor(network: Network, examples: Examples) -> Scores:
    """Return the mean square of every unit's contributions to the loss."""
    values = unit_contributions(network, PLACES, examples)
    return {label: mean_square_gate_taylor(value) for label, value in values.items()}


def output_changes(network: Network, examples: Examples) -> Scores:
    """Return ‖W'_i‖² mean a_i² of every unit, the mean over images and positions."""
    seen = outputs_at(network.chain(), tuple(PLACES.values()), examples.images)
    return {
        label: output_change(
            outgoing_columns(network, label), seen[place].square().mean(dim=(0, 2, 3))
        )
        for label, place in PLACES.items()
    }


def chances(network: Network, _: Examples) -> Scores:
    """Return numbers from [0, 1)."""
    generator = torch.Generator().manual_seed(0)
    return {label: torch.rand(n, generator=generator) for label, n in network.widths.items()}


def by(score: Callable[[Network, Examples], Scores], normalise: Normalise) -> Pruner:
    """Return what removes the lowest scores."""

    def prune(network: Network, max_macs: int, examples: Examples) -> Network:
        scores = score(network, examples)
        return prune_to_budget(network, scores, max_macs, normalise=normalise)

    return prune


def anew(network: Network, max_macs: int, examples: Examples) -> Network:
    """Take the widths of "Taylor", and initial weights."""
    widths = METHODS["Taylor"](network, max_macs, examples).widths
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return type(network).from_widths(widths)


def by_torch_pruning(network: Network, max_macs: int, _: Examples) -> Network:
    """Remove as Torch-Pruning does by default, all layers together, at its least ratio that fits.

    Its magnitude of a group, each layer's divided by its mean. The ratio is sought in steps of a
    thousandth.
    """
    low, high = 0, 1000  # nothing is removed; all units of each layer except one
    while high - low > 1:
        middle = (low + high) // 2
        found = torch_pruned(network, middle / 1000)
        low, high = (
            (low, middle) if mac_formula(found)(found.widths) <= max_macs else (middle, high)
        )
    return torch_pruned(network, high / 1000)


def torch_pruned(network: Network, ratio: float) -> Network:
    """Return a teacher without ``ratio`` of all its channels, chosen by Torch-Pruning."""
    import torch_pruning as tp  # type: ignore[import-untyped] # noqa: PLC0415 — slow to import

    theirs = copy.deepcopy(network)
    pruner = tp.pruner.BasePruner(
        theirs,
        torch.zeros(1, *IMAGE_SHAPE),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=[theirs.head],
    )
    pruner.step()
    state = theirs.state_dict()
    widths = {
        axes[0].label: len(state[name])
        for name, axes in network.axes.items()
        if axes and axes[0].label
    }
    small = type(network).from_widths(widths)
    small.load_state_dict(state)
    return small.eval()


METHODS: Mapping[str, Pruner] = {
    "Taylor": by(taylor, by_mean),
    "output change": by(output_changes, by_mean),
    "norm": by(norms, by_mean),
    "norm, evenly": by(norms, by_rank),
    "Taylor, unchanged": by(taylor, unchanged),
    "Torch-Pruning": by_torch_pruning,
    "at random": by(chances, by_rank),
    "anew": anew,
}


@dataclass(frozen=True)
class Run:
    """One training: which method, what share of the operations is left, which order of images."""

    method: str
    share: float
    seed: int


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield every run, the first seed of all methods first."""
    for seed, share, method in product(SEEDS, SHARES, METHODS):
        yield Run(method, share, seed)


def about() -> dict[str, Any]:
    """Return the recipe of the training."""
    return {"recipe": asdict(RECIPE) | {"images": N_TUNED, "scored": N_SCORED}}


def measured(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return the results of a run: widths, operations, accuracies before and after the training."""
    teacher = load_checkpoint("teacher").eval()
    budget = int(run.share * mac_formula(teacher)(teacher.widths))
    start = time.perf_counter()
    small = METHODS[run.method](teacher, budget, dataset.train.subset(N_SCORED)).eval()
    pruned = time.perf_counter()
    before = rounded(small, dataset)
    tune(small, dataset.train.subset(N_TUNED), run.seed)
    return {
        "widths": dict(small.widths),
        "macs": mac_formula(small)(small.widths),
        "before": before,
        "after": rounded(small, dataset),
        "pruning_seconds": round(pruned - start, 3),
        "seconds": round(time.perf_counter() - pruned, 1),
    }


def tune(network: Network, examples: Examples, seed: int) -> None:
    """Train in place by `RECIPE`, and leave the network in evaluation mode."""
    network.to(memory_format=torch.channels_last)  # twice as fast on a processor
    for _ in pruned_steps(network, examples, replace(RECIPE, seed=seed)):
        pass
    network.to(memory_format=torch.contiguous_format)


def rounded(network: Network, dataset: Dataset) -> dict[str, float]:
    """Return validation and test accuracy to a hundredth of a percent."""
    return {name: round(right, 2) for name, right in accuracies(network, dataset).items()}
