"""``python -m experiments.distillation``: train chapter 09's students, record the results.

The record, ``data/results/distillation.json``, is written after each run. A command that is
interrupted and started again skips the runs that are in it already.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.records import make_missing, open_record, run_recorder
from experiments.student_measures import bias_curve, calibration, percent_right, recovered
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import distillation_objective
from reference_impl.files import ROOT
from reference_impl.models import Network
from reference_impl.training import (
    Recipe,
    Targets,
    View,
    load_checkpoint,
    new_student,
    predict,
    student_steps,
    view,
)

RESULT = ROOT / "data" / "results" / "distillation.json"
COMMAND = "python -m experiments.distillation"

FEW = 10_000
ALL = 55_000
N_VIEWS = 12


@dataclass(frozen=True)
class Run:
    """One training of a student.

    Args:
        purpose: which table of the chapter it belongs to.
        student: name of its network.
        teacher: name of a checkpoint; None for a student alone.
        temperature: T; 1 for a student alone.
        alpha: weight of the soft targets; 0 for a student alone.
        n_images: how many of the training images it sees.
        epochs: passes over them.
        augment: whether the passes are over `N_VIEWS` augmented views in turn.
        omitted: a class none of whose images it sees.
        seed: of the initial weights and the order.
    """

    purpose: str
    student: str = "student"
    teacher: str | None = "teacher"
    temperature: float = 1.0
    alpha: float = 0.9
    n_images: int = FEW
    epochs: int = 30
    augment: bool = False
    omitted: int | None = None
    seed: int = 0

    def alone(self) -> "Run":
        """Return the same run without a teacher."""
        return replace(self, teacher=None, temperature=1.0, alpha=0.0)


SEEDS = (0, 1, 2, 3, 4)
TEMPERATURES = (1.0, 2.0, 4.0, 20.0)
ALPHAS = (0.5, 0.9, 1.0)
TEACHERS = ("student", "lenet300", "lenet5", "separable", "teacher")
OMITTED = Run("omitted", n_images=20_000, epochs=12, alpha=1.0)


CURVES: Mapping[str, Run] = MappingProxyType(
    {
        "labels": replace(OMITTED, omitted=0).alone(),
        "teacher": replace(OMITTED, omitted=0),
    }
)
"""What is learned from → the student whose answers are counted for many biases."""


def planned() -> Iterator[Run]:
    """Yield the runs in the order in which they are made.

    All others have the temperature and α that the sweep chose on the validation set, except that
    α is 1 for an omitted class, which only the soft targets describe.
    """
    for seed in SEEDS[:2]:
        sweep = Run("sweep", seed=seed)
        yield sweep.alone()
        for temperature in TEMPERATURES:
            for alpha in ALPHAS:
                yield replace(sweep, temperature=temperature, alpha=alpha)
    yield from paired(Run("main", "student"), SEEDS)
    yield from paired(Run("main", "separable"), SEEDS[:3])
    yield from paired(Run("augmented", augment=True), SEEDS[:3])
    yield from paired(Run("short", epochs=12), SEEDS)
    for teacher in TEACHERS:
        for seed in SEEDS:
            yield Run("teachers", teacher=teacher, seed=seed)
    for omitted in range(10):
        yield from paired(replace(OMITTED, omitted=omitted), SEEDS[:3])
        for seed in SEEDS[:3]:
            yield replace(OMITTED, omitted=omitted, temperature=4.0, seed=seed)
    yield from paired(Run("main", "student", n_images=ALL, epochs=24), SEEDS)
    yield from paired(Run("main", "separable", n_images=ALL, epochs=12), SEEDS[:3])


def paired(run: Run, seeds: Sequence[int]) -> Iterator[Run]:
    """Yield the run without and with its teacher, for each seed."""
    for seed in seeds:
        yield replace(run, seed=seed).alone()
        yield replace(run, seed=seed)


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
    make_missing(
        found, planned() if runs is None else runs, lambda run: trained(run, dataset), write
    )
    for name, run in CURVES.items():
        if run.omitted is not None and name not in found.setdefault("curves", {}):
            student, _ = taught(run, dataset)
            logits = predict(student, dataset.validation.images)
            curve = bias_curve(run.omitted, logits, dataset.validation.labels)
            found["curves"][name] = asdict(run) | curve
            write()


def trained(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return the results of the student: accuracies in percent, and its calibration."""
    began = time.perf_counter()
    student, losses = taught(run, dataset)
    logits = {
        name: predict(student, examples.images)
        for name, examples in (("validation", dataset.validation), ("test", dataset.test))
    }
    result = {
        "loss": sum(losses[-100:]) / len(losses[-100:]),
        "validation": percent_right(logits["validation"], dataset.validation.labels),
        "test": percent_right(logits["test"], dataset.test.labels),
        **calibration(logits["test"], dataset.test.labels),
        "seconds": round(time.perf_counter() - began, 1),
    }
    if run.omitted is not None:
        result |= recovered(run.omitted, logits, dataset)
    print(run, result["validation"], result["test"], flush=True)
    return result


def taught(run: Run, dataset: Dataset) -> tuple[Network, list[float]]:
    """Return the student and the loss of each step."""
    recipe = Recipe(run.student, epochs=run.epochs, learning_rate=1e-2, seed=run.seed)
    student = new_student(recipe)
    views = _views(run, dataset)
    n_steps = run.epochs * -(-len(views[0].labels) // recipe.batch_size)
    steps = student_steps(student, views, _objective(run), recipe)
    return student, list(
        tqdm(steps, total=n_steps, desc=str(run), unit="step", disable=None, leave=False)
    )


def _objective(run: Run) -> Any:
    def objective(student: Tensor, targets: Targets) -> Tensor:
        if run.teacher is None:
            return F.cross_entropy(student, targets.labels)
        return distillation_objective(
            student,
            targets.logits,
            targets.labels,
            temperature=run.temperature,
            alpha=run.alpha,
        )

    return objective


def _views(run: Run, dataset: Dataset) -> list[View]:
    """Return the views of a run; all of a teacher's are made once."""
    views = _all_views(run.teacher or "teacher", dataset.train, augmented=run.augment)
    parts = [
        View(v.images[: run.n_images], v.labels[: run.n_images], v.logits[: run.n_images])
        for v in views
    ]
    if run.omitted is None:
        return parts
    return [
        View(v.images[keep], v.labels[keep], v.logits[keep])
        for v in parts
        for keep in [v.labels != run.omitted]
    ]


@cache
def _all_views(teacher: str, train: Examples, *, augmented: bool) -> list[View]:
    model = load_checkpoint(teacher).to(memory_format=torch.channels_last)
    if not augmented:
        return [view(model, train)]
    few = train.subset(min(FEW, len(train)))
    return [view(model, few, seed=100 + number) for number in range(N_VIEWS)]


if __name__ == "__main__":
    sys.exit(main())
