"""Chapter 15: does weight decay make pruning cheap? (twenty minutes).

The two recipes of `experiments.merging` differ in epochs, learning rate and weight decay at
once. Here LeNet-300-100 is trained for 12 epochs with either learning rate, with decay and without,
and as the shipped one except for the decay, five seeds each; then units are pruned, or merged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from experiments.merging import RECIPES, SPARSITIES, Merger
from reference_impl.compress import incoming_rows, merge_nearest, remove_units
from reference_impl.data import Dataset
from reference_impl.merging import gaussian_scale, norm_ratio_scale
from reference_impl.models import Network
from reference_impl.pruning import keep_highest
from reference_impl.training import accuracy, fit

SEEDS = range(5)
SHORT, SHIPPED = RECIPES["short"], RECIPES["shipped"]
RATES = (SHORT.learning_rate, SHIPPED.learning_rate)
DECAYS = (SHORT.weight_decay, SHIPPED.weight_decay)

WAYS: dict[str, Merger] = {
    "prune": remove_units,
    "merge norm ratio": partial(merge_nearest, scale=norm_ratio_scale),
    "merge kappa": partial(merge_nearest, scale=gaussian_scale),
}


@dataclass(frozen=True)
class Run:
    """One network: how it is trained, and the seed of that."""

    epochs: int
    learning_rate: float
    weight_decay: float
    seed: int


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield the four short recipes of a seed before the next seed, and the long one last."""
    for seed, rate, decay in product(SEEDS, RATES, DECAYS):
        yield Run(SHORT.epochs, rate, decay, seed)
    for seed in SEEDS:
        yield Run(SHIPPED.epochs, SHIPPED.learning_rate, SHORT.weight_decay, seed)


def measured(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return the accuracies of a network trained by the run's recipe; see `accuracies_of`."""
    *_, last = fit(replace(SHORT, **asdict(run)), dataset)
    return {"test": accuracies_of(last.best, dataset)}


def accuracies_of(network: Network, dataset: Dataset) -> dict[str, Any]:
    """Return test accuracies, in percent: {"whole": …, "0.5": {"prune": …, …}, …}.

    Every way keeps the same units, those of the highest L2 norms.
    """
    right: dict[str, Any] = {"whole": accuracy(network, dataset.test)}
    for sparsity in SPARSITIES:
        keep = {
            label: keep_highest(incoming_rows(network, label).norm(dim=1), sparsity)
            for label in network.widths
        }
        right[str(sparsity)] = {
            way: accuracy(merge(network, keep), dataset.test) for way, merge in WAYS.items()
        }
    return right
