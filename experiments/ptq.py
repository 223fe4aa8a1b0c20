"""Chapters 07 and 08: post-training quantization, method by method (an hour).

Every recipe of `RECIPES` is applied to the teacher and to the depthwise-separable network, at 8, 4
and 3 bits for the weights and 8 for the activations, with several draws of calibration images. Some
of them are applied to the separable network with fewer images too, at 3 bits.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from experiments.measures import hits
from reference_impl.compress import PostTraining, fold_batch_norms
from reference_impl.data import Dataset, Examples
from reference_impl.training import load_checkpoint, provenance

NETWORKS = ("separable", "teacher")
BITS = (8, 4, 3)
SEEDS = (0, 1, 2)
N_CALIBRATION = 512
FEW_IMAGES = (1, 64, 512)
FEW_SEEDS = (0, 1, 2, 3, 4)

CLIPPED = {"clipped": True}
#: name → arguments of `PostTraining`
RECIPES: dict[str, dict[str, Any]] = {
    "per tensor": {"axes": []},
    "per tensor, equalized": {"axes": [], "equalized": True},
    "per tensor, equalized, corrected": {"axes": [], "equalized": True, "corrected": True},
    "per channel": {},
    "per channel, clipped": {"clipped": True},
    "per channel, clipped, equalized": {"clipped": True, "equalized": True},
    "per channel, clipped, corrected": {"clipped": True, "corrected": True},
    "per channel, clipped, equalized, corrected": CLIPPED | {"equalized": True, "corrected": True},
    "AdaRound, clipped": {"clipped": True, "adaptive": True},
    "AdaRound, clipped, equalized": {"clipped": True, "equalized": True, "adaptive": True},
}


@dataclass(frozen=True)
class Run:
    """One quantized network; the seed draws its calibration images."""

    place: ClassVar = "rows"
    network: str
    recipe: str
    bits: int
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, float]:
        """Return accuracies in percent, and how they differ from those in full precision."""
        images = calibration_images(dataset.train, self.seed)
        return _measured(self.network, self.recipe, self.bits, images, dataset)


@dataclass(frozen=True)
class FewRun:
    """The separable network in 3 bits, made with few images, which the seed draws."""

    place: ClassVar = "few_images"
    recipe: str
    images: int
    seed: int

    def measured(self, dataset: Dataset) -> dict[str, float]:
        """Return what `Run.measured` returns."""
        images = calibration_images(dataset.train, self.seed, self.images)
        return _measured("separable", self.recipe, 3, images, dataset)


FEW_RECIPES = (
    *("per channel", "per channel, clipped", "per channel, clipped, corrected"),
    "AdaRound, clipped",
)
PLAN: list[Run | FewRun] = [
    Run(network, recipe, bits, seed)
    for network, seed, bits, recipe in product(NETWORKS, SEEDS, BITS, RECIPES)
]
PLAN += [FewRun(*fields) for fields in product(FEW_RECIPES, FEW_IMAGES, FEW_SEEDS)]


def about() -> dict[str, Any]:
    """Return the recipes, and the networks to which they are applied."""
    sums, right = {}, {}
    for name in NETWORKS:
        one = provenance(name)
        sums[name] = one.sha256
        right[name] = {"validation": one.validation_accuracy, "test": one.test_accuracy}
    given = {"calibration_images": N_CALIBRATION, "checkpoints": sums}
    return {"provenance": given, "full_precision": right, "recipes": RECIPES}


@cache
def _folded(network: str) -> nn.Module:
    return fold_batch_norms(load_checkpoint(network))


@cache
def _right(network: str, examples: Examples) -> Tensor:
    return hits(_folded(network), examples)


def _measured(
    network: str, recipe: str, bits: int, images: Tensor, dataset: Dataset
) -> dict[str, float]:
    """Return accuracies of a quantized network, and how they differ from the full precision's."""
    quantized = PostTraining(bits=bits, **RECIPES[recipe])(_folded(network), images)
    row = {}
    for split in ("validation", "test"):
        examples = getattr(dataset, split)
        ours, theirs = hits(quantized, examples), _right(network, examples)
        row[split] = 100 * ours.double().mean().item()
        row[f"{split}_difference"], row[f"{split}_error"] = paired_difference(ours, theirs)
    return row


def calibration_images(train: Examples, seed: int, n: int | None = None) -> Tensor:
    """Return n training images, drawn with a seed; their labels are not looked at."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train.images[order[: N_CALIBRATION if n is None else n]]


def paired_difference(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Return the mean of 100 (ours − theirs) over the same examples, and its standard error."""
    difference = 100 * (ours.double() - theirs.double())
    return float(difference.mean()), float(difference.std()) / math.sqrt(len(difference))
