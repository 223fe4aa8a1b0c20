"""Chapter 11: networks with zeros (75 minutes; MNIST too if its files are in data/MNIST).

Trained networks are trained on, with pruning and without (the target). Weights are dropped at once,
with and without training after it, and little by little (the curves); and round after round from
the same initial weights (the tickets).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments import workers
from experiments.measures import accuracies, kept
from experiments.sparse_targets import ALPHA, PRUNED, TEMPERATURE, target
from reference_impl.compress import apply_masks, density
from reference_impl.data import Dataset, Examples, batches
from reference_impl.models import Network
from reference_impl.pruning import keep_highest_of_all, keep_highest_of_each
from reference_impl.training import (
    Growth,
    Recipe,
    accuracy,
    load_checkpoint,
    magnitude_masks,
    new_student,
    pruned_steps,
    tickets,
)
from reference_impl.training.prune import Choose

SEEDS = {"lenet300": range(5), "lenet5": range(3)}

CHOICES: Mapping[str, Choose] = {"each": keep_highest_of_each, "all": keep_highest_of_all}
"""Layerwise and global pruning."""

N_IMAGES = 20_000
"""Training images of curves and tickets; the target has all."""

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
CURVE_SEEDS = range(3)
WHOLE = Recipe("lenet300", epochs=8, learning_rate=2e-3, weight_decay=0.05)
TUNE = Recipe("lenet300", epochs=4, learning_rate=1e-3, weight_decay=0.05)

TICKET = Recipe("lenet300", epochs=3, learning_rate=2e-3, weight_decay=0.05)
SHARE, ROUNDS = 0.5, 6


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        part: "target", "curves" or "tickets".
        network: a key of `TARGETS`.
        seed: of initial weights and order; None is the shipped network.
        data: "FashionMNIST" or "MNIST".
    """

    part: str
    network: str
    seed: int | None
    data: str = "FashionMNIST"


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield curves, tickets and targets; and the targets of MNIST, if it is here."""
    yield from (Run("curves", "lenet300", seed) for seed in (None, *CURVE_SEEDS))
    yield from (Run("tickets", "lenet300", seed) for seed in CURVE_SEEDS)
    for data in ("FashionMNIST", "MNIST") if workers.MNIST.is_dir() else ("FashionMNIST",):
        for network, seeds in SEEDS.items():
            yield from (Run("target", network, seed, data) for seed in seeds)


def about() -> dict[str, Any]:
    """Return how networks are trained."""
    recipes = {
        "target": {name: asdict(way) for name, way in PRUNED.items()},
        "told": {"temperature": TEMPERATURE, "alpha": ALPHA},
        "images": N_IMAGES,
        "whole": asdict(WHOLE),
        "tuning": asdict(TUNE),
        "ticket": asdict(TICKET) | {"share": SHARE, "rounds": ROUNDS},
    }
    return {"recipes": recipes}


def measured(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return the results of a run, accuracies in percent."""
    if run.part == "target":
        examples = workers.mnist() if run.data == "MNIST" else dataset
        return target(run.network, run.seed or 0, run.data, examples)
    few = replace(dataset, train=dataset.train.subset(N_IMAGES))
    return curves(run, few) if run.part == "curves" else lottery(run, few)


def curves(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return a row for each choice, sparsity and way; accuracies after the last epoch.

    The network is trained by `WHOLE`; then `TUNE` is the budget of every way except "one shot".
    """
    seed = run.seed or 0
    whole = load_checkpoint(run.network) if run.seed is None else trained_whole(dataset, seed)
    tune = replace(TUNE, seed=seed)
    rows = []
    for name, choose in CHOICES.items():
        for sparsity in SPARSITIES if run.seed is not None else (0.9, 0.98):
            for way, made in WAYS.items():
                network = made(whole, sparsity, choose, dataset.train, tune)
                row = {"choice": name, "sparsity": sparsity, "way": way, "kept": kept(network)}
                rows.append(row | accuracies(network, dataset))
    longer = copy.deepcopy(whole)
    trained(longer, dataset.train, tune)
    return {
        "whole": accuracies(whole, dataset),
        "longer": accuracies(longer, dataset),
        "rows": rows,
    }


def trained_whole(dataset: Dataset, seed: int) -> Network:
    """Return a network trained by `WHOLE`."""
    network = new_student(replace(WHOLE, seed=seed))
    trained(network, dataset.train, replace(WHOLE, seed=seed))
    return network


def one_shot(whole: Network, sparsity: float, choose: Choose, _: Examples, __: Recipe) -> Network:
    """Return the network without its smallest weights."""
    network = copy.deepcopy(whole)
    apply_masks(network, magnitude_masks(network, sparsity, choose))
    return network


def fine_tuned(
    whole: Network, sparsity: float, choose: Choose, examples: Examples, recipe: Recipe
) -> Network:
    """Return the network without its smallest weights, then trained."""
    network = copy.deepcopy(whole)
    trained(network, examples, recipe, masks=magnitude_masks(network, sparsity, choose))
    return network


def gradual(
    whole: Network, sparsity: float, choose: Choose, examples: Examples, recipe: Recipe
) -> Network:
    """Return the network trained while, in the first half of the steps, weights are dropped."""
    network = copy.deepcopy(whole)
    trained(network, examples, recipe, growth=Growth(sparsity, begin=0, end=0.5, choose=choose))
    return network


WAYS = {"one shot": one_shot, "fine-tuned": fine_tuned, "gradual": gradual}


def lottery(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return a row for each round: the ticket, and what shares its masks or their densities.

    "reinitialised" has the ticket's masks and other initial weights; "shuffled" the ticket's
    initial weights and masks whose places are drawn anew within each layer.
    """
    seed = run.seed or 0
    recipe = replace(TICKET, seed=seed)
    network, other = new_student(recipe), new_student(replace(recipe, seed=1000 + seed))
    rows = []

    def note(kind: str, one: nn.Module, masks: Mapping[str, Tensor]) -> None:
        """Train in place, as long as all others."""
        per_epoch = len(batches(dataset.train, recipe.batch_size))
        steps = pruned_steps(one, dataset.train, recipe, masks=masks)
        early = 0.0
        for step, _ in enumerate(steps, start=1):
            if step == per_epoch:
                early = accuracy(one, dataset.test)
        row = {"kind": kind, "density": density(one), "first_epoch": early}
        rows.append(row | accuracies(one, dataset) | {"kept": kept(one)})

    generator = torch.Generator().manual_seed(seed)
    masks: Mapping[str, Tensor] = {}
    for masks in tickets(network, partial(note, "ticket"), share=SHARE, rounds=ROUNDS):
        note("reinitialised", copy.deepcopy(other), masks)
        note("shuffled", new_student(recipe), shuffled(masks, generator))
    note("ticket", network, masks)
    return {"rows": rows}


def shuffled(masks: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return masks of the same densities, layer by layer, whose places are drawn."""
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view(mask.shape)
        for name, mask in masks.items()
    }


def trained(network: nn.Module, examples: Examples, recipe: Recipe, **how: Any) -> None:
    """Train in place, to the last epoch."""
    for _ in pruned_steps(network, examples, recipe, **how):
        pass
