"""``python -m experiments.mnist FOLDER``: Hinton's omitted class, on MNIST in FOLDER.

A teacher is trained on all digits, students on the images of all digits but one: with their
labels, and with the teacher's soft targets at several temperatures. The result is
``data/results/mnist.json``. MNIST is not shipped; without a folder nothing is measured.
"""

import argparse
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.student_measures import percent_right, recovered
from reference_impl.data import Dataset, load_dataset
from reference_impl.distillation import soft_target_loss
from reference_impl.files import ROOT, write_atomically
from reference_impl.models import Network
from reference_impl.training import (
    Recipe,
    Targets,
    View,
    new_student,
    predict,
    student_steps,
    view,
)
from reference_impl.training.loop import Objective

RESULT = ROOT / "data" / "results" / "mnist.json"
COMMAND = "python -m experiments.mnist"

TEACHER = Recipe("teacher", epochs=3, learning_rate=2e-3)
STUDENT = Recipe("student", epochs=8, learning_rate=1e-2)
TEMPERATURES = (1.0, 2.0, 4.0, 20.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="MNIST's four files")
    parser.add_argument("--digit", type=int, default=3, choices=range(10), help="to omit")
    parser.add_argument("--path", type=Path, default=RESULT, help="of the record")
    options = parser.parse_args(arguments)
    if options.folder is None:
        print("mnist: nothing measured, for MNIST's folder is not given", file=sys.stderr)
        return 0
    torch.set_num_threads(1)
    try:
        found = {"provenance": _provenance()} | omission(
            load_dataset(options.folder), options.digit
        )
        text = json.dumps(found, indent=2) + "\n"
        write_atomically(options.path, lambda part: part.write_text(text, encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"mnist: {error}", file=sys.stderr)
        return 1
    return 0


def omission(dataset: Dataset, digit: int) -> dict[str, Any]:
    """Return the teacher's test accuracy and a row for each student, recalls in percent."""
    train = dataset.train
    own = View(
        (train.images * 255).round().to(torch.uint8), train.labels, torch.zeros(len(train), 10)
    )
    teacher = _trained(TEACHER, own, _hard)
    taught = view(teacher, train)
    keep = train.labels != digit
    others = View(taught.images[keep], taught.labels[keep], taught.logits[keep])
    rows = []
    for temperature, objective in _objectives():
        student = _trained(STUDENT, others, objective)
        logits = {
            name: predict(student, examples.images)
            for name, examples in (("validation", dataset.validation), ("test", dataset.test))
        }
        row = {
            "temperature": temperature,
            "test": percent_right(logits["test"], dataset.test.labels),
            **recovered(digit, logits, dataset),
        }
        print(row, flush=True)
        rows.append(row)
    right = percent_right(predict(teacher, dataset.test.images), dataset.test.labels)
    mass = taught.logits[keep].double().softmax(dim=1)[:, digit].mean().item()
    return {"omitted": digit, "teacher": right, "teacher_mass": mass, "rows": rows}


def _objectives() -> Iterator[tuple[float | None, Objective]]:
    """Yield the labels, with no temperature, then the soft targets alone at each."""
    yield None, _hard
    for temperature in TEMPERATURES:

        def soft(student: Tensor, targets: Targets, temperature: float = temperature) -> Tensor:
            return soft_target_loss(student, targets.logits, temperature=temperature)

        yield temperature, soft


def _hard(student: Tensor, targets: Targets) -> Tensor:
    return F.cross_entropy(student, targets.labels)


def _trained(recipe: Recipe, images: View, objective: Objective) -> Network:
    network = new_student(recipe)
    n_steps = recipe.epochs * -(-len(images.labels) // recipe.batch_size)
    steps = student_steps(network, [images], objective, recipe)
    for _ in tqdm(steps, total=n_steps, desc=recipe.model, unit="step", disable=None, leave=False):
        pass
    return network


def _provenance() -> dict[str, Any]:
    return {
        "command": COMMAND,
        "data": "MNIST, in the folder that the command is given",
        "date": datetime.now(UTC).date().isoformat(),
        "seed": [TEACHER.seed, STUDENT.seed],
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


if __name__ == "__main__":
    sys.exit(main())
