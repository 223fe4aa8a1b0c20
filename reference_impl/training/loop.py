"""Training as a generator: one optimizer step a batch, and AdamW under one cycle of its rate."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int
from reference_impl.training.recipe import Recipe

Targets = TypeVar("Targets")


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


def one_cycle_steps(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Targets]],
    objective: Callable[[Tensor, Targets], Tensor],
    recipe: Recipe,
    n_steps: int,
) -> Iterator[float]:
    """Train in place and yield each step's loss; the rate follows ``recipe.rate`` over all steps.

    Args:
        network: left in evaluation mode at the end.
        batches: of all epochs, ``n_steps`` of them.
        objective: (outputs, targets) → scalar loss, mean over the batch.
        recipe: learning rate and weight decay; its epochs and seed are the caller's business.
        n_steps: over which the cycle goes.

    Yields:
        The loss before the step.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``n_steps`` is below 1, or as `reference_impl.training.loop.train_steps`.
    """
    require_instance("network", network, nn.Module)
    require_instance("recipe", recipe, Recipe)
    require_int("n_steps", n_steps, 1)
    optimizer = torch.optim.AdamW(
        network.parameters(), weight_decay=recipe.weight_decay, fused=True
    )

    def set_rate(step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(min(1.0, (step + 0.5) / n_steps))  # the middle of the step

    set_rate(0)
    for step, loss in enumerate(train_steps(network, batches, objective, optimizer), start=1):
        yield loss
        set_rate(step)
    network.eval()
