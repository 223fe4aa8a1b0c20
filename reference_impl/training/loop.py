"""The one loop: a step for each batch, its rate set by a recipe, and whole trainings on top."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from reference_impl.checked import Count, checked
from reference_impl.data import Dataset, Examples
from reference_impl.models import Network, refusing
from reference_impl.training.augmentation import epoch_batches
from reference_impl.training.evaluate import accuracy
from reference_impl.training.recipe import BaseRecipe, Recipe, new_student

Pairs = Iterable[tuple[Tensor, Any]]  # inputs and targets
Objective = Callable[[Any, Any], Tensor]
"""(outputs, targets) → scalar loss, mean over the batch; targets: labels, or a teacher's logits."""


@checked
def train_steps(
    model: nn.Module, batches: Pairs, objective: Objective, optimizer: Optimizer
) -> Iterator[float]:
    """Take one optimizer step per batch (inputs, targets) and yield the loss before the step.

    The caller's loop body is the callback. The model is put in training mode before the first
    step, and left in it. A loss that is not a finite scalar is refused, and the step not taken.
    """
    model.train()
    for step, (inputs, targets) in enumerate(batches):
        with refusing(model, f"batch {step} must suit model and objective,"):
            loss = objective(model(inputs), targets)
        if loss.numel() != 1:
            raise ValueError(f"objective must return a scalar, got shape {tuple(loss.shape)}")
        if not math.isfinite(value := loss.item()):
            raise ValueError(f"loss must be finite, got {value} at step {step}: lower the rate?")
        if not loss.requires_grad:
            raise ValueError("model must have parameters that are not frozen, the loss needs none")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield value


@checked
def recipe_steps(
    network: nn.Module, batches: Pairs, objective: Objective, recipe: BaseRecipe, n_steps: Count
) -> Iterator[float]:
    """Take `train_steps` with the recipe's optimizer and rate; the network ends in evaluation mode.

    There are ``n_steps`` batches in all epochs together.
    """
    optimizer = recipe.optimizer(network)
    rate = LambdaLR(optimizer, lambda step: recipe.rate(min(1.0, (step + recipe.moment) / n_steps)))
    for loss in train_steps(network, batches, objective, optimizer):
        yield loss
        rate.step()
    network.eval()


@checked
def example_steps(network: nn.Module, examples: Examples, recipe: BaseRecipe) -> Iterator[float]:
    """Take `recipe_steps` on the cross-entropy, each epoch over all examples in another order.

    Raises:
        ValueError: if the last batch has one example, on which the network cannot be trained.
    """
    require_last_batch(network, examples.images[:1], recipe, len(examples))
    source = (b for epoch in range(recipe.epochs) for b in epoch_batches(examples, recipe, epoch))
    return recipe_steps(network, source, F.cross_entropy, recipe, recipe.n_steps(len(examples)))


def require_last_batch(
    network: nn.Module, one: Tensor, recipe: BaseRecipe, n_examples: int
) -> None:
    """Refuse a last batch of one example if the network, as those with BatchNorm, refuses it."""
    if n_examples % recipe.batch_size != 1:
        return
    try:
        with torch.random.fork_rng(devices=()), torch.no_grad():
            copy.deepcopy(network).train()(one)
    except ValueError as error:
        raise ValueError(
            "recipe.batch_size must not leave a last batch of one example, "
            f"got {recipe.batch_size} for {n_examples}: {error}"
        ) from error


@dataclass(frozen=True, eq=False)
class Epoch:
    """What an epoch of `fit` has brought, and the best network so far."""

    loss: float  #: mean over the steps, in nats
    validation_accuracy: float  #: after the epoch, in percent
    seconds: float
    best: Network  #: of all epochs, on the validation set; the first of equals
    best_epoch: int  #: counted from 1


@checked
def fit(recipe: Recipe, dataset: Dataset) -> Iterator[Epoch]:
    """Train a new network by the recipe and yield after each epoch; the test set is not looked at.

    What the last epoch calls the best is the result: ``*_, last = fit(…)``, then ``last.best``.
    """
    network = new_student(recipe)
    steps = example_steps(network, dataset.train, recipe)
    per_epoch = recipe.n_steps(len(dataset.train)) // recipe.epochs
    highest = -1.0
    for epoch in range(1, recipe.epochs + 1):
        start = time.perf_counter()
        loss = sum(islice(steps, per_epoch)) / per_epoch
        right = accuracy(network, dataset.validation)
        if right > highest:
            highest, best_epoch = right, epoch
            best = copy.deepcopy(network).to(memory_format=torch.contiguous_format).eval()
        yield Epoch(loss, right, time.perf_counter() - start, best, best_epoch)
