"""Chapter 11: students alone and distilled (three hours)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from statistics import mean
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.measures import answered, logits_of, mean_of_last, percent_right, recovered, told
from experiments.retrain import RECIPES
from reference_impl import training
from reference_impl.data import Dataset, Examples
from reference_impl.measuring import reliability
from reference_impl.models import Network
from reference_impl.training import View

FEW, ALL = 10_000, 55_000
N_VIEWS = 12
OWN = "of the same images"  #: the teacher that has seen the student's `FEW` images and no others


@dataclass(frozen=True)
class Run:
    """One training of a student."""

    purpose: str  #: which table of the chapter it belongs to
    student: str = "student"
    teacher: str | None = "teacher"  #: name of a checkpoint, or `OWN`; None for a student alone
    temperature: float = 1.0  #: T; 1 for a student alone
    alpha: float = 0.9  #: weight of the soft targets; 0 for a student alone
    n_images: int = FEW
    epochs: int = 30
    augment: bool = False  #: whether the epochs are over `N_VIEWS` augmented views in turn
    omitted: int | None = None  #: a class none of whose images it sees
    seed: int = 0  #: of the initial weights and the order

    def alone(self) -> "Run":
        """Return the same run without a teacher."""
        return replace(self, teacher=None, temperature=1.0, alpha=0.0)

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the results of a student: accuracies in percent, and its calibration."""
        student, loss = taught(self, dataset)
        logits = logits_of(student, dataset)
        result = {
            "loss": loss,
            "validation": percent_right(logits["validation"], dataset.validation.labels),
            "test": percent_right(logits["test"], dataset.test.labels),
            **calibration(logits["test"], dataset.test.labels),
        }
        if self.omitted is None:
            return result
        return result | recovered(self.omitted, logits, dataset)


SEEDS = (0, 1, 2, 3, 4)
TEMPERATURES = (1.0, 2.0, 4.0, 20.0)
ALPHAS = (0.5, 0.9, 1.0)
TEACHERS = ("student", "lenet300", "lenet5", "separable", "teacher")
OMITTED = Run("omitted", n_images=20_000, epochs=12, alpha=1.0)
#: T → α, which the sweep adds to `TEMPERATURES` × `ALPHAS`: the gradient of the soft part grows
#: with T, so that a high T needs a smaller α, and a T below 1 an α near 1
MORE: Mapping[float, Sequence[float]] = {
    0.25: (0.9, 1.0),
    0.5: (0.9, 1.0),
    1.0: (0.3,),
    2.0: (0.3,),
    4.0: (0.1, 0.3),
    20.0: (0.03, 0.1),
}
BIASES = [b / 4 for b in range(-16, 49)]  #: what a curve adds to the logit of the omitted class


@dataclass(frozen=True)
class Curve:
    """A student that never saw the first class: its right answers, counted for many biases."""

    place: ClassVar = ("curves", "{learned_from}")
    learned_from: str

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the run whose student it is, and the accuracies in percent, bias by bias."""
        run = replace(OMITTED, omitted=0)
        run = run if self.learned_from == "teacher" else run.alone()
        logits = logits_of(taught(run, dataset)[0], dataset)["validation"]
        labels, one = dataset.validation.labels, F.one_hot(torch.tensor(0), 10)
        moved = [logits + bias * one for bias in BIASES]
        right = [round(percent_right(z, labels), 2) for z in moved]
        own = [round(percent_right(z[labels == 0], labels[labels == 0]), 2) for z in moved]
        return asdict(run) | {"bias": BIASES, "all_right": right, "own_right": own}


@dataclass(frozen=True)
class Teacher:
    """The teacher `OWN`, trained by the recipe of the shipped one, for as many epochs."""

    place: ClassVar = ("own_teacher",)
    seed: int = 0

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return its recipe, its accuracies in percent, and its losses in nats."""
        network, best_epoch = own_teacher(dataset.train, dataset.validation)
        found = {"recipe": asdict(RECIPES["teacher"]), "n_images": FEW, "best_epoch": best_epoch}
        few = replace(dataset, train=dataset.train[:FEW])
        for part in ("train", "validation", "test"):
            examples = getattr(few, part)
            logits = training.predict(network, examples.images)
            found[part] = percent_right(logits, examples.labels)
            found[f"{part}_nll"] = F.cross_entropy(logits, examples.labels).item()
        return found


def planned(rows: Sequence[Mapping[str, Any]]) -> Iterator[Run | Curve | Teacher]:
    """Yield the runs in the order in which they are made; the leading ones once α is chosen.

    All others have the temperature and α that the sweep chose on the validation set, except that
    α is 1 for an omitted class, which only the soft targets describe.
    """
    for seed in SEEDS[:2]:
        sweep = Run("sweep", seed=seed)
        yield sweep.alone()
        for temperature, alpha in product(TEMPERATURES, ALPHAS):
            yield replace(sweep, temperature=temperature, alpha=alpha)
    yield from paired(Run("main", "student"), SEEDS)
    yield from paired(Run("main", "separable"), SEEDS[:3])
    yield from paired(Run("augmented", augment=True), SEEDS[:3])
    yield from paired(Run("short", epochs=12), SEEDS)
    for teacher, seed in product(TEACHERS, SEEDS):
        yield Run("teachers", teacher=teacher, seed=seed)
    for omitted in range(10):
        yield from paired(replace(OMITTED, omitted=omitted), SEEDS[:3])
        for seed in SEEDS[:3]:
            yield replace(OMITTED, omitted=omitted, temperature=4.0, seed=seed)
    yield from paired(Run("main", "student", n_images=ALL, epochs=24), SEEDS)
    yield from paired(Run("main", "separable", n_images=ALL, epochs=12), SEEDS[:3])
    yield from map(Curve, ("labels", "teacher"))
    yield from added(rows)


def added(rows: Sequence[Mapping[str, Any]]) -> Iterator[Run | Teacher]:
    """Yield a wider sweep, a teacher of the same images, and each temperature with its own α."""
    for (temperature, alphas), seed in product(MORE.items(), SEEDS[:2]):
        for alpha in alphas:
            yield Run("sweep", temperature=temperature, alpha=alpha, seed=seed)
    yield Teacher()
    for seed in SEEDS:
        yield Run("own images", teacher=OWN, seed=seed)
    for seed, temperature in product(SEEDS[2:], MORE):
        best = chosen_alpha(rows, temperature)
        if best is not None and (temperature, best) != (1.0, 0.9):  # as "main", made above
            yield Run("leading", temperature=temperature, alpha=best, seed=seed)


def chosen_alpha(rows: Sequence[Mapping[str, Any]], temperature: float) -> float | None:
    """Return the sweep's α of the best mean validation accuracy; of equals the smallest.

    None as long as some of its runs have not been made.
    """
    wanted = {*MORE[temperature], *(ALPHAS if temperature in TEMPERATURES else ())}
    found: dict[float, list[float]] = {alpha: [] for alpha in sorted(wanted)}
    for row in rows:
        if (row["purpose"], row["temperature"]) == ("sweep", temperature) and row["teacher"]:
            found[row["alpha"]].append(row["validation"])
    if any(len(values) < len(SEEDS[:2]) for values in found.values()):
        return None
    return max(found, key=lambda alpha: mean(found[alpha]))


def paired(run: Run, seeds: Sequence[int]) -> Iterator[Run]:
    """Yield the run without and with its teacher, for each seed."""
    for seed in seeds:
        yield replace(run, seed=seed).alone()
        yield replace(run, seed=seed)


def taught(run: Run, dataset: Dataset) -> tuple[Network, float]:
    """Return the student and its mean loss at the end."""
    views = []
    for seed in range(100, 100 + N_VIEWS) if run.augment else [None]:
        if run.teacher == OWN:
            network, _ = own_teacher(dataset.train, dataset.validation)
            one = training.view(network, dataset.train[:FEW], seed=seed)
        else:
            n = FEW if run.augment else None
            one = answered(run.teacher or "teacher", dataset.train, n, seed)
        images, labels, logits = (x[: run.n_images] for x in (one.images, one.labels, one.logits))
        seen = slice(None) if run.omitted is None else labels != run.omitted
        views.append(View(images[seen], labels[seen], logits[seen]))
    recipe = training.Recipe(run.student, epochs=run.epochs, learning_rate=1e-2, seed=run.seed)
    student = training.new_student(recipe)
    steps = training.student_steps(student, views, told(run.temperature, run.alpha), recipe)
    return student, mean_of_last(steps)


@cache
def own_teacher(train: Examples, validation: Examples) -> tuple[Network, int]:
    """Return the teacher `OWN`, and its best epoch on the validation images."""
    few = Dataset(train[:FEW], validation, validation)  # no test image is needed
    *_, last = training.fit(RECIPES["teacher"], few)
    return last.best.to(memory_format=torch.channels_last), last.best_epoch


def calibration(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the mean negative log-likelihood in nats, the ECE and its bins."""
    bins = reliability(logits, labels)
    found = {"nll": F.cross_entropy(logits, labels).item(), "ece": bins.expected_error}
    return found | {
        name: [round(value, 4) for value in x.nan_to_num().tolist()]
        for name, x in vars(bins).items()
    }
