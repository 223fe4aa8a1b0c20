"""``python -m experiments.relations``: compare the methods of chapter 10 on one budget.

The record, ``data/results/relations.json``, is written after each run. A command that is
interrupted and started again skips the runs that are in it already.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.records import make_missing, open_record, run_recorder
from reference_impl.compress import outputs_at
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import attention_map, unit
from reference_impl.files import ROOT
from reference_impl.models import Network
from reference_impl.training import (
    METHODS,
    Recipe,
    View,
    accuracy,
    load_checkpoint,
    new_student,
    predict,
    student_steps,
    view,
    view_with_features,
)
from reference_impl.training.guided import MAPS, MEANS

RESULT = ROOT / "data" / "results" / "relations.json"
COMMAND = "python -m experiments.relations"

N_IMAGES = 10_000
ALONE, BORN_AGAIN = "alone", "born again"
SEEDS = (0, 1, 2, 3, 4)
OTHER_SEED = 100
"""Seed of the runs that choose a weight, and of the twin that teaches the born-again student."""

WEIGHTS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "soft targets": (1, 3, 9, 27),
        "decoupled": (0.3, 1, 3, 9),
        "correlations": (1, 3, 9, 27, 81, 243),
        "hint": (0.1, 1, 10),
        "attention": (0.1, 1, 10, 100),
        "similarities": (10, 100, 1000),
        "distances, angles": (1, 10, 100),
        "contrast": (0.03, 0.1, 0.3),
    }
)
"""What is tried on the validation images, in runs of a third of the epochs."""


N_ATTENDED, N_SIMILAR = 6, 60


@dataclass(frozen=True)
class Run:
    """One training of a student, on CE + w · loss.

    Args:
        purpose: "choice" of a weight, or "comparison".
        method: of `reference_impl.training.guided.METHODS`, or `ALONE`, or `BORN_AGAIN`.
        weight: w.
        seed: of the initial weights, the adapters and the order.
        epochs: passes over the images.
    """

    purpose: str
    method: str
    weight: float
    seed: int
    epochs: int = 30


PICTURED: Mapping[str, Run] = MappingProxyType(
    {
        name: Run("choice", name, max(WEIGHTS.get(name, (0,))), OTHER_SEED, epochs=10)
        for name in (ALONE, "attention", "similarities")
    }
)
"""What students attend to, and what is similar to them, with the largest of the weights."""


def planned(done: Sequence[Mapping[str, Any]]) -> Iterator[Run]:
    """Yield the runs in the order in which they are made; the choice of weights comes first.

    Args:
        done: the runs of the record, which grows meanwhile.
    """
    for method, weights in WEIGHTS.items():
        for weight in weights:
            yield Run("choice", method, weight, OTHER_SEED, epochs=10)
    chosen = {method: chosen_weight(done, method) for method in WEIGHTS}
    for seed in SEEDS:
        yield Run("comparison", ALONE, 0, seed)
        for method, weight in chosen.items():
            yield Run("comparison", method, weight, seed)
        yield Run("comparison", BORN_AGAIN, chosen["soft targets"], seed)


def chosen_weight(done: Sequence[Mapping[str, Any]], method: str) -> float:
    """Return the weight of the best validation accuracy; of equals the smallest."""
    runs = [run for run in done if (run["purpose"], run["method"]) == ("choice", method)]
    best: float = max(runs, key=lambda run: (run["validation"], -run["weight"]))["weight"]
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_recorder(COMMAND, __doc__, RESULT, record, arguments)


def record(path: Path, dataset: Dataset) -> None:
    """Make the runs that the record does not hold yet, and write it after each.

    Raises:
        OSError: if the record cannot be written.
    """
    found, write = open_record(path, COMMAND)
    runs = planned(found["runs"])
    make_missing(found, runs, lambda run: measured(run, dataset), write)
    for name, run in PICTURED.items():
        if name not in found.setdefault("pictures", {}):
            student, _ = trained(run, dataset.train)
            found["pictures"][name] = {
                "weight": run.weight,
                "test": accuracy(student, dataset.test),
                **pictures(student, dataset.test),
            }
            write()


def pictures(network: Network, test: Examples) -> dict[str, Any]:
    """Return attention maps, one a class, and the first images' similarities, sorted by class."""
    labels = test.labels
    firsts = [int((labels == k).nonzero()[0]) for k in labels.unique()[:N_ATTENDED]]
    order = labels[:N_SIMILAR].argsort(stable=True).tolist()
    found = outputs_at(network.chain(), [MAPS], test.images[: max(N_SIMILAR, *firsts) + 1])[MAPS]
    maps = attention_map(found[firsts])
    rows = found[order].flatten(1)
    return {
        "attended": firsts,
        "attention": [[round(value, 4) for value in row] for row in maps.tolist()],
        "ordered": order,
        "similarities": [[round(v, 4) for v in row] for row in unit(rows @ rows.T).tolist()],
    }


def measured(run: Run, dataset: Dataset) -> dict[str, float]:
    """Return the results of the student: accuracies and agreement with the teacher, in percent."""
    began = time.perf_counter()
    student, losses = trained(run, dataset.train)
    logits = predict(student, dataset.test.images)
    teacher = _teacher_logits(dataset.test)
    result = {
        "loss": sum(losses[-100:]) / len(losses[-100:]),
        "validation": accuracy(student, dataset.validation),
        "test": accuracy(student, dataset.test),
        "nll": F.cross_entropy(logits, dataset.test.labels).item(),
        "agreement": 100 * (logits.argmax(1) == teacher.argmax(1)).float().mean().item(),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(run, result["validation"], result["test"], flush=True)
    return result


def trained(run: Run, train: Examples) -> tuple[Network, list[float]]:
    """Return the student and the loss of each step."""
    recipe = Recipe("student", epochs=run.epochs, learning_rate=1e-2, seed=run.seed)
    student = new_student(recipe)
    method = METHODS.get(run.method, METHODS["soft targets"])
    guided = method.guide(student, seed=run.seed)
    whole = _twin_view(train) if run.method == BORN_AGAIN else _teacher_view(train)
    views = [replace(whole, features={place: whole.features[place] for place in method.places})]
    n_steps = run.epochs * -(-len(views[0].labels) // recipe.batch_size)
    if run.method == ALONE:
        steps = student_steps(student, views, lambda z, to: F.cross_entropy(z, to.labels), recipe)
    else:
        steps = student_steps(guided, views, method.objective(guided, run.weight), recipe)
    progress = tqdm(steps, total=n_steps, desc=str(run), unit="step", disable=None, leave=False)
    losses = list(progress)
    return student.eval(), losses


@cache
def _teacher_view(train: Examples) -> View:
    return view_with_features(_teacher(), train[:N_IMAGES], (MAPS, MEANS))


@cache
def _twin_view(train: Examples) -> View:
    """Return the logits of a student trained alone, on the same images and budget."""
    twin, _ = trained(Run("twin", ALONE, 0, OTHER_SEED), train)
    return view(twin, train[:N_IMAGES])


@cache
def _teacher_logits(examples: Examples) -> Tensor:
    return predict(_teacher(), examples.images)


def _teacher() -> Network:
    return load_checkpoint("teacher").to(memory_format=torch.channels_last)


if __name__ == "__main__":
    sys.exit(main())
