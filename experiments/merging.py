"""Chapter 18: units merged, pruned, solved for by least squares (25 minutes).

LeNet-300-100 loses half of the units of both hidden layers and more, and is not trained again. The
units that stay are the same for pruning, merging and least squares, so that these are compared in
pairs, network by network (Kim et al. 2020); ways are compared on validation accuracy.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from experiments.measures import accuracies
from experiments.retrain import RECIPES as SHIPPED_RECIPES
from reference_impl import compress, merging
from reference_impl.data import Dataset
from reference_impl.models import Network
from reference_impl.pruning import keep_highest, n_dropped, row_norm
from reference_impl.training import Recipe, fit, load_checkpoint

#: the recipe of the shipped network, whose seed 0 is that network; and Adam, without decay
RECIPES = {
    "shipped": SHIPPED_RECIPES["lenet300"],
    "short": Recipe("lenet300", epochs=12, weight_decay=0),
}
SEEDS = range(5)
SPARSITIES = (0.5, 0.6, 0.7, 0.8)
#: how a way is called → the least cosine at which it merges
LIMITS = {"": -1.0, " over 0.33": 0.33, " over 0.45": 0.45}
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FEW, MORE = 256, 1024  #: unlabelled images of the least squares; as many others choose the ridge
GREEDY_RIDGE = 0.03  #: for the units that stay; chosen on validation images, of 0.003 and 0.03
SCALES = {
    "projection": merging.projection_scale,
    "norm ratio": merging.norm_ratio_scale,
    "kappa": merging.gaussian_scale,
}
Keep = Mapping[str, Tensor]
DATA_FREE: dict[str, Callable[[Network, Keep], Network]] = {
    "prune": compress.remove_units,
    **{
        f"merge {name}{over}": partial(compress.merge_nearest, scale=scale, threshold=limit)
        for name, scale in SCALES.items()
        for over, limit in LIMITS.items()
    },
}
#: name → the number of images, and what else `merge_least_squares` is given
LEAST_SQUARES: dict[str, tuple[int, dict[str, Any]]] = {
    f"least squares {FEW}": (FEW, {}),
    f"least squares {MORE}": (MORE, {}),
    f"least squares {FEW} one-shot": (FEW, {"sequential": False}),
    f"least squares {FEW} towards merging": (FEW, {"scale": merging.norm_ratio_scale}),
}


@dataclass(frozen=True)
class Run:
    """One network: how it is trained, and the seed of that."""

    recipe: str
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the accuracies, in percent, by sparsity and way; and the ridges that were chosen.

        ``validation`` and ``test``: {"whole": accuracy, "0.5": {"prune, L1": accuracy, …}, …}.
        """
        network = made(self, dataset)
        found: dict[str, dict[str, Any]] = {
            part: {"whole": value} for part, value in accuracies(network, dataset).items()
        }
        found["ridges"] = {}
        for sparsity in SPARSITIES:
            for way, merged, ridge in ways(network, sparsity, images_of(self, dataset)):
                values = accuracies(merged, dataset) | ({"ridges": ridge} if ridge else {})
                for part, value in values.items():
                    found[part].setdefault(str(sparsity), {})[way] = value
        return found


PLAN = [Run(recipe, seed) for recipe in RECIPES for seed in SEEDS]


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
    criteria = {f"L{order}": by_norm(network, sparsity, order) for order in (1, 2)}
    criteria["greedy"] = {
        label: merging.greedy_keep(
            compress.values_read(network, label, images[:FEW]),
            compress.outgoing_columns(network, label),
            n - n_dropped(sparsity, n),
            ridge=GREEDY_RIDGE,
        )
        for label, n in network.widths.items()
    }
    for criterion, keep in criteria.items():
        for name, merge in DATA_FREE.items():
            yield f"{name}, {criterion}", merge(network, keep), None
        for name, (n, given) in LEAST_SQUARES.items():
            yield f"{name}, {criterion}", *by_least_squares(network, keep, images, n, given)
    for name, normalised in {"saliency": False, "saliency normalised": True}.items():
        yield name, by_saliency(network, sparsity, normalised=normalised), None


def by_norm(network: Network, sparsity: float, order: int) -> Keep:
    """Return label → units to keep, those of the highest norms of [w, b]."""
    return {
        label: keep_highest(
            row_norm(compress.incoming_rows(network, label), order), share=1 - sparsity
        )
        for label in network.widths
    }


def by_least_squares(
    network: Network, keep: Keep, images: Tensor, n: int, given: Mapping[str, Any]
) -> tuple[Network, float]:
    """Solve on n images, with the ridge whose outputs are closest to the network's on n others."""
    candidates = {
        ridge: compress.merge_least_squares(network, keep, images[:n], ridge=ridge, **given)
        for ridge in RIDGES
    }
    ridge: float = compress.closest_outputs(network, candidates, images[n : 2 * n])
    return candidates[ridge], ridge


def by_saliency(network: Network, sparsity: float, *, normalised: bool) -> Network:
    """Merge pairs as Srinivas and Babu do, as many as units go; saliency chooses them."""
    maps = {
        label: merging.merge_by_saliency(
            compress.incoming_rows(network, label),
            compress.outgoing_columns(network, label),
            n_dropped(sparsity, n),
            normalised=normalised,
        )
        for label, n in network.widths.items()
    }
    for label, width_map in maps.items():
        network = compress.map_width(network, label, width_map)
    return network
