"""Training a student: the teacher's answers are computed once, and reused in every epoch.

A teacher must see the image that the student sees. So a *view*, one augmented copy of all training
images, is drawn from a seed; the teacher answers once for each view, the student sees all in turn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from reference_impl.checked import Finite, Where, Within, checked
from reference_impl.data import Examples, Seed
from reference_impl.training.augmentation import augment, epoch_seeds
from reference_impl.training.evaluate import predict
from reference_impl.training.loop import Objective, recipe_steps, require_last_batch
from reference_impl.training.recipe import BaseRecipe, PlainRecipe

LEVELS = 255  # a pixel is a whole number of 255ths, and so it is kept: in a quarter of the memory
AT_ONCE = 5000  # images that are augmented at a time


@dataclass(frozen=True, eq=False)
class Targets:
    """What an objective compares a student with."""

    labels: Int64[Tensor, " n"]
    logits: Float[Tensor, "n classes"]
    features: Mapping[str, Float[Tensor, "n ..."]] = field(default_factory=dict)


@checked
@dataclass(frozen=True, eq=False)
class View:
    """One copy of the training images, and the teacher's answers for the images *of this copy*."""

    images: UInt8[Tensor, "n 1 height width"]  #: pixels 0 … 255, in the order of the examples
    labels: Annotated[Int64[Tensor, " n"], Within(0)]  #: y
    logits: Finite[Tensor, "n classes"]  #: the teacher's v
    features: Mapping[str, Finite[Tensor, "n ..."]] = field(default_factory=dict)
    """Place in the teacher → what it computes there, if a loss compares more than logits."""

    def __post_init__(self) -> None:
        if (label := int(self.labels.max())) >= (classes := self.logits.shape[1]):
            raise ValueError(f"labels must be in 0 … {classes - 1}, got {label}")

    def batch(self, chosen: Int64[Tensor, " m"]) -> tuple[Float[Tensor, "m 1 h w"], Targets]:
        """Return the images with these indices, as 255ths, and their targets."""
        features = {place: whole[chosen] for place, whole in self.features.items()}
        targets = Targets(self.labels[chosen], self.logits[chosen], features)
        return _restored(self.images[chosen]), targets


Views = Annotated[
    Sequence[View],
    Where(
        "one view or more, of one length", lambda views: len({len(v.labels) for v in views}) == 1
    ),
]


@checked
def view(
    teacher: nn.Module,
    examples: Examples,
    *,
    seed: Seed | None = None,
    change: Callable[[Tensor, torch.Generator], Tensor] = augment,
) -> View:
    """Return the images as they are or, given a seed, changed; with the teacher's logits of them.

    The teacher answers in evaluation mode, and keeps its mode.

    Raises:
        ValueError: if a pixel is not a whole number of 255ths, as those of `load_dataset` are.
    """
    images = examples.images
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        images = torch.cat([change(part, generator) for part in images.split(AT_ONCE)])
    pixels = (images * LEVELS).round().to(torch.uint8)
    if not torch.equal(_restored(pixels), images):
        raise ValueError("examples must have pixels that are whole numbers of 255ths")
    return View(pixels, examples.labels, predict(teacher, images))


@checked
def student_steps(
    student: nn.Module, views: Views, objective: Objective, recipe: PlainRecipe
) -> Iterator[float]:
    """Train the student in place and yield the loss before each step; it ends in evaluation mode.

    Epoch e passes over view (seed + e) mod the number of views, in an order drawn from (seed, e).
    An objective: ``lambda z, to: distillation_objective(z, to.logits, to.labels, …)``.

    Equation: eq-student-views, chapter 11.
    """
    n = len(views[0].labels)
    require_last_batch(student, views[0].batch(torch.tensor([0]))[0], recipe, n)
    return recipe_steps(student, view_batches(views, recipe), objective, recipe, recipe.n_steps(n))


def view_batches(views: Views, recipe: BaseRecipe) -> Iterator[tuple[Tensor, Targets]]:
    """Yield the batches of all epochs."""
    n = len(views[0].labels)
    for epoch in range(recipe.epochs):
        one = views[(recipe.seed + epoch) % len(views)]
        seed, _ = epoch_seeds(recipe.seed, epoch)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        yield from map(one.batch, order.split(recipe.batch_size))


def _restored(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the pixels as 255ths, bit by bit what `load_dataset` gives."""
    return pixels.to(torch.float32) / LEVELS
