"""``make retrain``: train the networks of ``data/checkpoints`` again, or those of other data.

With ``DATA=folder`` the networks learn a data set of yours in MNIST's format and are written to
``checkpoints`` in its folder; ``CHAPTER=02`` trains what that chapter needs. Each new network
replaces the old one as soon as it is finished. A command that was interrupted continues after its
last finished network when it is given again.
"""

import argparse
import ast
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch

from experiments.workers import fingerprint, machine
from reference_impl import training
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT
from reference_impl.folders import data_folder, data_identity
from reference_impl.models import MODELS
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

FEWEST_IMAGES = (1800, 300)
"""To train, with those that validate, and to test: with fewer, chapters lack images to draw."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.retrain", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {[*RECIPES]}, default: all")
    parser.add_argument("--data", help="a folder below data, or a path; default: FashionMNIST")
    parser.add_argument("--chapter", help="such as 02: train what this chapter needs")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - RECIPES.keys():
        parser.error(f"unknown {sorted(unknown)}, choose from {[*RECIPES]}")
    torch.set_num_threads(1)
    try:
        names = options.names or (needed(options.chapter) if options.chapter else [*RECIPES])
        folder = data_folder(options.data) / "checkpoints" if options.data else CHECKPOINTS
        dataset, identity = load_dataset(options.data), data_identity(options.data)
        refuse_few(dataset)
        missing = [name for name in names if not is_finished(name, folder, identity)]
        print(expected(missing, len(dataset.train)), flush=True)
        for name in missing:
            retrain(name, dataset, folder, options.data)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command keeps the finished networks", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"retrain: {error}", file=sys.stderr)
        return 1
    return 0


def refuse_few(dataset: Dataset) -> None:
    """Refuse data with fewer images than the chapters draw.

    Raises:
        ValueError: if there are; the message has both numbers, and those that are needed.
    """
    found = len(dataset.train) + len(dataset.validation), len(dataset.test)
    if any(has < needs for has, needs in zip(found, FEWEST_IMAGES, strict=True)):
        raise ValueError(
            f"found {found[0]:,} images to train and {found[1]:,} to test; "
            f"the chapters need {FEWEST_IMAGES[0]:,} and {FEWEST_IMAGES[1]:,}"
        )


def needed(chapter: str) -> list[str]:
    """Return the networks that a chapter names in its parameters, or where it loads networks.

    Raises:
        ValueError: if there is no such chapter.
    """
    chapters = {path.name[:2]: path for path in sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))}
    if chapter.zfill(2) not in chapters:
        raise ValueError(
            f"there is no chapter {chapter}; there are {min(chapters)} to {max(chapters)}"
        )
    notebook = json.loads(chapters[chapter.zfill(2)].read_text(encoding="utf-8"))
    found: set[str] = set()
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parameters = "parameters" in cell["metadata"].get("tags", ())
        if cell["cell_type"] == "code" and (parameters or "load_checkpoint(" in source):
            for node in ast.walk(ast.parse(source)):
                found |= {str(node.value).lower()} if isinstance(node, ast.Constant) else set()
                found |= {*MODELS} if isinstance(node, ast.Name) and node.id == "MODELS" else set()
    return [name for name in RECIPES if name in found]


def expected(names: Sequence[str], n_images: int) -> str:
    """Return a line with the time to expect, from the records of the shipped networks."""
    shipped = {name: training.provenance(name).seconds for name in names if name in MODELS}
    minutes = sum(shipped.values()) * n_images / 55_000 / 60
    return f"to train: {', '.join(names) or 'nothing'}; about {minutes:.0f} minutes on one core"


def retrain(name: str, dataset: Dataset, folder: Path, data: str | None = None) -> None:
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
        data=data_identity(data),
        command=f"python -m experiments.retrain {name}" + (f" --data {data}" if data else ""),
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


def is_finished(name: str, folder: Path, identity: Mapping[str, str]) -> bool:
    """Return whether the folder has this network, whole, by today's data, code and recipe."""
    with suppress(FileNotFoundError, ValueError):
        training.load_checkpoint(name, folder=folder)
        found = training.provenance(name, folder=folder)
        now = asdict(RECIPES[name]), fingerprint()["sources"], identity["sha256"]
        if (found.recipe, found.versions.get("sources"), found.data["sha256"]) == now:
            print(f"{name}: finished before; to train it again, delete {folder / name}.json")
            return True
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill ends it as Ctrl-C does
    sys.exit(main())
