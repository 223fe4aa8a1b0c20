"""Chapter 09: students alone and distilled (two hours)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.measures import (
    bias_curve,
    calibration,
    logits_of,
    mean_of_last,
    percent_right,
    recovered,
)
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import distillation_objective
from reference_impl.models import Network
from reference_impl.training import (
    Recipe,
    Targets,
    View,
    load_checkpoint,
    new_student,
    student_steps,
    view,
)

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
CURVES = ("labels", "teacher")


@dataclass(frozen=True)
class Curve:
    """A student that never saw the first class: its right answers, counted for many biases."""

    learned_from: str

    @property
    def place(self) -> tuple[str, str]:
        """Return where it stands in the record."""
        return "curves", self.learned_from

    @property
    def student(self) -> Run:
        """Return the run whose student it is."""
        run = replace(OMITTED, omitted=0)
        return run if self.learned_from == "teacher" else run.alone()


def planned(_: Sequence[Any]) -> Iterator[Run | Curve]:
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
    yield from map(Curve, CURVES)


def paired(run: Run, seeds: Sequence[int]) -> Iterator[Run]:
    """Yield the run without and with its teacher, for each seed."""
    for seed in seeds:
        yield replace(run, seed=seed).alone()
        yield replace(run, seed=seed)


def measured(run: Run | Curve, dataset: Dataset) -> dict[str, Any]:
    """Return the results of a student: accuracies in percent, and its calibration."""
    student, losses = taught(run if isinstance(run, Run) else run.student, dataset)
    logits = logits_of(student, dataset)
    if isinstance(run, Curve):
        curve = bias_curve(0, logits["validation"], dataset.validation.labels)
        return asdict(run.student) | curve
    result = {
        "loss": mean_of_last(losses),
        "validation": percent_right(logits["validation"], dataset.validation.labels),
        "test": percent_right(logits["test"], dataset.test.labels),
        **calibration(logits["test"], dataset.test.labels),
    }
    return result if run.omitted is None else result | recovered(run.omitted, logits, dataset)


def taught(run: Run, dataset: Dataset) -> tuple[Network, list[float]]:
    """Return the student and the loss of each step."""
    recipe = Recipe(run.student, epochs=run.epochs, learning_rate=1e-2, seed=run.seed)
    student = new_student(recipe)
    return student, list(student_steps(student, _views(run, dataset), _objective(run), recipe))


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
    found = []
    for one in _all_views(run.teacher or "teacher", dataset.train, augmented=run.augment):
        images, labels, logits = (x[: run.n_images] for x in (one.images, one.labels, one.logits))
        seen = slice(None) if run.omitted is None else labels != run.omitted
        found.append(View(images[seen], labels[seen], logits[seen]))
    return found


@cache
def _all_views(teacher: str, train: Examples, *, augmented: bool) -> list[View]:
    model = load_checkpoint(teacher).to(memory_format=torch.channels_last)
    if not augmented:
        return [view(model, train)]
    few = train.subset(min(FEW, len(train)))
    return [view(model, few, seed=100 + number) for number in range(N_VIEWS)]
