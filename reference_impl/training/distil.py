"""Training a student: what its teacher says is computed once, and reused in every epoch.

With augmentation a teacher must see the image that the student sees. So a *view*, one augmented
copy of all training images, is drawn from a seed; the teacher answers once for each view, and the
student meets the views in turn.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.data import Examples
from reference_impl.distillation.objective import require_labels
from reference_impl.models import MODELS, Network
from reference_impl.training.augmentation import augment
from reference_impl.training.evaluate import predict
from reference_impl.training.loop import one_cycle_steps
from reference_impl.training.recipe import Recipe

LEVELS = 255
"""A pixel is a whole number of 255ths, and so it is kept: in a quarter of the memory."""

AT_ONCE = 5000
"""Images that are augmented at a time."""


@dataclass(frozen=True, eq=False)
class View:
    """One copy of the training images, and what the teacher says of the images *of this copy*.

    Args:
        images: pixels 0 … 255, in the order of the examples.
        labels: y.
        logits: the teacher's v.
        features: place in the teacher → what it computes there; for losses that compare more than
            logits. Half precision saves memory.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if their numbers differ, the images are no (n, 1, height, width), a label is
            none of the logits' classes, or a logit or a feature is not finite.
    """

    images: UInt8[Tensor, "n 1 height width"]
    labels: Int64[Tensor, " n"]
    logits: Float[Tensor, "n classes"]
    features: Mapping[str, Float[Tensor, "n ..."]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in (("images", torch.uint8), ("labels", torch.int64)):
            require_instance(name, value := getattr(self, name), Tensor)
            if value.dtype != dtype:
                raise TypeError(f"{name} must hold {dtype}, got {value.dtype}")
        require_float_tensor("logits", self.logits)
        for name, ndim in (("images", 4), ("labels", 1), ("logits", 2)):
            if (value := getattr(self, name)).ndim != ndim:
                raise ValueError(f"{name} must have ndim {ndim}, got shape {tuple(value.shape)}")
        if self.images.shape[1] != 1:
            raise ValueError(f"images must have one channel, got shape {tuple(self.images.shape)}")
        if not len(self.images) == len(self.labels) == len(self.logits):
            raise ValueError(
                f"images, labels and logits must be as many, got {len(self.images)}, "
                f"{len(self.labels)} and {len(self.logits)}"
            )
        require_labels("labels", self.labels, *self.logits.shape)
        require_instance("features", self.features, Mapping)
        for place, features in self.features.items():
            require_float_tensor(f"features[{place!r}]", features)
            if len(features) != len(self.labels):
                raise ValueError(
                    f"features[{place!r}] must be of {len(self.labels)} images, got {len(features)}"
                )


@dataclass(frozen=True, eq=False)
class Targets:
    """What an objective compares a student with: labels y, the teacher's logits v and features."""

    labels: Int64[Tensor, " n"]
    logits: Float[Tensor, "n classes"]
    features: Mapping[str, Float[Tensor, "n ..."]] = field(default_factory=dict)


Objective = Callable[[Any, Targets], Tensor]
"""(what the student returns, most often logits; targets) → scalar, mean over the batch."""


def view(teacher: nn.Module, examples: Examples, *, seed: int | None = None) -> View:
    """Return the images as they are or, given a seed, augmented; with the teacher's logits of them.

    Args:
        teacher: answers in evaluation mode; left in the mode in which it was.
        examples: their images must be whole numbers of 255ths, as those of `load_dataset` are.
        seed: draws the augmentation of every image, see `training.augmentation.augment`.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``seed`` is negative or a pixel is no whole number of 255ths.
    """
    require_instance("examples", examples, Examples)
    images = examples.images
    if seed is not None:
        seed = require_int("seed", seed, 0, 2**63 - 1)
        generator = torch.Generator().manual_seed(seed)
        images = torch.cat([augment(part, generator) for part in images.split(AT_ONCE)])
    pixels = (images * LEVELS).round().to(torch.uint8)
    if not torch.equal(_restored(pixels), images):
        raise ValueError("examples must have pixels that are whole numbers of 255ths")
    return View(pixels, examples.labels, predict(teacher, images))


def new_student(recipe: Recipe) -> Network:
    """Return the recipe's network with the initial weights that its seed draws."""
    require_instance("recipe", recipe, Recipe)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        return MODELS[recipe.model]().to(memory_format=torch.channels_last)  # twice as fast


def student_steps(
    student: nn.Module, views: Sequence[View], objective: Objective, recipe: Recipe
) -> Iterator[float]:
    """Train the student in place and yield each step's loss; the caller's loop is the callback.

    Epoch e passes over view (seed + e) mod the number of views, in an order drawn from
    (seed, e). AdamW, one cycle of the learning rate.

    Args:
        student: left in evaluation mode at the end.
        views: made by `view`.
        objective: for example ``lambda z, to: distillation_objective(z, to.logits, to.labels,
            temperature=4, alpha=0.9)``, or the cross-entropy of a student that learns alone.
        recipe: without ``augment`` and ``erase``, which are the views' business.

    Yields:
        The loss before the step.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there is no view, the recipe augments, or the loss is not finite.

    Equation: eq-student-views, chapter 09.
    """
    require_instance("student", student, nn.Module)
    require_instance("recipe", recipe, Recipe)
    if not callable(objective):
        raise TypeError(f"objective must be callable, got {type(objective).__name__}")
    if recipe.augment or recipe.erase:
        raise ValueError(
            "recipe must not augment or erase: a student meets the images of its views"
        )
    require_instance("views", views, Iterable)
    views = tuple(views)
    if not views:
        raise ValueError("views must hold a view or more, got none")
    for one in views:
        require_instance("views", one, View)
    n_steps = sum(
        math.ceil(len(_of_epoch(views, recipe, epoch).labels) / recipe.batch_size)
        for epoch in range(recipe.epochs)
    )
    yield from one_cycle_steps(student, _batches(views, recipe), objective, recipe, n_steps)


def _of_epoch(views: Sequence[View], recipe: Recipe, epoch: int) -> View:
    return views[(recipe.seed + epoch) % len(views)]


def _batches(views: Sequence[View], recipe: Recipe) -> Iterator[tuple[Tensor, Targets]]:
    for epoch in range(recipe.epochs):
        now = _of_epoch(views, recipe, epoch)
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)[0])
        )
        order = torch.randperm(len(now.labels), generator=generator)
        for chosen in order.split(recipe.batch_size):
            features = {place: whole[chosen] for place, whole in now.features.items()}
            targets = Targets(now.labels[chosen], now.logits[chosen], features)
            yield _restored(now.images[chosen]), targets


def _restored(pixels: Tensor) -> Tensor:
    """Return the pixels as 255ths, bit by bit what `load_dataset` gives."""
    return pixels.to(torch.float32) / LEVELS
