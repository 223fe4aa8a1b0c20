"""``python -m experiments.granularity``: accuracy against bits, granularity and form.

Three networks, their weights restored from 8 to 2 bits with one range for each tensor, channel or
group of neighbouring columns, symmetric and asymmetric. Chapter 03 draws its figure from the
record, ``data/results/granularity.json``, and computes a part of it again. Nothing is random.
"""

import argparse
import copy
import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from reference_impl.data import Examples, load_dataset
from reference_impl.files import ROOT, write_atomically
from reference_impl.measuring import quantized_size, sqnr
from reference_impl.models import Network
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    min_max_range,
    split_groups,
    symmetric_from_range,
)
from reference_impl.training import load_checkpoint, predict

RESULT = ROOT / "data" / "results" / "granularity.json"
COMMAND = "python -m experiments.granularity"

NETWORKS = ("lenet300", "lenet5", "teacher")
WIDTHS = (8, 6, 5, 4, 3, 2)
GRANULARITIES = ("tensor", "channel", 32, 8)
"""A number is the most columns of a group; a layer takes the largest divisor of its columns."""

FORMS: dict[str, Callable[[Tensor, Tensor, IntegerGrid], AffineQuantizer]] = {
    "asymmetric": affine_from_range,
    "symmetric": symmetric_from_range,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--path", type=Path, default=RESULT, help="of the record")
    path = parser.parse_args(arguments).path
    torch.set_num_threads(1)
    try:
        test = load_dataset().test
        rows = [row for name in NETWORKS for row in measured(name, test)]
        _write(path, rows)
    except (OSError, ValueError) as error:
        print(f"granularity: {error}", file=sys.stderr)
        return 1
    return 0


def measured(name: str, test: Examples) -> Iterator[dict[str, Any]]:
    """Yield a row for each setting; gained and lost are counted against the network itself."""
    network = load_checkpoint(name).eval()
    original = predict(network, test.images).argmax(dim=1) == test.labels
    settings = [(g, form, bits) for g in GRANULARITIES for form in FORMS for bits in WIDTHS]
    for granularity, form, bits in tqdm(settings, desc=name):
        changed, bits_per_weight, decibels = quantized(network, granularity, form, bits)
        hits = predict(changed, test.images).argmax(dim=1) == test.labels
        yield {
            "network": name,
            "granularity": granularity,
            "form": form,
            "bits": bits,
            "bits_per_weight": bits_per_weight,
            "sqnr": decibels,
            "accuracy": 100 * float(hits.double().mean()),
            "gained": int((hits & ~original).sum()),
            "lost": int((original & ~hits).sum()),
        }


def quantized(
    network: Network, granularity: str | int, form: str, bits: int
) -> tuple[Network, float, float]:
    """Return a copy with restored weights, the bits of each weight and the SQNR of all."""
    grid = IntegerGrid(bits, signed=True, narrow=form == "symmetric")
    changed, stored, before, after = copy.deepcopy(network), 0, [], []
    for parameter in changed.parameters():
        if parameter.ndim < 2:
            continue
        weight = parameter.detach().clone()
        view, axes = parts(weight, granularity)
        quantizer = FORMS[form](*min_max_range(view, axes), grid)
        restored = quantizer.round_trip(view).view_as(weight)
        parameter.data.copy_(restored)
        stored += quantized_size(quantizer, weight.numel()).bits
        before.append(weight.flatten())
        after.append(restored.flatten())
    n_weights = sum(map(len, before))
    return changed, stored / n_weights, sqnr(torch.cat(before), torch.cat(after))


def parts(weight: Tensor, granularity: str | int) -> tuple[Tensor, int | tuple[int, ...]]:
    """Return a view of the weight and the axes of which each index has a range of its own."""
    rows = weight.flatten(1)
    if granularity == "tensor":
        return rows, ()
    if granularity == "channel":
        return rows, 0
    columns, most = rows.shape[1], int(granularity)
    size = max(g for g in range(1, most + 1) if columns % g == 0)
    return split_groups(rows, size), (0, 1)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    record = {
        "provenance": {
            "command": COMMAND,
            "date": datetime.now(UTC).date().isoformat(),
            "seed": None,
            "threads": 1,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        },
        "rows": rows,
    }
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
