"""The targets of chapter 11: trained networks are trained on, with pruning and without."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from experiments.measures import accuracies, kept
from reference_impl.compress import density
from reference_impl.data import Dataset, Examples, batches
from reference_impl.distillation import distillation_objective
from reference_impl.models import Network
from reference_impl.training import (
    Growth,
    Recipe,
    Targets,
    View,
    accuracy,
    load_checkpoint,
    new_student,
    pruned_steps,
    student_steps,
    view,
)
from reference_impl.training.prune import masked_steps

TARGETS = {"lenet300": 0.92, "lenet5": 0.95}
"""Network → sparsity at which it should be as good as the whole one."""


@dataclass(frozen=True)
class Way:
    """How a trained network is trained on, with pruning or without.

    Args:
        epochs: of training.
        weight_decay: of AdamW.
        copies: augmented copies of the images that it learns from, besides the plain ones; one of
            these views in an epoch, in turn.
        end: share of the steps after which the sparsity grows no more.
    """

    epochs: int
    weight_decay: float
    copies: int
    end: float

    def recipe(self, name: str, seed: int) -> Recipe:
        """Return the recipe of a network."""
        return Recipe(
            name,
            epochs=self.epochs,
            learning_rate=2e-3,
            weight_decay=self.weight_decay,
            seed=seed,
        )


PRUNED = {
    "lenet300": Way(epochs=30, weight_decay=0.1, copies=0, end=0.4),
    "lenet5": Way(epochs=36, weight_decay=0.05, copies=5, end=0.5),
}
"""The targets' own ways, chosen on the validation images. The shipped LeNet-5 has seen augmented
images; LeNet-300-100 has not."""

TEMPERATURE, ALPHA = 4.0, 0.9
"""Of the soft targets of a teacher."""

COMPARED: Mapping[str, Mapping[str, Way]] = {
    "lenet300": dict.fromkeys(
        ("by itself", "by labels", "longer", "longer, told"), PRUNED["lenet300"]
    ),
    "lenet5": {
        "plain": Way(epochs=8, weight_decay=0.1, copies=0, end=0.4),
        "shorter": Way(epochs=16, weight_decay=0.1, copies=3, end=0.4),
    },
}
"""What the first seed is trained by, too; see `target`."""

Steps = tuple[Iterator[float], int]
"""The losses of a training, which takes a step for each that is asked for, and their number."""


def target(name: str, seed: int, data: str, dataset: Dataset) -> dict[str, Any]:
    """Return rows for the shipped network, "whole", and for trainings that start from it.

    "pruned" loses weights in the first steps, and learns from the softened outputs of the course's
    teacher as well as from the labels. "by itself": the whole network is the teacher; "by labels":
    there is no teacher. "longer" learns from the labels, and keeps all weights; so does "longer,
    told", with the teacher. "plain" and "shorter" are variants of "pruned". On MNIST the whole
    network is trained here, and teaches.

    Args:
        name: of the network.
        seed: of the order, and of initial weights.
        data: "FashionMNIST" or "MNIST".
        dataset: the same.
    """
    way = PRUNED[name]
    if data == "MNIST":
        recipe = way.recipe(name, seed)
        network = new_student(recipe)
        rows = [{"kind": "whole"} | best_of(network, by_labels(network, dataset, recipe), dataset)]
    else:
        network = load_checkpoint(name).to(memory_format=torch.channels_last)
        row = accuracies(network, dataset) | {"density": density(network), "kept": kept(network)}
        rows = [{"kind": "whole"} | row]
    others = COMPARED[name] if (seed, data) == (0, "FashionMNIST") else {}
    for kind, one_way in {"pruned": way, **others}.items():
        one = copy.deepcopy(network)
        recipe = one_way.recipe(name, seed + 1000)  # another order of the images
        growth = None if "longer" in kind else Growth(TARGETS[name], begin=0, end=one_way.end)
        if kind in ("by labels", "longer"):
            steps = by_labels(one, dataset, recipe, growth)
        else:
            own = kind == "by itself" or data == "MNIST"  # which has no teacher
            seeds = (None, *range(one_way.copies))
            words = said(network if own else "teacher", dataset.train, seeds)
            steps = told(one, words, recipe, growth)
        rows.append({"kind": kind} | best_of(one, steps, dataset, growth))
    return {"rows": rows}


@cache
def said(
    teacher: Network | str, examples: Examples, seeds: tuple[int | None, ...]
) -> tuple[View, ...]:
    """Return views of the images, one for each seed, with the logits of a teacher.

    Args:
        teacher: a network, or the name of a shipped one.
        examples: to look at.
        seeds: of the augmentation; None for the images as they are.
    """
    if isinstance(teacher, str):
        teacher = load_checkpoint(teacher).to(memory_format=torch.channels_last)
    return tuple(view(teacher, examples, seed=seed) for seed in seeds)


def by_labels(
    network: Network, dataset: Dataset, recipe: Recipe, growth: Growth | None = None
) -> Steps:
    """Return steps with the labels alone, and their number."""
    n_steps = recipe.epochs * len(batches(dataset.train, recipe.batch_size))
    return pruned_steps(network, dataset.train, recipe, growth=growth), n_steps


def told(
    network: Network, words: Sequence[View], recipe: Recipe, growth: Growth | None = None
) -> Steps:
    """Return steps with the labels and a teacher's outputs, and their number."""
    n_steps = recipe.epochs * -(-len(words[0].labels) // recipe.batch_size)

    def objective(logits: Tensor, to: Targets) -> Tensor:
        return distillation_objective(
            logits, to.logits, to.labels, temperature=TEMPERATURE, alpha=ALPHA
        )

    steps = student_steps(network, words, objective, recipe)
    return masked_steps(network, steps, n_steps, growth=growth), n_steps


def best_of(
    network: Network, training: Steps, dataset: Dataset, growth: Growth | None = None
) -> dict[str, Any]:
    """Train in place, take the epoch of the best validation accuracy, and return its results.

    A pruned network may choose among the epochs at full sparsity alone, a whole one among all.
    """
    steps, n_steps = training
    per_epoch = len(batches(dataset.train, Recipe.batch_size))
    best, epoch, state = -1.0, 0, network.state_dict()
    for step, _ in enumerate(steps, start=1):
        if step % per_epoch or (growth and growth.at(step, n_steps) < growth.final):
            continue
        right = accuracy(network, dataset.validation)
        if right > best:
            best, epoch, state = right, step // per_epoch, copy.deepcopy(network.state_dict())
    network.load_state_dict(state)
    return {
        "epoch": epoch,
        "validation": best,
        "test": accuracy(network, dataset.test),
        "density": density(network),
        "kept": kept(network),
    }
