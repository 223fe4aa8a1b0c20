"""`fit` follows a recipe and can be killed and resumed at any moment, to the same bits.

Everything random is drawn from (seed, epoch), so only the weights, the optimizer's averages and
the number of the epoch have to survive an interruption.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_impl.checked import checked
from reference_impl.data import Dataset, batches
from reference_impl.files import write_atomically
from reference_impl.models import Network
from reference_impl.training.augmentation import Batch, epoch_batches
from reference_impl.training.evaluate import accuracy
from reference_impl.training.loop import adamw, one_cycle_steps
from reference_impl.training.recipe import Recipe, new_student

Progress = Callable[[int, Iterable[Batch]], Iterable[Batch]]
"""(epoch from 1, its batches) → the same batches, for example with ``tqdm`` around them."""


@dataclass(frozen=True)
class Epoch:
    """Result of one epoch: mean training loss (nats), validation accuracy (%), seconds."""

    loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run: the weights of the best epoch on the validation set, and its history."""

    model: Network
    best_epoch: int
    history: tuple[Epoch, ...]


@checked
def fit(
    recipe: Recipe,
    dataset: Dataset,
    state_file: Path | str,
    *,
    progress: Progress = lambda _, plan: plan,
) -> Iterator[Epoch]:
    """Follow the recipe, epoch by epoch; after each, save the state and yield its result.

    Called again after an interruption it continues after the last whole epoch and ends with the
    same bits as an uninterrupted run (with the same number of torch threads). The epoch with the
    highest validation accuracy is kept, the first of equals; the test set is not looked at.
    Fetch the result with `trained`.

    Raises:
        ValueError: if ``state_file`` belongs to another recipe or cannot be read.
    """
    run = _Run(recipe, Path(state_file))
    per_epoch = len(batches(dataset.train, recipe.batch_size))
    for epoch in range(len(run.history), recipe.epochs):
        start = time.perf_counter()
        steps = one_cycle_steps(
            run.model,
            epoch_batches(dataset.train, recipe, epoch, partial(progress, epoch + 1)),
            F.cross_entropy,
            recipe,
            n_steps=recipe.epochs * per_epoch,
            optimizer=run.optimizer,
            done=epoch * per_epoch,
        )
        loss = sum(steps) / per_epoch
        right = accuracy(run.model, dataset.validation)
        run.save(Epoch(loss, right, time.perf_counter() - start))
        yield run.history[-1]


@checked
def trained(recipe: Recipe, state_file: Path | str) -> Trained:
    """Return the result of `fit`.

    Raises:
        ValueError: if the run is not finished, belongs to another recipe or cannot be read.
    """
    run = _Run(recipe, Path(state_file))
    if (n := len(run.history)) < recipe.epochs:
        raise ValueError(f"{state_file}: {n} of {recipe.epochs} epochs done; run fit again")
    run.model.load_state_dict(run.best_weights)
    model = run.model.to(memory_format=torch.contiguous_format)
    return Trained(model.eval(), run.best_epoch, run.history)


class _Run:
    """The mutable state of a fit, as ``state_file`` holds it."""

    def __init__(self, recipe: Recipe, state_file: Path) -> None:
        self.recipe, self.state_file = recipe, state_file
        self.history: tuple[Epoch, ...] = ()
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}
        self.model = new_student(recipe)
        self.optimizer = adamw(self.model, recipe)
        if state_file.exists():
            state = _read_state(state_file, recipe)
            self.history = tuple(Epoch(**past) for past in state["history"])
            self.best_epoch, self.best_weights = state["best_epoch"], state["best_weights"]
            self.model.load_state_dict(state["weights"])
            self.optimizer.load_state_dict(state["optimizer"])

    def save(self, epoch: Epoch) -> None:
        """Add the epoch to the history, keep the weights if they are the best, save the state."""
        if all(epoch.validation_accuracy > past.validation_accuracy for past in self.history):
            self.best_epoch = len(self.history) + 1
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


def _read_state(path: Path, recipe: Recipe) -> dict[str, Any]:
    state = None
    if is_zipfile(path):  # as torch.save writes it; on other files torch.load fails in many ways
        with suppress(RuntimeError, UnpicklingError):
            state = torch.load(path, weights_only=True)
    if not isinstance(state, dict) or "recipe" not in state:
        raise ValueError(f"{path}: cannot be read as a training state; delete it")
    if state["recipe"] != asdict(recipe):
        raise ValueError(
            f"{path}: belongs to another recipe, {state['recipe']}; expected {asdict(recipe)}; "
            "delete the file to begin anew"
        )
    return state
