"""``make retrain``: train the networks of ``data/checkpoints`` again.

Each new network replaces the old one as soon as it is finished. A command that was interrupted
continues after its last finished network when it is given again.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from experiments.workers import fingerprint, machine
from reference_impl import training
from reference_impl.data import Dataset, load_dataset
from reference_impl.training import CHECKPOINTS, Recipe, accuracy

#: checkpoint name → how it is trained; chosen by validation accuracy alone
RECIPES = {
    "lenet300": Recipe("lenet300", epochs=30, learning_rate=2e-3, weight_decay=0.05),
    "lenet5": Recipe("lenet5", epochs=20, learning_rate=2e-3, weight_decay=0.05, augment=True),
    "student": Recipe("student", epochs=30, learning_rate=1e-2, augment=True),
    "separable": Recipe("separable", epochs=40, learning_rate=1e-2, augment=True),
    "residual": Recipe("residual", epochs=16, learning_rate=1e-2, augment=True),
    "teacher": Recipe(
        "teacher", epochs=36, learning_rate=4e-3, weight_decay=0.05, augment=True, erase=True
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.retrain", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {[*RECIPES]}, default: all")
    parser.add_argument("--folder", type=Path, default=CHECKPOINTS, help="of the checkpoints")
    options = parser.parse_args(arguments)
    names = options.names or [*RECIPES]
    if unknown := {*names} - RECIPES.keys():
        parser.error(f"unknown {sorted(unknown)}, choose from {[*RECIPES]}")
    torch.set_num_threads(1)
    try:
        dataset = load_dataset()
        for name in names:
            if not is_finished(name, options.folder):
                retrain(name, dataset, options.folder)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command keeps the finished networks", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"retrain: {error}", file=sys.stderr)
        return 1
    return 0


def retrain(name: str, dataset: Dataset, folder: Path) -> None:
    """Follow the recipe, measure the test accuracy once, and write the network."""
    recipe = RECIPES[name]
    seconds = 0.0
    for number, epoch in enumerate(training.fit(recipe, dataset), start=1):
        seconds += epoch.seconds
        found = f"loss {epoch.loss:.4f}, validation {epoch.validation_accuracy:.2f} %"
        print(f"{name} {number}/{recipe.epochs}: {found}, {epoch.seconds:.1f} s", flush=True)
    versions = machine(("numpy",))
    del versions["device"], versions["instruction_sets"]
    record = training.save_checkpoint(
        epoch.best,
        name,
        folder=folder,
        command=f"python -m experiments.retrain {name}",
        recipe=asdict(recipe),
        epochs=recipe.epochs,
        best_epoch=epoch.best_epoch,
        validation_accuracy=accuracy(epoch.best, dataset.validation),
        test_accuracy=accuracy(epoch.best, dataset.test),
        seconds=round(seconds, 1),
        versions=versions,
        date=datetime.now(UTC).date().isoformat(),
    )
    print(f"{name}: test {record.test_accuracy:.2f} %, best epoch {record.best_epoch}")


def is_finished(name: str, folder: Path) -> bool:
    """Return whether the folder has this network, whole, by today's code and recipe."""
    with suppress(FileNotFoundError, ValueError):
        training.load_checkpoint(name, folder=folder)
        found = training.provenance(name, folder=folder)
        now = asdict(RECIPES[name]), fingerprint()["sources"]
        if (found.recipe, found.versions.get("sources")) == now:
            print(f"{name}: finished before; to train it again, delete {folder / name}.json")
            return True
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    sys.exit(main())
