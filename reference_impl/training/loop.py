"""Training as a generator: one optimizer step a batch, and AdamW under one cycle of its rate."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from reference_impl.checked import Count, Within, checked
from reference_impl.training.recipe import Recipe

Pairs = Iterable[tuple[Tensor, Any]]  # inputs and targets
Objective = Callable[[Any, Any], Tensor]
"""(outputs, targets) → scalar loss, mean over the batch; targets: labels, or a teacher's logits."""


@checked
def train_steps(
    model: nn.Module, batches: Pairs, objective: Objective, optimizer: Optimizer
) -> Iterator[float]:
    """Take one optimizer step per batch (inputs, targets) and yield the loss before the step.

    The caller's loop body is the callback. The model is put in training mode once, before the first
    step, and left in it.

    Raises:
        ValueError: if the loss is not a finite scalar; the step is not taken.
    """
    model.train()
    for step, (inputs, targets) in enumerate(batches):
        loss = objective(model(inputs), targets)
        if loss.numel() != 1:
            raise ValueError(f"objective must return a scalar, got shape {tuple(loss.shape)}")
        if not math.isfinite(value := loss.item()):
            raise ValueError(
                f"loss must be finite, got {value} at step {step}: lower the learning rate?"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield value


@checked
def adamw(network: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW with the recipe's weight decay; `one_cycle_steps` sets its rate."""
    return torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay, fused=True)


@checked
def one_cycle_steps(
    network: nn.Module,
    batches: Pairs,
    objective: Objective,
    recipe: Recipe,
    n_steps: Count,
    *,
    optimizer: Optimizer | None = None,
    done: Annotated[int, Within(0)] = 0,
) -> Iterator[float]:
    """Train in place by AdamW, its rate set by ``recipe.rate``; yield the loss before each step.

    There are ``n_steps`` batches in all epochs. To resume, pass the optimizer, an `adamw`,
    and the number of steps already done. The network ends in evaluation mode.
    """
    optimizer = adamw(network, recipe) if optimizer is None else optimizer

    def set_rate(step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(min(1.0, (step + 0.5) / n_steps))  # the middle of the step

    set_rate(done)
    for step, loss in enumerate(train_steps(network, batches, objective, optimizer), done + 1):
        yield loss
        set_rate(step)
    network.eval()
