"""Chapter 12: the methods of distillation compared on one budget (an hour).

A weight is chosen for each method on validation images; then students are trained with it, the
same five initial weights and orders of images for all methods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from experiments.measures import accuracies, answered, mean_of_last, shipped
from reference_impl import training
from reference_impl.compress import outputs_at
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import attention_map, unit
from reference_impl.models import Network
from reference_impl.training.guided import MAPS, MEANS, METHODS

N_IMAGES = 10_000
ALONE, BORN_AGAIN = "alone", "born again"
SEEDS = (0, 1, 2, 3, 4)
#: seed of the runs that choose a weight, and of the twin that teaches the born-again student
OTHER_SEED = 100
#: what is tried on the validation images, in runs of a third of the epochs
WEIGHTS: Mapping[str, tuple[float, ...]] = {
    "soft targets": (1, 3, 9, 27),
    "decoupled": (0.3, 1, 3, 9),
    "correlations": (1, 3, 9, 27, 81, 243),
    "hint": (0.1, 1, 10),
    "attention": (0.1, 1, 10, 100),
    "similarities": (10, 100, 1000),
    "distances, angles": (1, 10, 100),
    "contrast": (0.03, 0.1, 0.3),
}
PICTURED = (ALONE, "attention", "similarities")
N_ATTENDED, N_SIMILAR = 6, 60


@dataclass(frozen=True)
class Run:
    """One training of a student, on CE + w · loss."""

    purpose: str  #: "choice" of a weight, or "comparison"
    method: str  #: of `reference_impl.training.guided.METHODS`, or `ALONE`, or `BORN_AGAIN`
    weight: float  #: w
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
        }


@dataclass(frozen=True)
class Picture:
    """What a student attends to, and what is similar to it, with the largest of the weights."""

    place: ClassVar = ("pictures", "{method}")
    method: str

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the weight, the test accuracy in percent, and `pictures`."""
        weight = max(WEIGHTS.get(self.method, (0,)))
        run = Run("choice", self.method, weight, OTHER_SEED, epochs=10)
        student, _ = trained(run, dataset.train)
        found = {"weight": weight, "test": training.accuracy(student, dataset.test)}
        return found | pictures(student, dataset.test)


def planned(rows: Sequence[Mapping[str, Any]]) -> Iterator[Run | Picture]:
    """Yield the choice of weights; once that is made, the comparison; and the pictures."""
    for method, weights in WEIGHTS.items():
        yield from (Run("choice", method, weight, OTHER_SEED, epochs=10) for weight in weights)
    yield from map(Picture, PICTURED)
    chosen = {method: chosen_weight(rows, method) for method in WEIGHTS}
    if None in chosen.values():
        return
    for seed in SEEDS:
        yield Run("comparison", ALONE, 0, seed)
        for method, best in chosen.items():
            yield Run("comparison", method, best or 0, seed)
        yield Run("comparison", BORN_AGAIN, chosen["soft targets"] or 0, seed)


def chosen_weight(rows: Sequence[Mapping[str, Any]], method: str) -> float | None:
    """Return the weight of the best validation accuracy; of equals the smallest.

    None as long as some of the weights have not been tried.
    """
    choices = (row for row in rows if (row["purpose"], row["method"]) == ("choice", method))
    tried = {row["weight"]: row["validation"] for row in choices}
    if not set(WEIGHTS[method]) <= tried.keys():
        return None
    return max(sorted(WEIGHTS[method]), key=lambda weight: tried[weight])


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
    method = METHODS.get(run.method, METHODS["soft targets"])
    guided = method.guide(student, seed=run.seed)
    whole = _view(train, twin=run.method == BORN_AGAIN)
    views = [replace(whole, features={place: whole.features[place] for place in method.places})]
    objective = method.objective(guided, run.weight)
    return student, list(training.student_steps(guided, views, objective, recipe))


@cache
def _view(train: Examples, *, twin: bool) -> training.View:
    """Return the teacher's view; or that of a student trained alone, on the same budget."""
    if twin:
        student, _ = trained(Run("twin", ALONE, 0, OTHER_SEED), train)
        return training.view(student, train[:N_IMAGES])
    return training.view_with_features(shipped("teacher"), train[:N_IMAGES], (MAPS, MEANS))
