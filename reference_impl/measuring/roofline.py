"""The roofline: which of two speeds, arithmetic or memory, limits a computation.

``python -m reference_impl.measuring.roofline`` measures this machine and the course's networks
on it, and rewrites ``data/results/roofline.json``, from which chapter 01 draws its figure.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reference_impl.checks import require_instance, require_int, require_real
from reference_impl.files import ROOT, write_atomically
from reference_impl.measuring.cost import model_cost
from reference_impl.measuring.latency import device_name, measure_latency
from reference_impl.measuring.size import require_module
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300

RESULT = ROOT / "data" / "results" / "roofline.json"
"""The recorded measurement."""

COMMAND = "python -m reference_impl.measuring.roofline"
BATCHES = (1, 64)
EXAMPLE_SHAPE = (1, 28, 28)
MEMORY_BYTES = 128 * 2**20
CACHE_BYTES = 2**19
THREADS = 1
"""All speeds are those of one core: small networks lose with two when one of them is busy."""


@dataclass(frozen=True)
class Machine:
    """The three speeds of a machine that the roofline needs.

    Args:
        peak: operations per second in float32 (FLOP/s).
        memory: bytes per second to and from main memory.
        cache: bytes per second to and from a cache that holds half a mebibyte.

    Raises:
        TypeError: if a speed is no real number.
        ValueError: if it is not positive and finite.
    """

    peak: float
    memory: float
    cache: float

    def __post_init__(self) -> None:
        """Refuse speeds that no machine has."""
        require_real("peak", self.peak, 0, open_low=True)
        require_real("memory", self.memory, 0, open_low=True)
        require_real("cache", self.cache, 0, open_low=True)

    @property
    def ridge(self) -> float:
        """Return I* = peak / memory, the intensity at which the two limits meet (FLOP/byte)."""
        return self.peak / self.memory


def attainable(intensity: float, *, peak: float, bandwidth: float) -> float:
    """Return min(peak, I · bandwidth), the speed that a computation cannot exceed (FLOP/s).

    The limit holds for the memory that the bytes come from: the bandwidth of main memory says
    nothing about data that stay in a cache.

    Args:
        intensity: I, operations per byte moved.
        peak: operations per second.
        bandwidth: bytes per second, of the memory that holds the data.

    Raises:
        TypeError: if an argument is no real number.
        ValueError: if it is not positive and finite.

    References:
        Williams, Waterman & Patterson (2009), section 3.

    >>> attainable(0.5, peak=100e9, bandwidth=10e9)
    5000000000.0

    Equation: eq-cost-roofline, chapter 01.
    """
    require_real("intensity", intensity, 0, open_low=True)
    require_real("peak", peak, 0, open_low=True)
    require_real("bandwidth", bandwidth, 0, open_low=True)
    return float(min(peak, intensity * bandwidth))


def least_time(operations: float, moved: float, *, peak: float, bandwidth: float) -> float:
    """Return max(operations / peak, moved / bandwidth), the seconds that must pass at least.

    Arithmetic and traffic may overlap, but neither can take less than its own time.

    Args:
        operations: 2 n MACs, for n examples.
        moved: bytes read and written.
        peak: operations per second.
        bandwidth: bytes per second.

    Raises:
        TypeError: if an argument is no real number.
        ValueError: if one is not finite, a count is negative or a speed not positive.

    >>> least_time(2e9, 1e9, peak=100e9, bandwidth=10e9)
    0.1

    Equation: eq-cost-time, chapter 01.
    """
    require_real("operations", operations, 0)
    require_real("moved", moved, 0)
    require_real("peak", peak, 0, open_low=True)
    require_real("bandwidth", bandwidth, 0, open_low=True)
    return float(max(operations / peak, moved / bandwidth))


def measure_peak(size: int = 512, *, min_run_time: float = 0.2) -> float:
    """Return 2 size³ / t, with t the time of one float32 product of square matrices (FLOP/s).

    A large product is what a processor does best: each number of a factor enters ``size``
    products.

    Raises:
        TypeError: if ``size`` is no integer.
        ValueError: if it is not positive.
    """
    require_int("size", size, 1)
    left, right = torch.ones(size, size), torch.ones(size, size)
    took = measure_latency(
        lambda: torch.mm(left, right), threads=THREADS, min_run_time=min_run_time
    )
    return 2 * size**3 / took.median


def measure_bandwidth(n_bytes: int = MEMORY_BYTES, *, min_run_time: float = 0.2) -> float:
    """Return 2 n_bytes / t, with t the time to copy a tensor of ``n_bytes`` (bytes/s).

    A copy reads every byte once and writes it once: each counts twice. Where the tensor is
    larger than the caches, this is the speed of main memory; where it fits, of the cache.

    Raises:
        TypeError: if ``n_bytes`` is no integer.
        ValueError: if it is less than one float32.
    """
    require_int("n_bytes", n_bytes, 4)
    source = torch.ones(n_bytes // 4)
    target = torch.empty_like(source)
    took = measure_latency(lambda: target.copy_(source), threads=THREADS, min_run_time=min_run_time)
    return 2 * source.numel() * 4 / took.median


def measure_machine(*, min_run_time: float = 0.2) -> Machine:
    """Return the speeds of one core of this machine."""
    return Machine(
        peak=measure_peak(min_run_time=min_run_time),
        memory=measure_bandwidth(MEMORY_BYTES, min_run_time=min_run_time),
        cache=measure_bandwidth(CACHE_BYTES, min_run_time=min_run_time),
    )


def measure_points(
    models: Mapping[str, nn.Module], *, min_run_time: float = 0.2
) -> list[dict[str, Any]]:
    """Return each model's intensity (FLOP/byte) and measured speed (FLOP/s) at each batch size."""
    points = []
    for name, model in models.items():
        cost = model_cost(model, EXAMPLE_SHAPE)
        for batch in BATCHES:
            speed = 2 * batch * cost.macs / batch_latency(model, batch, min_run_time=min_run_time)
            points.append(
                {"model": name, "batch": batch, "intensity": cost.intensity(batch), "speed": speed}
            )
    return points


def batch_latency(model: nn.Module, batch: int, *, min_run_time: float = 0.2) -> float:
    """Return the median seconds of one call of ``model`` on ``batch`` images of 28 × 28.

    Args:
        model: left as it is; a copy of it runs, in eval mode.
        batch: how many images.
        min_run_time: seconds to spend at least.

    Raises:
        TypeError: if ``model`` is no module or a number is none.
        ValueError: if a number is not positive.
    """
    require_module(model)
    require_int("batch", batch, 1)
    run, images = copy.deepcopy(model).eval(), torch.zeros(batch, *EXAMPLE_SHAPE)
    with torch.inference_mode():
        took = measure_latency(lambda: run(images), threads=THREADS, min_run_time=min_run_time)
    return took.median


def record(
    path: Path | str = RESULT, *, repeats: int = 8, min_run_time: float = 0.2
) -> dict[str, Any]:
    """Measure this machine and the course's networks; write the record and return it.

    Of each speed the best of several rounds is kept: a bound is what the machine can do, and
    whatever else runs on it can only slow it down.

    Args:
        path: of the record, checked before anything is measured.
        repeats: rounds.
        min_run_time: seconds per speed and round.

    Raises:
        TypeError: if ``path`` is neither a path nor a string, or a number is none.
        ValueError: if ``path`` is a folder, or a number is out of range.
        OSError: if the record cannot be written.
    """
    require_instance("path", path, (Path, str))
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must be a file, got the folder {path}")
    require_int("repeats", repeats, 1)
    networks: dict[str, nn.Module] = {"LeNet300": LeNet300(), "LeNet5": LeNet5()}
    networks |= {"teacher": ConvTeacher(), "student": ConvStudent()}
    for model in networks.values():
        model.to(memory_format=torch.channels_last)
    machines = [asdict(measure_machine(min_run_time=min_run_time)) for _ in range(repeats)]
    rounds = [measure_points(networks, min_run_time=min_run_time) for _ in range(repeats)]
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
    print(f"wrote {RESULT.relative_to(ROOT)}")  # noqa: T201 — a command's output
