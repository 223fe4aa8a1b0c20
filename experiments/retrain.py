"""``make retrain``: train the networks of ``data/checkpoints`` again, or check those there.

The new networks replace the old ones after the last training. A command that was interrupted
continues after its last finished network when it is given again.
"""

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from experiments.workers import fingerprint, machine
from reference_impl import training
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT, write_atomically
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
FINISHED = ROOT / "data" / "retrained"  #: where networks wait for the last one
MARGIN = 0.05  #: percentage points by which another processor's rounding may change an accuracy


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.retrain", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {[*RECIPES]}, default: all")
    parser.add_argument("--check", action="store_true", help="train nothing, verify what is there")
    parser.add_argument("--folder", type=Path, default=CHECKPOINTS, help="of the checkpoints")
    options = parser.parse_args(arguments)
    names = options.names or [*RECIPES]
    if unknown := {*names} - RECIPES.keys():
        parser.error(f"unknown {sorted(unknown)}, choose from {[*RECIPES]}")
    torch.set_num_threads(1)
    try:
        dataset = load_dataset()
        if options.check:
            return int(sum(check(name, dataset, options.folder) for name in names) < len(names))
        for name in names:
            if not is_finished(name):
                retrain(name, dataset)
        made = [path for name in names for path in FINISHED.glob(f"{name}.*")]
        for path in made:
            write_atomically(options.folder / path.name, partial(shutil.copyfile, path))
        for path in made:
            path.unlink()
    except KeyboardInterrupt:
        print("\ninterrupted; the same command keeps the finished networks", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"retrain: {error}", file=sys.stderr)
        return 1
    return 0


def retrain(name: str, dataset: Dataset) -> None:
    """Follow the recipe, measure the test accuracy once, and leave the network in `FINISHED`."""
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
        folder=FINISHED,
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


def is_finished(name: str) -> bool:
    """Return whether an interrupted command has left this network, by today's code and recipe."""
    with suppress(FileNotFoundError, ValueError):
        training.load_checkpoint(name, folder=FINISHED)
        found = training.provenance(name, folder=FINISHED)
        now = asdict(RECIPES[name]), fingerprint()["sources"]
        if (found.recipe, found.versions.get("sources")) == now:
            print(f"{name}: kept as it was finished before; to train it again, delete {FINISHED}")
            return True
    return False


def check(name: str, dataset: Dataset, folder: Path) -> bool:
    """Verify the sum, measure the accuracies anew, and return whether they are as recorded."""
    record = training.provenance(name, folder=folder)
    model = training.load_checkpoint(name, folder=folder)
    model.to(memory_format=torch.channels_last)  # twice as fast on a processor
    pairs = {
        "validation": (accuracy(model, dataset.validation), record.validation_accuracy),
        "test": (accuracy(model, dataset.test), record.test_accuracy),
    }
    same = all(abs(now - then) <= MARGIN for now, then in pairs.values())
    numbers = ", ".join(f"{k} {now:.2f} % ({then:.2f})" for k, (now, then) in pairs.items())
    print(f"{name}: sum as recorded, {numbers}: {'as recorded' if same else 'DIFFERS'}")
    return same


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    sys.exit(main())
