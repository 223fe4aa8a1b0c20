"""`fit` follows a recipe and can be killed and resumed at any moment, to the same bits.

Everything random is drawn from (seed, epoch), so only the weights, the optimizer's averages and
the number of the epoch have to survive an interruption.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reference_impl.checks import require_instance
from reference_impl.data import Dataset, Examples, batches
from reference_impl.files import write_atomically
from reference_impl.models import MODELS, Network
from reference_impl.training.augmentation import augment, erase
from reference_impl.training.evaluate import accuracy
from reference_impl.training.loop import train_steps
from reference_impl.training.recipe import Recipe

Batch = tuple[Tensor, Tensor]

Progress = Callable[[int, Iterable[Batch]], Iterable[Batch]]
"""(epoch from 1, its batches) → the same batches, for example with ``tqdm`` around them."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean training loss (nats), validation accuracy (%), seconds."""

    loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run: the weights of the best epoch on the validation set, and its history."""

    model: Network
    best_epoch: int
    history: tuple[Epoch, ...]


def fit(
    recipe: Recipe,
    dataset: Dataset,
    state_file: Path | str,
    *,
    progress: Progress = lambda _, plan: plan,
) -> Iterator[Epoch]:
    """Follow the recipe, epoch by epoch; after each, save the state and yield what it came to.

    Called again after an interruption it goes on behind the last whole epoch and ends with the
    same bits as an uninterrupted run (with the same number of torch threads). The epoch with the
    highest validation accuracy is kept, the first of equals; the test set is not looked at.
    Fetch the result with `trained`.

    Args:
        recipe: what to do.
        dataset: ``train`` to fit, ``validation`` to choose the epoch.
        state_file: where the state is kept; always whole, whenever the run is killed.
        progress: wraps the batches of each epoch.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if ``state_file`` belongs to another recipe or cannot be read.
    """
    require_instance("dataset", dataset, Dataset)
    run = _Run(recipe, state_file)
    while run.epoch < recipe.epochs:
        start = time.perf_counter()
        loss = run.train_epoch(dataset.train, progress)
        score = accuracy(run.model, dataset.validation)
        run.close_epoch(Epoch(loss, score, time.perf_counter() - start))
        yield run.history[-1]


def trained(recipe: Recipe, state_file: Path | str) -> Trained:
    """Return the result of `fit`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if the run is not finished, belongs to another recipe or cannot be read.
    """
    run = _Run(recipe, state_file)
    if run.epoch < recipe.epochs:
        raise ValueError(f"{state_file}: {run.epoch} of {recipe.epochs} epochs done; run fit again")
    run.model.load_state_dict(run.best_weights)
    model = run.model.to(memory_format=torch.contiguous_format)
    return Trained(model.eval(), run.best_epoch, run.history)


class _Run:
    """The mutable state of a fit, as `state_file` holds it."""

    def __init__(self, recipe: Recipe, state_file: Path | str) -> None:
        require_instance("recipe", recipe, Recipe)
        require_instance("state_file", state_file, (Path, str))
        self.recipe, self.state_file = recipe, Path(state_file)
        self.history: tuple[Epoch, ...] = ()
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(recipe.seed)
            self.model = MODELS[recipe.model]()
        self.model.to(memory_format=torch.channels_last)  # twice as fast on a processor
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), weight_decay=recipe.weight_decay, fused=True
        )
        if self.state_file.exists():
            self._restore()

    @property
    def epoch(self) -> int:
        return len(self.history)

    def train_epoch(self, examples: Examples, progress: Progress) -> float:
        """Pass once over the examples and return the mean loss."""
        order_seed, chance_seed = _seeds(self.recipe.seed, self.epoch)
        plan = batches(examples, self.recipe.batch_size, seed=order_seed)
        source: Iterable[Batch] = progress(self.epoch + 1, plan)
        generator = torch.Generator().manual_seed(chance_seed)
        if self.recipe.augment:
            source = ((augment(images, generator), labels) for images, labels in source)
        if self.recipe.erase:
            source = ((erase(images, generator), labels) for images, labels in source)
        losses: list[float] = []
        self._set_rate(0, len(plan))
        for loss in train_steps(self.model, source, F.cross_entropy, self.optimizer):
            losses.append(loss)
            self._set_rate(len(losses), len(plan))
        return sum(losses) / len(losses)

    def close_epoch(self, epoch: Epoch) -> None:
        """Add the epoch to the history, keep the weights if they are the best, save the state."""
        if not self.history or epoch.validation_accuracy > self.best.validation_accuracy:
            self.best_epoch = self.epoch + 1
            self.best_weights = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.history = (*self.history, epoch)
        state = {
            "recipe": asdict(self.recipe),
            "history": [asdict(past) for past in self.history],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_atomically(self.state_file, lambda part: torch.save(state, part))

    @property
    def best(self) -> Epoch:
        """The best epoch so far; epochs count from 1."""
        return self.history[self.best_epoch - 1]

    def _set_rate(self, step: int, steps_per_epoch: int) -> None:
        done = self.epoch * steps_per_epoch + step + 0.5  # the middle of the coming step
        progress = min(1.0, done / (steps_per_epoch * self.recipe.epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(progress)

    def _restore(self) -> None:
        state = _read_state(self.state_file)
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(
                f"{self.state_file}: belongs to another recipe, {state['recipe']}; "
                f"expected {asdict(self.recipe)}; delete the file to begin anew"
            )
        self.history = tuple(Epoch(**past) for past in state["history"])
        self.best_epoch = state["best_epoch"]
        self.best_weights = state["best_weights"]
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])


def _read_state(path: Path) -> dict[str, Any]:
    try:
        # torch.save writes a zip file; torch.load fails in many ways on anything else
        state = torch.load(path, weights_only=True) if is_zipfile(path) else None
    except (RuntimeError, UnpicklingError) as error:
        raise ValueError(f"{path}: no readable training state ({error}); delete it") from error
    if not isinstance(state, dict) or "recipe" not in state:
        raise ValueError(f"{path}: found no training state; delete it")
    return state


def _seeds(seed: int, epoch: int) -> tuple[int, int]:
    """Return independent seeds for the order and for the augmentation of one epoch."""
    order, chance = np.random.SeedSequence([seed, epoch]).generate_state(2)
    return int(order), int(chance)
