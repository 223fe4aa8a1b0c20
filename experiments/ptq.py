"""Post-training quantization, method by method: ``python -m experiments.ptq``.

Every recipe of `RECIPES` is applied to the teacher and to the depthwise-separable student, at 8, 4
and 3 bits for the weights and 8 for the activations, with several draws of calibration images.
What comes out is chapter 06's table, ``data/results/ptq.json``. The file is written anew after each
measurement; started again, the command continues where it was interrupted.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_impl.compress import PostTraining, fold_batch_norms
from reference_impl.data import Dataset, Examples, load_dataset
from reference_impl.files import ROOT, write_atomically
from reference_impl.training import load_checkpoint, predict, provenance

RESULT = ROOT / "data" / "results" / "ptq.json"
COMMAND = "python -m experiments.ptq"
NETWORKS = ("separable", "teacher")
BITS = (8, 4, 3)
SEEDS = (0, 1, 2)
N_CALIBRATION = 512

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "per tensor": {"axes": []},
    "per tensor, equalized": {"axes": [], "equalized": True},
    "per tensor, equalized, corrected": {"axes": [], "equalized": True, "corrected": True},
    "per channel": {},
    "per channel, clipped": {"clipped": True},
    "per channel, clipped, equalized": {"clipped": True, "equalized": True},
    "per channel, clipped, corrected": {"clipped": True, "corrected": True},
    "per channel, clipped, equalized, corrected": {
        "clipped": True,
        "equalized": True,
        "corrected": True,
    },
    "AdaRound, clipped": {"clipped": True, "adaptive": True},
    "AdaRound, clipped, equalized": {"clipped": True, "equalized": True, "adaptive": True},
}
"""Name → arguments of `PostTraining`."""


def calibration_images(train: Examples, seed: int, n: int = N_CALIBRATION) -> Tensor:
    """Return n training images, drawn with a seed; their labels are not looked at."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train.images[order[:n]]


def hits(model: torch.nn.Module, examples: Examples) -> Tensor:
    """Return for each example whether its highest logit is its label's."""
    return predict(model, examples.images).argmax(dim=1) == examples.labels


def paired_difference(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Return the mean of 100 (ours − theirs) over the same examples, and its standard error."""
    difference = 100 * (ours.double() - theirs.double())
    return float(difference.mean()), float(difference.std()) / math.sqrt(len(difference))


def measure(dataset: Dataset, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows that are not among those done."""
    known = {(row["network"], row["recipe"], row["bits"], row["seed"]) for row in done}
    for network in NETWORKS:
        chain = fold_batch_norms(load_checkpoint(network).chain())
        full = {split: hits(chain, getattr(dataset, split)) for split in ("validation", "test")}
        for seed, bits, recipe in product(SEEDS, BITS, RECIPES):
            if (network, recipe, bits, seed) in known:
                continue
            arguments = RECIPES[recipe]
            images = calibration_images(dataset.train, seed)
            quantized = PostTraining(bits=bits, **arguments)(chain, images)
            row: dict[str, Any] = {"network": network, "recipe": recipe, "bits": bits, "seed": seed}
            for split, theirs in full.items():
                ours = hits(quantized, getattr(dataset, split))
                row[split] = 100 * ours.double().mean().item()
                row[f"{split}_difference"], row[f"{split}_error"] = paired_difference(ours, theirs)
            yield row


def read_rows(path: Path, checkpoints: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of an earlier run with the same networks, recipes and images."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    same = (
        found["provenance"]["checkpoints"] == checkpoints
        and found["recipes"] == RECIPES
        and found["provenance"]["calibration_images"] == N_CALIBRATION
    )
    rows: list[dict[str, Any]] = found["rows"] if same else []
    return rows


def record(path: Path = RESULT) -> None:
    """Measure what is missing in the file and write it, row by row."""
    torch.set_num_threads(1)
    dataset = load_dataset()
    checkpoints = {name: provenance(name).sha256 for name in NETWORKS}
    full = {
        name: {
            "validation": provenance(name).validation_accuracy,
            "test": provenance(name).test_accuracy,
        }
        for name in NETWORKS
    }
    rows = read_rows(path, checkpoints)
    for row in measure(dataset, rows):
        rows.append(row)
        found = {
            "provenance": {
                "command": COMMAND,
                "date": datetime.now(UTC).date().isoformat(),
                "seed": list(SEEDS),
                "threads": 1,
                "calibration_images": N_CALIBRATION,
                "checkpoints": checkpoints,
                "versions": {"torch": torch.__version__},
            },
            "full_precision": full,
            "recipes": RECIPES,
            "rows": rows,
        }
        text = json.dumps(found, indent=1) + "\n"
        write_atomically(path, partial(Path.write_text, data=text, encoding="utf-8"))
        print(
            f"{row['network']:<10} {row['bits']} bits  seed {row['seed']}  {row['recipe']:<42}"
            f"  test {row['test']:.2f} %, {row['test_difference']:+.2f} ± {row['test_error']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, default=RESULT, help="where the result is written")
    record(parser.parse_args().path)
