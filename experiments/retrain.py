"""``make retrain``: rebuild the networks of ``data/checkpoints``, or check the shipped ones.

A run that is interrupted continues after its last whole epoch when it is started again.
"""

import argparse
import datetime
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT
from reference_impl.training import (
    CHECKPOINTS,
    Provenance,
    Recipe,
    accuracy,
    fit,
    load_checkpoint,
    provenance,
    save_checkpoint,
    trained,
)
from reference_impl.training.augmentation import Batch

RECIPES = {
    "lenet300": Recipe("lenet300", epochs=30, learning_rate=2e-3, weight_decay=0.05),
    "lenet5": Recipe("lenet5", epochs=20, learning_rate=2e-3, weight_decay=0.05, augment=True),
    "student": Recipe("student", epochs=30, learning_rate=1e-2, weight_decay=0.01, augment=True),
    "separable": Recipe(
        "separable", epochs=40, learning_rate=1e-2, weight_decay=0.01, augment=True
    ),
    "residual": Recipe("residual", epochs=16, learning_rate=1e-2, weight_decay=0.01, augment=True),
    "teacher": Recipe(
        "teacher", epochs=36, learning_rate=4e-3, weight_decay=0.05, augment=True, erase=True
    ),
}
"""Checkpoint name → how it is trained; chosen by validation accuracy alone."""

MARGIN = 0.05
"""Percentage points by which another processor's rounding may change an accuracy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names = options.names or list(RECIPES)
    if unknown := sorted(set(names) - set(RECIPES)):
        parser.error(f"unknown {unknown}, choose from {sorted(RECIPES)}")
    try:
        dataset = load_dataset()
        if options.check:
            return check(names, dataset, options.folder)
        records = [retrain(name, dataset, options.folder, options.state) for name in names]
        for name in names:  # only now: a run that is killed must not lose its finished networks
            _state_file(options.state, name).unlink()
    except KeyboardInterrupt:
        print(
            "\ninterrupted; the same command continues after the last whole epoch", file=sys.stderr
        )
        return 130
    except (OSError, ValueError) as error:
        print(f"retrain: {error}", file=sys.stderr)
        return 1
    print_table(names, records)
    return 0


def retrain(name: str, dataset: Dataset, folder: Path, state_folder: Path) -> Provenance:
    """Follow the recipe to its end, measure the test accuracy once, write the checkpoint.

    Raises:
        ValueError: if the state kept from an interrupted run cannot be used.
        OSError: if nothing can be written.
    """
    recipe, state_file = RECIPES[name], _state_file(state_folder, name)
    for epoch in fit(recipe, dataset, state_file, progress=partial(_bar, recipe)):
        print(
            f"{name}: loss {epoch.loss:.4f}, validation {epoch.validation_accuracy:.2f} %, "
            f"{epoch.seconds:.1f} s",
            flush=True,
        )
    result = trained(recipe, state_file)
    return save_checkpoint(
        result.model,
        name,
        folder=folder,
        command=f"python -m experiments.retrain {name}",
        recipe=asdict(recipe),
        epochs=recipe.epochs,
        best_epoch=result.best_epoch,
        validation_accuracy=accuracy(result.model, dataset.validation),
        test_accuracy=accuracy(result.model, dataset.test),
        seconds=round(sum(epoch.seconds for epoch in result.history), 1),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    )


def check(names: Sequence[str], dataset: Dataset, folder: Path) -> int:
    """Verify sums, measure the accuracies anew, compare; return 1 if one differs.

    Raises:
        OSError: if a checkpoint is missing.
        ValueError: if its sum is wrong.
    """
    failed = False
    for name in names:
        record = provenance(name, folder=folder)
        model = load_checkpoint(name, folder=folder)
        pairs = {
            "validation": (accuracy(model, dataset.validation), record.validation_accuracy),
            "test": (accuracy(model, dataset.test), record.test_accuracy),
        }
        differs = any(abs(now - then) > MARGIN for now, then in pairs.values())
        failed |= differs
        numbers = ", ".join(f"{k} {now:.2f} % ({then:.2f})" for k, (now, then) in pairs.items())
        print(f"{name}: sum as recorded, {numbers}: {'DIFFERS' if differs else 'as recorded'}")
    return int(failed)


def print_table(names: Sequence[str], records: Sequence[Provenance]) -> None:
    """Print one line per network."""
    print(f"{'network':10}{'parameters':>12}{'validation':>13}{'test':>10}{'epoch':>9}{'time':>10}")
    for name, record in zip(names, records, strict=True):
        print(
            f"{name:10}{record.parameters:12,}{record.validation_accuracy:11.2f} %"
            f"{record.test_accuracy:8.2f} %{record.best_epoch:6}/{record.epochs}"
            f"{record.seconds:8.0f} s"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.retrain", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*RECIPES, []], metavar="NAME", help="default: all"
    )
    parser.add_argument("--check", action="store_true", help="train nothing, verify what is there")
    parser.add_argument("--folder", type=Path, default=CHECKPOINTS, help="of the checkpoints")
    parser.add_argument("--state", type=Path, default=ROOT / "_build" / "training", help="kept")
    return parser


def _bar(recipe: Recipe, epoch: int, plan: Iterable[Batch]) -> Iterable[Batch]:
    """Wrap an epoch's batches in a progress bar, which only a terminal shows."""
    label = f"{recipe.model} {epoch}/{recipe.epochs}"
    return tqdm(plan, desc=label, unit="batch", leave=False, disable=None)


def _state_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.pt"


if __name__ == "__main__":
    sys.exit(main())
