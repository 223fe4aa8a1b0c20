"""Chapter 12: the methods of distillation compared on one budget (an hour).

A weight is chosen for each method on validation images, from five weights for each method and with
two seeds. Then students are trained with it, the same five initial weights and orders of images
for all methods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.measures import accuracies, answered, mean_of_last, shipped
from reference_impl import training
from reference_impl.compress import outputs_at
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import attention_map, unit
from reference_impl.models import Network
from reference_impl.training.guided import MAPS, MEANS, METHODS, Guided
from reference_impl.training.loop import Objective

N_IMAGES = 10_000
ALONE = "alone"
#: the teacher is a twin, trained alone on the same images; or the course's student, trained on all
BORN_AGAIN, BORN_AGAIN_OF_ALL = "born again", "born again, all images"
#: soft targets with `SOFT_WEIGHT`, the chosen one, and a weight of attention to be chosen
BOTH, SOFT_WEIGHT = "soft targets, attention", 27
SEEDS = (0, 1, 2, 3, 4)
#: seed of the twin that teaches the born-again student, and of the students in the pictures
OTHER_SEED = 100
#: seeds of the runs that choose a weight
CHOICE_SEEDS = (OTHER_SEED, 101)
#: what is tried on the validation images, in runs of a third of the epochs: five weights for each
#: method, neighbours a factor of about 3 apart
WEIGHTS: Mapping[str, tuple[float, ...]] = {
    "soft targets": (3, 9, 27, 81, 243),
    "decoupled": (0.1, 0.3, 1, 3, 9),
    "correlations": (9, 27, 81, 243, 729),
    "hint": (0.01, 0.03, 0.1, 0.3, 1),
    "attention": (0.03, 0.1, 0.3, 1, 3),
    "similarities": (10, 30, 100, 300, 1000),
    "distances, angles": (0.1, 0.3, 1, 3, 10),
    "contrast": (0.003, 0.01, 0.03, 0.1, 0.3),
    BOTH: (1, 3, 10, 30, 100),
}
#: weights outside of these grids: one run each, which chooses nothing
WIDER: Mapping[str, tuple[float, ...]] = {
    "soft targets": (1,),
    "correlations": (1, 3),
    "hint": (10,),
    "attention": (10, 100),
    "distances, angles": (100,),
}
TWIN_WEIGHT = 9  #: that of chapter 11, where α = 0.9
PICTURED: Mapping[str, float] = {ALONE: 0, "attention": 100, "similarities": 1000}
N_ATTENDED, N_SIMILAR = 6, 60
N_SEARCHED, N_NEAREST = 2000, 10


@dataclass(frozen=True)
class Run:
    """One training of a student, on CE + λ · loss."""

    purpose: str  #: "choice" of a weight, "comparison", or "wider"
    method: str  #: of `reference_impl.training.guided.METHODS`, or one of those named above
    weight: float  #: λ
    seed: int  #: of the initial weights, the adapters and the order
    epochs: int = 30

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return accuracies and agreement with the teacher, in percent, and losses in nats."""
        test = dataset.test
        student, losses = trained(self, dataset.train)
        logits = training.predict(student, test.images)
        same = logits.argmax(1) == answered("teacher", test).logits.argmax(1)
        return {
            "loss": mean_of_last(losses),
            **accuracies(student, dataset),
            "nll": F.cross_entropy(logits, test.labels).item(),
            "agreement": 100 * same.float().mean().item(),
            **searched(student, test[:N_SEARCHED]),
        }


@dataclass(frozen=True)
class Picture:
    """What a student attends to, and what is similar to it, with a large weight."""

    place: ClassVar = ("pictures", "{method}")
    method: str

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the weight, the test accuracy in percent, and `pictures`."""
        weight = PICTURED[self.method]
        run = Run("choice", self.method, weight, OTHER_SEED, epochs=10)
        student, _ = trained(run, dataset.train)
        found = {"weight": weight, "test": training.accuracy(student, dataset.test)}
        return found | pictures(student, dataset.test)


def planned(rows: Sequence[Mapping[str, Any]]) -> Iterator[Run | Picture]:
    """Yield the choice of weights; once that is made, the comparison; and the pictures."""
    for seed in CHOICE_SEEDS:
        yield Run("choice", ALONE, 0, seed, epochs=10)
        for method, weights in WEIGHTS.items():
            yield from (Run("choice", method, weight, seed, epochs=10) for weight in weights)
    for method, weights in WIDER.items():
        yield from (Run("wider", method, weight, OTHER_SEED, epochs=10) for weight in weights)
    yield from map(Picture, PICTURED)
    chosen = {method: chosen_weight(rows, method) for method in WEIGHTS}
    if None in chosen.values():
        return
    for seed in SEEDS:
        yield Run("comparison", ALONE, 0, seed)
        for method, best in chosen.items():
            yield Run("comparison", method, best or 0, seed)
        for weight in sorted({TWIN_WEIGHT, chosen["soft targets"] or 0}):
            yield Run("comparison", BORN_AGAIN, weight, seed)
        yield Run("comparison", BORN_AGAIN_OF_ALL, TWIN_WEIGHT, seed)


def chosen_weight(rows: Sequence[Mapping[str, Any]], method: str) -> float | None:
    """Return the weight of the best mean validation accuracy; of equals the smallest.

    None as long as some of the weights have not been tried with each seed.
    """
    choices = [row for row in rows if (row["purpose"], row["method"]) == ("choice", method)]
    tried = {(row["weight"], row["seed"]): row["validation"] for row in choices}
    if not {(weight, seed) for weight in WEIGHTS[method] for seed in CHOICE_SEEDS} <= tried.keys():
        return None

    def validation(weight: float) -> float:
        return fmean(tried[weight, seed] for seed in CHOICE_SEEDS)

    return max(sorted(WEIGHTS[method]), key=validation)


def searched(network: Network, examples: Examples) -> dict[str, float]:
    """Return how well images are found by the distance of their features, in percent.

    ``neighbours``: the share of the teacher's ten nearest images that the network's ten nearest
    have. ``retrieved``: the share of the network's ten nearest that have the class of the image.
    """
    mine = _nearest(network, examples)
    theirs = _nearest(shipped("teacher"), examples)
    shared = (mine[:, :, None] == theirs[:, None]).any(2)
    right = examples.labels[mine] == examples.labels[:, None]
    found = {"neighbours": shared, "retrieved": right}
    return {name: 100 * x.double().mean().item() for name, x in found.items()}


def _nearest(network: Network, examples: Examples) -> Tensor:
    """Return the indices of the nearest other examples of each, one row an example."""
    features = outputs_at(network, [MEANS], examples.images)[MEANS].double()
    apart = torch.cdist(features, features).fill_diagonal_(torch.inf)
    return apart.topk(N_NEAREST, largest=False).indices


def pictures(network: Network, test: Examples) -> dict[str, Any]:
    """Return attention maps, one a class, and the first images' similarities, sorted by class."""
    labels = test.labels
    firsts = [int((labels == k).nonzero()[0]) for k in labels.unique()[:N_ATTENDED]]
    order = labels[:N_SIMILAR].argsort(stable=True).tolist()
    found = outputs_at(network, [MAPS], test.images[: max(N_SIMILAR, *firsts) + 1])[MAPS]
    rows = found[order].flatten(1)

    def rounded(x: Tensor) -> list[list[float]]:
        return [[round(value, 4) for value in row] for row in x.tolist()]

    return {
        "attended": firsts,
        "attention": rounded(attention_map(found[firsts])),
        "ordered": order,
        "similarities": rounded(unit(rows @ rows.T)),
    }


def trained(run: Run, train: Examples) -> tuple[Network, list[float]]:
    """Return the student and the loss of each step; with a weight of 0 it learns alone."""
    recipe = training.Recipe("student", epochs=run.epochs, learning_rate=1e-2, seed=run.seed)
    student = training.new_student(recipe)
    method = METHODS.get("attention" if run.method == BOTH else run.method, METHODS["soft targets"])
    guided = method.guide(student, seed=run.seed)
    whole = _view(train, run.method)
    views = [replace(whole, features={place: whole.features[place] for place in method.places})]
    objective = method.objective(guided, run.weight)
    if run.method == BOTH:
        objective = _with_soft_targets(objective, guided)
    return student, list(training.student_steps(guided, views, objective, recipe))


def _with_soft_targets(objective: Objective, guided: Guided) -> Objective:
    soft = METHODS["soft targets"].loss
    return lambda z, to: objective(z, to) + SOFT_WEIGHT * soft(z, to, guided.adapters)


def _view(train: Examples, method: str) -> training.View:
    """Return what the teacher of a method answers."""
    return _answers(train, method if method in (BORN_AGAIN, BORN_AGAIN_OF_ALL) else "teacher")


@cache
def _answers(train: Examples, of: str) -> training.View:
    """Return the view of a shipped network; or that of a student alone, on the same budget."""
    few = train[:N_IMAGES]
    if of == BORN_AGAIN:
        student, _ = trained(Run("twin", ALONE, 0, OTHER_SEED), train)
        return training.view(student, few)
    if of == BORN_AGAIN_OF_ALL:
        return training.view(shipped("student"), few)
    return training.view_with_features(shipped("teacher"), few, (MAPS, MEANS))
