"""Chapter 19: networks trained towards files of so many bytes (four hours; five more with MNIST).

A teacher answers for changed copies of the training images. Students learn from its answers and
their labels, with the rate of their integers in the loss; the result is the file, whole, and what
the network that was read from it gets wrong.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments import workers
from experiments.measures import shipped, told
from reference_impl import compress, training
from reference_impl.data import Dataset, Examples, batches, load_dataset
from reference_impl.models import Kilobyte, LeNet5, LeNet300, Network
from reference_impl.training import CodedRecipe, Recipe, View, accuracy, coded_steps
from reference_impl.training.augmentation import epoch_seeds

N_VIEWS = 16
#: of the teacher of MNIST's digits; Fashion-MNIST's is the course's
TEACHER = Recipe("teacher", epochs=8, learning_rate=3e-3, weight_decay=0.02)
#: network → widths
NETWORKS: dict[str, type[Network]] = {"lenet300": LeNet300, "lenet5": LeNet5, "kilobyte": Kilobyte}


@dataclass(frozen=True)
class Run:
    """One training."""

    data: str  #: "MNIST" or "Fashion-MNIST"
    network: str
    widths: tuple[int, ...]
    bits: int  #: what the rate is led to; in large layers it falls below
    epochs: int
    learns: str  #: from "labels", from "answers" of the teacher, or from those for "views"
    seed: int

    def measured(self, fashion: Dataset) -> dict[str, Any]:
        """Return the file, its bytes by content, and the errors in percent."""
        dataset = load_dataset(workers.MNIST) if self.data == "MNIST" else fashion
        views = answered(self.data, dataset.train)
        if self.learns != "views":
            views = views[:1]
        torch.manual_seed(self.seed)
        kind = NETWORKS[self.network]
        labels = kind.width_names.values()
        start = kind.from_widths(dict(zip(labels, self.widths, strict=True)))
        network = compress.coded(start)
        network.compile()
        recipe = CodedRecipe(epochs=self.epochs, bits=self.bits, seed=self.seed)
        loss = told(temperature=3.0, alpha=0.0 if self.learns == "labels" else 0.7)
        list(coded_steps(network, views, loss, recipe))
        file = compress.write_arithmetic(compress.plain(network))
        read = compress.read_network(file.data)
        return {
            "bytes": len(file.data),
            "items": {what: round(bits / 8, 1) for what, bits in file.items.items()},
            **{f"{part}_error": 100 - accuracy(read, getattr(dataset, part)) for part in PARTS},
            "file": b64encode(file.data).decode(),
        }


PARTS = ("validation", "test")
SEEDS = (0, 1, 2)
How = tuple[str, tuple[int, ...], int, int, str]
#: trained once for each seed
SEEDED: dict[str, tuple[How, ...]] = {
    "Fashion-MNIST": (
        ("kilobyte", (6, 8, 10, 10), 3800, 120, "views"),
        ("kilobyte", (8, 12, 12, 12), 7600, 120, "views"),
    ),
    "MNIST": (
        ("kilobyte", (8, 12, 12, 12), 7600, 120, "views"),
        ("lenet300", (300, 100), 39_000, 40, "views"),
        ("lenet300", (300, 100), 60_000, 40, "views"),
        ("lenet300", (300, 100), 39_000, 40, "answers"),
        ("lenet300", (300, 100), 39_000, 40, "labels"),
        ("lenet5", (9, 18, 32), 19_000, 60, "views"),
    ),
}
#: trained from the first seed only
ONCE: dict[str, tuple[How, ...]] = {
    "Fashion-MNIST": (
        ("kilobyte", (12, 20, 20, 20), 15_500, 100, "views"),
        ("kilobyte", (16, 24, 32, 32), 31_000, 80, "views"),
        ("kilobyte", (16, 32, 48, 64), 62_000, 60, "views"),
        ("kilobyte", (24, 48, 64, 96), 155_000, 40, "views"),
    ),
    "MNIST": (
        ("lenet5", (20, 50, 500), 17_500, 50, "views"),
        ("lenet5", (10, 16, 12), 9300, 200, "views"),
        ("lenet5", (8, 14, 16), 9300, 100, "views"),
        ("lenet5", (6, 10, 20), 8500, 80, "views"),
        ("kilobyte", (8, 12, 12, 12), 4300, 120, "views"),
        ("kilobyte", (6, 8, 10, 10), 4200, 240, "views"),
        ("kilobyte", (6, 8, 10, 10), 3700, 160, "views"),
    ),
}


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield the runs, those of MNIST if it is there."""
    for data in ("Fashion-MNIST", "MNIST"):
        if data == "Fashion-MNIST" or workers.MNIST.is_dir():
            yield from (Run(data, *how, seed) for seed in SEEDS for how in SEEDED[data])
            yield from (Run(data, *how, SEEDS[0]) for how in ONCE[data])


def distorted(examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of the teacher, each image turned, stretched and shifted anew."""
    for epoch in range(TEACHER.epochs):
        order, chance = epoch_seeds(TEACHER.seed, epoch)
        generator = torch.Generator().manual_seed(chance)
        for images, labels in batches(examples, TEACHER.batch_size, seed=order):
            yield training.distort(images, generator), labels


@cache
def answered(data: str, examples: Examples) -> list[View]:
    """Return the views of a data set: its images, and changed copies, with a teacher's logits."""
    if data == "MNIST":
        teacher, n_steps = training.new_student(TEACHER), TEACHER.n_steps(len(examples))
        pairs = distorted(examples)
        list(training.recipe_steps(teacher, pairs, F.cross_entropy, TEACHER, n_steps))
        change = training.distort
    else:
        teacher, change = shipped("teacher"), training.augment
    seeds = (None, *range(1, N_VIEWS))
    return [training.view(teacher, examples, seed=seed, change=change) for seed in seeds]
