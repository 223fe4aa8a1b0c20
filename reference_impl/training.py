"""Training as a generator, and what a trained network is asked: its logits, its accuracy."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference_impl.checks import (
    require_float_tensor,
    require_instance,
    require_int,
    require_tensor,
)
from reference_impl.data import Examples

Targets = TypeVar("Targets")

SHIFT = 2
"""Augmentation moves an image by up to this many pixels in each direction."""

ERASED = (4, 14)
"""The shortest and the longest side, in pixels, of an erased rectangle."""


def train_steps(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Targets]],
    objective: Callable[[Tensor, Targets], Tensor],
    optimizer: torch.optim.Optimizer,
) -> Iterator[float]:
    """Take one optimizer step per batch and yield its loss; the caller's loop body is the callback.

    The model is put in training mode once, before the first step, and left in it.

    Args:
        model: maps a batch of inputs to outputs.
        batches: pairs (inputs, targets). Targets are whatever the objective takes: labels, or a
            teacher's logits.
        objective: (outputs, targets) → scalar loss, mean over the batch.
        optimizer: holds the parameters to change.

    Yields:
        The loss before the step.

    Raises:
        TypeError: if ``model`` or ``optimizer`` is none.
        ValueError: if the loss is no scalar, or is nan or infinite; the parameters are then those
            of the step before.
    """
    require_instance("model", model, nn.Module)
    require_instance("optimizer", optimizer, torch.optim.Optimizer)
    model.train()
    for step, (inputs, targets) in enumerate(batches):
        loss = objective(model(inputs), targets)
        if loss.numel() != 1:
            raise ValueError(f"objective must return a scalar, got shape {tuple(loss.shape)}")
        value = loss.item()
        if not math.isfinite(value):
            raise ValueError(
                f"loss must be finite, got {value} at step {step}: lower the learning rate?"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield value


def predict(
    model: nn.Module, images: Float[Tensor, "n 1 28 28"], *, batch_size: int = 1000
) -> Float[Tensor, "n classes"]:
    """Return the model's outputs in evaluation mode, without gradients.

    Args:
        model: left in the mode in which it was.
        images: any number; ``batch_size`` of them pass at a time.
        batch_size: bounds the memory; the outputs do not depend on it but for rounding.

    Raises:
        TypeError: if ``model`` is none, or ``images`` is no tensor of floating-point numbers.
        ValueError: if it is empty, holds a nan or an inf, or has a shape the model refuses.
    """
    require_instance("model", model, nn.Module)
    require_float_tensor("images", images)
    require_int("batch_size", batch_size, 1)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return torch.cat([model(part) for part in images.split(batch_size)])
    finally:
        model.train(was_training)


def accuracy(model: nn.Module, examples: Examples, *, batch_size: int = 1000) -> float:
    """Return 100 · (number of examples whose highest logit is their label's) / n, in percent.

    Args:
        model: left in the mode in which it was.
        examples: what to classify.
        batch_size: as in `predict`.

    Raises:
        TypeError: if ``model`` is none, or ``examples`` are no `Examples`.
    """
    require_instance("examples", examples, Examples)
    answers = predict(model, examples.images, batch_size=batch_size).argmax(dim=1)
    return 100 * (answers == examples.labels).sum().item() / len(examples)


def augment(
    images: Float[Tensor, "n 1 height width"], generator: torch.Generator
) -> Float[Tensor, "n 1 height width"]:
    """Mirror each image with probability ½ and shift it by up to ±2 pixels, black flowing in.

    Args:
        images: the batch; it is left as it is.
        generator: the only source of chance.

    Raises:
        TypeError: if ``images`` is no tensor.
        ValueError: if it is empty or has another shape.
    """
    _require_grey("images", images)
    n, _, height, width = images.shape
    padded = F.pad(images, (SHIFT,) * 4)
    corner = torch.randint(2 * SHIFT + 1, (2, n, 1), generator=generator)
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    columns = torch.arange(width)
    rows = corner[0] + torch.arange(height)
    columns = corner[1] + torch.where(mirrored, columns.flip(0), columns)
    chosen = padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    return chosen.unsqueeze(1)


def erase(
    images: Float[Tensor, "n 1 height width"], generator: torch.Generator
) -> Float[Tensor, "n 1 height width"]:
    """Overwrite with probability ½ a random rectangle of each image with noise from [0, 1).

    The sides are drawn from `ERASED` but end at the image's size, the place uniformly from all
    that fit.

    Args:
        images: the batch; it is left as it is.
        generator: the only source of chance.

    Raises:
        TypeError: if ``images`` is no tensor.
        ValueError: if it is empty or has another shape.

    References:
        Zhong, Zheng, Kang, Li & Yang (2020), Random erasing data augmentation.
    """
    _require_grey("images", images)
    n, _, height, width = images.shape
    down = _stripes(n, height, generator)
    across = _stripes(n, width, generator)
    chosen = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    hole = chosen & down[:, None, :, None] & across[:, None, None, :]
    return torch.where(hole, torch.rand(images.shape, generator=generator), images)


def _stripes(n: int, size: int, generator: torch.Generator) -> Bool[Tensor, "n size"]:
    """Return n random intervals within ``size`` positions, as masks."""
    shortest, longest = (min(side, size) for side in ERASED)
    side = torch.randint(shortest, longest + 1, (n, 1), generator=generator)
    start = (torch.rand(n, 1, generator=generator) * (size - side + 1)).floor()
    place = torch.arange(size)
    return (place >= start) & (place < start + side)


def _require_grey(name: str, images: Tensor) -> None:
    require_tensor(name, images)
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"{name} must be (n, 1, h, w), got {tuple(images.shape)}")
