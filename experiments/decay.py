"""``python -m experiments.decay``: does weight decay make pruning cheap (ch. 15)?

The two recipes of `experiments.merging` differ in epochs, learning rate and weight decay at
once. Here LeNet-300-100 is trained for 12 epochs with either learning rate, with decay and without,
and as the shipped one except for the decay, five seeds each; then units are pruned, or merged. The
record, ``data/results/decay.json``, is written after each network; a command that was
interrupted continues where it stopped.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.merging import RECIPES, SPARSITIES, Merger
from experiments.records import make_missing, open_record, run_recorder
from reference_impl.compress import incoming_rows, merge_nearest, remove_units
from reference_impl.data import Dataset
from reference_impl.files import ROOT
from reference_impl.merging import gaussian_scale, norm_ratio_scale
from reference_impl.models import Network
from reference_impl.pruning import keep_highest
from reference_impl.training import accuracy, fit

RESULT = ROOT / "data" / "results" / "decay.json"
COMMAND = "python -m experiments.decay"

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


def planned() -> Iterator[Run]:
    """Yield the four short recipes of a seed before the next seed, and the long one last."""
    for seed in SEEDS:
        for rate in RATES:
            for decay in DECAYS:
                yield Run(SHORT.epochs, rate, decay, seed)
    for seed in SEEDS:
        yield Run(SHIPPED.epochs, SHIPPED.learning_rate, SHORT.weight_decay, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_recorder(COMMAND, __doc__, RESULT, record, arguments)


def record(path: Path, dataset: Dataset, runs: Sequence[Run] | None = None) -> None:
    """Make the runs that the record does not hold yet, and write it after each.

    Args:
        path: of the record.
        dataset: to train on and to measure.
        runs: all that are planned by default.

    Raises:
        OSError: if the record cannot be written.
    """
    found, write = open_record(path, COMMAND)
    todo = list(planned()) if runs is None else runs
    make_missing(found, todo, lambda run: measured(made(run, dataset), dataset), write)


def made(run: Run, dataset: Dataset) -> Network:
    """Return a network trained by the run's recipe."""
    recipe = replace(
        SHORT,
        epochs=run.epochs,
        learning_rate=run.learning_rate,
        weight_decay=run.weight_decay,
        seed=run.seed,
    )
    *_, last = fit(recipe, dataset)
    return last.best


def measured(network: Network, dataset: Dataset) -> dict[str, Any]:
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
    print(right, flush=True)
    return {"test": right}


if __name__ == "__main__":
    sys.exit(main())
