"""Chapter 18: does weight decay make pruning cheap? (twenty minutes).

The two recipes of `experiments.merging` differ in epochs, learning rate and weight decay at
once. Here LeNet-300-100 is trained for 12 epochs with either learning rate, with decay and without,
and as the shipped one except for the decay, five seeds each; then units are pruned, or merged.
"""

from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from experiments.merging import DATA_FREE, RECIPES, SEEDS, SPARSITIES, by_norm
from reference_impl.data import Dataset
from reference_impl.models import Network
from reference_impl.training import accuracy, fit

SHORT, SHIPPED = RECIPES["short"], RECIPES["shipped"]
RATES = (SHORT.learning_rate, SHIPPED.learning_rate)
DECAYS = (SHORT.weight_decay, SHIPPED.weight_decay)
WAYS = ("prune", "merge norm ratio", "merge kappa")


@dataclass(frozen=True)
class Run:
    """One network: how it is trained, and the seed of that."""

    epochs: int
    learning_rate: float
    weight_decay: float
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the accuracies of a network trained by the run's recipe; see `accuracies_of`."""
        *_, last = fit(replace(SHORT, **asdict(self)), dataset)
        return {"test": accuracies_of(last.best, dataset)}


PLAN = [
    *(Run(SHORT.epochs, rate, decay, seed) for seed, rate, decay in product(SEEDS, RATES, DECAYS)),
    *(Run(SHIPPED.epochs, SHIPPED.learning_rate, SHORT.weight_decay, seed) for seed in SEEDS),
]


def accuracies_of(network: Network, dataset: Dataset) -> dict[str, Any]:
    """Return test accuracies, in percent: {"whole": …, "0.5": {"prune": …, …}, …}.

    Every way keeps the same units, those of the highest L2 norms.
    """
    right: dict[str, Any] = {"whole": accuracy(network, dataset.test)}
    for sparsity in SPARSITIES:
        keep = by_norm(network, sparsity, 2)
        ways = {way: DATA_FREE[way](network, keep) for way in WAYS}
        right[str(sparsity)] = {way: accuracy(left, dataset.test) for way, left in ways.items()}
    return right
