"""Chapter 15: units merged, pruned, solved for by least squares (25 minutes).

LeNet-300-100 loses half of the units of both hidden layers and more, and is not trained again. The
units that stay are the same for pruning, merging and least squares, so that these are compared in
pairs, network by network (Kim et al. 2020). Both accuracies, validation and test, are recorded for
every way: ways are compared on the first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from experiments.retrain import RECIPES as SHIPPED_RECIPES
from reference_impl.compress import (
    closest_outputs,
    incoming_rows,
    map_width,
    merge_least_squares,
    merge_nearest,
    outgoing_columns,
    remove_units,
    values_read,
)
from reference_impl.data import Dataset
from reference_impl.merging import (
    gaussian_scale,
    greedy_keep,
    merge_by_saliency,
    norm_ratio_scale,
    projection_scale,
)
from reference_impl.models import Network
from reference_impl.pruning import keep_highest, n_dropped, row_norm
from reference_impl.training import Recipe, accuracy, fit, load_checkpoint

RECIPES = {
    "shipped": SHIPPED_RECIPES["lenet300"],
    "short": Recipe("lenet300", epochs=12, weight_decay=0),
}
"""The recipe of the shipped network, whose seed 0 is that network; and Adam, without decay."""

SEEDS = range(5)
SPARSITIES = (0.5, 0.6, 0.7, 0.8)
SCALES = {
    "projection": projection_scale,
    "norm ratio": norm_ratio_scale,
    "kappa": gaussian_scale,
}
THRESHOLDS = (0.33, 0.45)
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FEW, MORE = 256, 1024
"""Unlabelled images of the least squares; as many others choose the ridge."""

GREEDY_RIDGE = 0.03
"""For the units that stay; chosen on validation images, of 0.003 and 0.03."""

Keep = Mapping[str, Tensor]
Merger = Callable[[Network, Keep], Network]


@dataclass(frozen=True)
class Run:
    """One network: how it is trained, and the seed of that."""

    recipe: str
    seed: int


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield the shipped network first, which the chapter measures again."""
    for recipe in RECIPES:
        for seed in SEEDS:
            yield Run(recipe, seed)


def measured(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return the accuracies, in percent, by sparsity and by way; and the ridges that were chosen.

    ``validation`` and ``test``: {"whole": accuracy, "0.5": {"prune, L1": accuracy, …}, …}.
    """
    network = made(run, dataset)
    sets = {"validation": dataset.validation, "test": dataset.test}
    right: dict[str, dict[str, Any]] = {
        name: {"whole": accuracy(network, examples)} for name, examples in sets.items()
    }
    ridges: dict[str, dict[str, float]] = {}
    for sparsity in SPARSITIES:
        at = str(sparsity)
        ridges[at] = {}
        for way, merged, ridge in ways(network, sparsity, images_of(run, dataset)):
            for name, examples in sets.items():
                right[name].setdefault(at, {})[way] = accuracy(merged, examples)
            if ridge is not None:
                ridges[at][way] = ridge
    return {**right, "ridges": ridges}


def made(run: Run, dataset: Dataset) -> Network:
    """Return the shipped network, or one trained from the run's seed."""
    if run == Run("shipped", 0):
        return load_checkpoint("lenet300")
    *_, last = fit(replace(RECIPES[run.recipe], seed=run.seed), dataset)
    return last.best


def images_of(run: Run, dataset: Dataset) -> Tensor:
    """Return the unlabelled images of a run, other ones for each seed."""
    start = 2 * MORE * run.seed
    return dataset.train.images[start : start + 2 * MORE]


def ways(
    network: Network, sparsity: float, images: Tensor
) -> Iterator[tuple[str, Network, float | None]]:
    """Yield (name, what is left, the ridge if there was one) of every way to remove units."""
    for criterion, keep in kept(network, sparsity, images).items():
        for name, merge in data_free().items():
            yield f"{name}, {criterion}", merge(network, keep), None
        for name, (n, given) in least_squares().items():
            solved, ridge = by_least_squares(network, keep, images, n, given)
            yield f"{name}, {criterion}", solved, ridge
    for name, normalised in {"saliency": False, "saliency normalised": True}.items():
        yield name, by_saliency(network, sparsity, normalised=normalised), None


def kept(network: Network, sparsity: float, images: Tensor) -> dict[str, Keep]:
    """Return criterion → masks: by the norms of [w, b], or greedily, for the least squares."""
    rows = {label: incoming_rows(network, label) for label in network.widths}
    masks: dict[str, Keep] = {
        f"L{order}": {
            label: keep_highest(row_norm(these, order), sparsity) for label, these in rows.items()
        }
        for order in (1, 2)
    }
    masks["greedy"] = {
        label: greedy_keep(
            values_read(network, label, images[:FEW]),
            outgoing_columns(network, label),
            n - n_dropped(sparsity, n),
            ridge=GREEDY_RIDGE,
        )
        for label, n in network.widths.items()
    }
    return masks


def data_free() -> dict[str, Merger]:
    """Return pruning, and merging by each scale without a threshold and with one."""
    found: dict[str, Merger] = {"prune": remove_units}
    for name, scale in SCALES.items():
        found[f"merge {name}"] = partial(merge_nearest, scale=scale)
        for threshold in THRESHOLDS:
            limited = partial(merge_nearest, scale=scale, threshold=threshold)
            found[f"merge {name} over {threshold}"] = limited
    return found


def least_squares() -> dict[str, tuple[int, dict[str, Any]]]:
    """Return name → the number of images, and what else `merge_least_squares` is given."""
    return {
        f"least squares {FEW}": (FEW, {}),
        f"least squares {MORE}": (MORE, {}),
        f"least squares {FEW} one-shot": (FEW, {"sequential": False}),
        f"least squares {FEW} towards merging": (FEW, {"scale": norm_ratio_scale}),
    }


def by_least_squares(
    network: Network, keep: Keep, images: Tensor, n: int, given: Mapping[str, Any]
) -> tuple[Network, float]:
    """Solve on n images, with the ridge whose outputs are closest to the network's on n others."""
    candidates = {
        ridge: merge_least_squares(network, keep, images[:n], ridge=ridge, **given)
        for ridge in RIDGES
    }
    ridge: float = closest_outputs(network, candidates, images[n : 2 * n])
    return candidates[ridge], ridge


def by_saliency(network: Network, sparsity: float, *, normalised: bool) -> Network:
    """Merge pairs as Srinivas and Babu do, as many as units go; saliency chooses them."""
    maps = {
        label: merge_by_saliency(
            incoming_rows(network, label),
            outgoing_columns(network, label),
            n_dropped(sparsity, n),
            normalised=normalised,
        )
        for label, n in network.widths.items()
    }
    for label, width_map in maps.items():
        network = map_width(network, label, width_map)
    return network
