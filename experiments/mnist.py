"""Chapter 11: Hinton's omitted digit, on MNIST's four files in data/MNIST (ten minutes).

A teacher is trained on all digits, students on the images of all digits but one: with their
labels, and with the teacher's soft targets at several temperatures. MNIST is not shipped; without
it nothing is measured.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from experiments import workers
from experiments.measures import logits_of, percent_right, recovered, told
from reference_impl import training
from reference_impl.data import Dataset, load_dataset
from reference_impl.models import Network
from reference_impl.training import Recipe, View

TEACHER = Recipe("teacher", epochs=3, learning_rate=2e-3)
STUDENT = Recipe("student", epochs=8, learning_rate=1e-2)
TEMPERATURES = (1.0, 2.0, 4.0, 20.0)


@dataclass(frozen=True)
class Run:
    """A teacher and its students, which are the whole record; they do not see a digit."""

    place: ClassVar = ()
    omitted: int = 3
    seed: int = 0

    def measured(self, _: Dataset) -> dict[str, Any]:
        """Return the teacher's test accuracy and a row for each student, recalls in percent."""
        dataset, digit = load_dataset(workers.MNIST), self.omitted
        train, test = dataset.train, dataset.test
        recipe = replace(TEACHER, seed=self.seed)
        list(training.example_steps(teacher := training.new_student(recipe), train, recipe))
        taught = training.view(teacher, train)
        keep = train.labels != digit
        others = View(taught.images[keep], taught.labels[keep], taught.logits[keep])
        rows = []
        for temperature in (None, *TEMPERATURES):
            student = trained(replace(STUDENT, seed=self.seed), others, temperature)
            logits = logits_of(student, dataset)
            right = percent_right(logits["test"], test.labels)
            row = {"temperature": temperature, "test": right, **recovered(digit, logits, dataset)}
            rows.append(row)
        right = percent_right(training.predict(teacher, test.images), test.labels)
        mass = taught.logits[keep].double().softmax(dim=1)[:, digit].mean().item()
        return {"omitted": digit, "teacher": right, "teacher_mass": mass, "rows": rows}


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield the one run, if MNIST is here."""
    if workers.MNIST.is_dir():
        yield Run()


def trained(recipe: Recipe, images: View, temperature: float | None) -> Network:
    """Return a network that learns from the soft targets of a temperature, or from the labels."""
    network = training.new_student(recipe)
    objective = told(temperature or 1.0, alpha=float(temperature is not None))
    list(training.student_steps(network, [images], objective, recipe))
    return network
