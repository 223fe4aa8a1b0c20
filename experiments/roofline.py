"""The record of a machine's roofline, from which chapter 01 draws its figure.

``python -m experiments.roofline`` measures this machine and the course's networks on it, and
rewrites ``data/results/roofline.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reference_impl.checked import Count, Positive, checked
from reference_impl.files import ROOT, write_atomically
from reference_impl.measuring import device_name, model_cost
from reference_impl.measuring.roofline import (
    EXAMPLE_SHAPE,
    RESULT,
    THREADS,
    batch_latency,
    measure_machine,
)
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300

COMMAND = "python -m experiments.roofline"
BATCHES = (1, 64)


def _points(models: Mapping[str, nn.Module], min_run_time: float) -> list[dict[str, Any]]:
    """Return each model's intensity (FLOP/byte) and measured speed (FLOP/s) at each batch size."""
    points = []
    for name, model in models.items():
        cost = model_cost(model, EXAMPLE_SHAPE)
        for batch in BATCHES:
            took = batch_latency(model, batch, min_run_time=min_run_time)
            point = {"model": name, "batch": batch, "intensity": cost.intensity(batch)}
            points.append(point | {"speed": 2 * batch * cost.macs / took})
    return points


@checked
def record(
    path: Path | str = RESULT, *, repeats: Count = 8, min_run_time: Positive = 0.2
) -> dict[str, Any]:
    """Measure this machine and the course's networks; write the record and return it.

    The best of several rounds is kept of each speed: a bound is what the machine can do, and
    whatever else runs on it can only slow it down.

    Raises:
        ValueError: if ``path`` is a folder.
        OSError: if the record cannot be written.
    """
    path = Path(path)
    if path.is_dir():  # known before anything is measured
        raise ValueError(f"path must be a file, got the folder {path}")
    networks: dict[str, nn.Module] = {"LeNet300": LeNet300(), "LeNet5": LeNet5()}
    networks |= {"teacher": ConvTeacher(), "student": ConvStudent()}
    for model in networks.values():
        model.to(memory_format=torch.channels_last)
    machines = [asdict(measure_machine(min_run_time=min_run_time)) for _ in range(repeats)]
    rounds = [_points(networks, min_run_time) for _ in range(repeats)]
    found = {
        "provenance": {
            "command": COMMAND,
            "date": datetime.now(UTC).date().isoformat(),
            "device": device_name(),
            "repeats": repeats,
            "seed": None,  # speeds do not depend on the weights' values
            "threads": THREADS,
            "versions": {"torch": torch.__version__},
        },
        "machine": {name: max(m[name] for m in machines) for name in machines[0]},
        "points": [
            {**same[0], "speed": max(point["speed"] for point in same)}
            for same in zip(*rounds, strict=True)
        ],
    }
    text = json.dumps(found, indent=2) + "\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))
    return found


if __name__ == "__main__":
    record()
    print(f"wrote {RESULT.relative_to(ROOT)}")
