"""Chapter 15: pruning by stability under shifts (half an hour).

Units of new networks are removed by six rules, and what is left is tested as it is and under five
shifts. A rule that looks at shifted data does not look at the shift on which it is then tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_impl.compress import remove_units, unit_contributions
from reference_impl.data import Dataset, Examples, batches
from reference_impl.models import Network
from reference_impl.pruning import RULES, n_dropped
from reference_impl.pruning.stability_rules import Rule
from reference_impl.shifts import shifted_sets
from reference_impl.training import Recipe, accuracy, load_checkpoint, new_student, recipe_steps

PLAIN = "plain"  #: the name of the images without a shift
PLACES = {
    "lenet300": {"hidden1": "relu1", "hidden2": "relu2"},
    "student": {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3"},
}
SPARSITIES = {"lenet300": (0.3, 0.5, 0.7, 0.8), "student": (0.25, 0.5)}
SEEDS = {"lenet300": range(10), "student": range(5)}
RECIPES = {
    "lenet300": Recipe("lenet300", epochs=6, learning_rate=2e-3),
    "student": Recipe("student", epochs=4, learning_rate=1e-2),
}
#: training images of the epoch after the removal, for networks of the highest sparsity
N_TUNED = {"lenet300": 55_000, "student": 20_000}
#: the rules that look at shifted data: for comparison they also see the shift of the test
LOOKING = ("pooled", "stable", "steady")
#: seeds of the noise on the images that rules see, and on those of the test
VALIDATION_NOISE, TEST_NOISE = 1, 2
Masks = dict[str, Tensor]


@dataclass(frozen=True)
class Run:
    """One network: which, and the seed of its training; None is the shipped checkpoint."""

    network: str
    seed: int | None

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the accuracies, in percent, of a network and of what each rule leaves of it."""
        network = made(self, dataset)
        places, parts = PLACES[self.network], (dataset.validation, dataset.test)
        sets, tests = (
            {PLAIN: examples, **shifted_sets(examples, seed=seed)}
            for examples, seed in zip(parts, (VALIDATION_NOISE, TEST_NOISE), strict=True)
        )
        found = {name: unit_contributions(network, places, these) for name, these in sets.items()}
        values = {label: {name: x[label].abs() for name, x in found.items()} for label in places}

        def removed(masks: Mapping[str, Masks]) -> dict[str, float]:
            return {
                test: accuracy(remove_units(network, masks[test]), examples)
                for test, examples in tests.items()
            }

        rows = []
        for sparsity in SPARSITIES[self.network]:
            for name, rule in RULES.items():
                keeping = partial(kept, rule, values, sparsity, self.seed)
                masks = {test: keeping(unseen=test) for test in tests}
                right = {"held out": removed(masks)}
                if name in LOOKING:
                    right["seen"] = removed(dict.fromkeys(tests, keeping()))
                if self.seed is not None and sparsity == max(SPARSITIES[self.network]):
                    recipe = replace(RECIPES[self.network], seed=self.seed)
                    right["tuned"] = tuned(network, masks, tests, dataset.train, recipe)
                row = {"rule": name, "sparsity": sparsity}
                rows += [row | {"as": how, "accuracy": shares} for how, shares in right.items()]
        whole = {test: accuracy(network, examples) for test, examples in tests.items()}
        return {"whole": whole, "rows": rows}


PLAN = [  # the chapter measures the shipped network again
    Run("lenet300", None),
    *(Run(network, seed) for network, seeds in SEEDS.items() for seed in seeds),
]


def made(run: Run, dataset: Dataset) -> Network:
    """Return the shipped network, or one trained from the run's seed."""
    if run.seed is None:
        return load_checkpoint(run.network)
    recipe = replace(RECIPES[run.network], seed=run.seed)
    network = new_student(recipe)
    train(network, dataset.train, recipe)
    return network.to(memory_format=torch.contiguous_format)


def train(network: Network, examples: Examples, recipe: Recipe) -> None:
    """Train the network in place by the recipe, and leave it in evaluation mode."""
    source = (
        batch
        for epoch in range(recipe.epochs)
        for batch in batches(examples, recipe.batch_size, seed=1000 * recipe.seed + epoch)
    )
    list(recipe_steps(network, source, F.cross_entropy, recipe, recipe.n_steps(len(examples))))


def kept(
    rule: Rule,
    values: Mapping[str, Mapping[str, Tensor]],
    sparsity: float,
    seed: int | None,
    *,
    unseen: str = PLAIN,
) -> Masks:
    """Return label → units to keep, by a rule that sees all data sets except a shifted one.

    The plain images are always seen.
    """
    generator = torch.Generator().manual_seed(10_000 + (seed or 0))
    masks = {}
    for label, sets in values.items():
        seen = {name: these for name, these in sets.items() if name == PLAIN or name != unseen}
        units = seen[PLAIN].shape[1]
        masks[label] = rule(seen, units - n_dropped(sparsity, units), generator)
    return masks


def tuned(
    network: Network,
    masks: Mapping[str, Masks],
    tests: Mapping[str, Examples],
    examples: Examples,
    recipe: Recipe,
) -> dict[str, float]:
    """Return the accuracies after an epoch on the plain images; equal masks are trained once."""
    epoch = replace(recipe, epochs=1, learning_rate=recipe.learning_rate / 2)
    done: dict[str, Network] = {}
    right = {}
    for test, shifted in tests.items():
        key = str([mask.tolist() for mask in masks[test].values()])
        if key not in done:
            done[key] = remove_units(network, masks[test])
            train(done[key], examples[: N_TUNED[recipe.model]], epoch)
        right[test] = accuracy(done[key], shifted)
    return right
