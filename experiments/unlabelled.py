"""Chapter 18: what else 256 unlabelled images can do for a narrowed network (eight minutes).

The networks of the shipped recipe and the units of `experiments.merging`. Beside least squares the
images serve to restore mean values, and to train the narrowed network towards the outputs of the
original one. And least squares gets images of a few classes only.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from experiments import merging as trainings
from experiments.measures import accuracies
from experiments.merging import FEW, MORE, SPARSITIES, Keep, by_least_squares, by_norm, made
from reference_impl import compress, merging
from reference_impl.compress.activations import outputs_at
from reference_impl.data import Dataset
from reference_impl.distillation import soft_target_loss
from reference_impl.models import Network

SHOES = (5, 7, 9)  #: sandals, sneakers and boots
STEPS = 200  #: of Adam, each with all images of a training
RATES = (0.0003, 0.001, 0.003, 0.01)
TOWARDS_MERGING = {"scale": merging.gaussian_scale}


@dataclass(frozen=True)
class Run:
    """One network: how it is trained, and the seed of that."""

    recipe: str
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return accuracies in percent by sparsity and way, and the ridges or rates chosen."""
        network = made(trainings.Run(self.recipe, self.seed), dataset)
        found: dict[str, dict[str, Any]] = {"validation": {}, "test": {}, "chosen": {}}
        for sparsity in map(str, SPARSITIES):
            images, shoes = images_of(self, dataset)
            for way, left, chosen in ways(network, float(sparsity), images, shoes):
                values = accuracies(left, dataset) | ({"chosen": chosen} if chosen else {})
                for part, value in values.items():
                    found[part].setdefault(sparsity, {})[way] = value
        return found


PLAN = [Run(run.recipe, run.seed) for run in trainings.PLAN if run.recipe == "shipped"]


def images_of(run: Run, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return the unlabelled images of a run, those of all classes and those of shoes."""
    start = 2 * MORE * run.seed
    examples = dataset.train[start : start + 2 * MORE]
    shoes = torch.isin(examples.labels, torch.tensor(SHOES))
    return examples.images[: 2 * FEW], examples.images[shoes][: 2 * FEW]


def ways(
    network: Network, sparsity: float, images: Tensor, shoes: Tensor
) -> Iterator[tuple[str, Network, float | None]]:
    """Yield (name, what is left, the ridge or rate that was chosen) of every way."""
    keep = by_norm(network, sparsity, 2)
    fitted, ridge = by_least_squares(network, keep, images, FEW, {})
    starts = {
        "prune": compress.remove_units(network, keep),
        "merge kappa": compress.merge_nearest(network, keep, scale=merging.gaussian_scale),
        "least squares": fitted,
    }
    for name, start in starts.items():
        yield name, start, ridge if start is fitted else None
        yield f"{name}, then trained", *by_training(network, start, images)
    yield "prune, means restored", with_means(network, keep, images[:FEW]), None
    yield "least squares, shoes", *by_least_squares(network, keep, shoes, FEW, {})
    towards = by_least_squares(network, keep, shoes, FEW, TOWARDS_MERGING)
    yield "least squares towards merging, shoes", *towards


def by_training(network: Network, start: Network, images: Tensor) -> tuple[Network, float]:
    """Train copies of a narrowed network on some images; return that of the best rate on others."""
    candidates = {rate: trained(network, start, images[:FEW], rate) for rate in RATES}
    rate: float = compress.closest_outputs(network, candidates, images[FEW : 2 * FEW])
    return candidates[rate], rate


def trained(network: Network, start: Network, images: Tensor, rate: float) -> Network:
    """Return a copy of a narrowed network, trained towards the outputs of the original one."""
    student = deepcopy(start)
    (logits,) = outputs_at(network, [], images).values()
    optimizer = torch.optim.Adam(student.parameters(), lr=rate)
    for _ in range(STEPS):
        optimizer.zero_grad()
        soft_target_loss(student(images), logits, temperature=1.0).backward()
        optimizer.step()
    return student.eval()


def with_means(network: Network, keep: Keep, images: Tensor) -> Network:
    """Return the pruned network whose biases hold the means of what they no longer read."""
    shifted = compress.remove_units(network, {})
    for label, mask in keep.items():
        mean = compress.values_read(network, label, images).mean(dim=0)
        compress.absorb_offset(shifted, label, mean.masked_fill(mask, 0))
    return compress.remove_units(shifted, keep)
