"""Chapter 01: this machine's roofline, and the course's networks on it (a minute)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from reference_impl.data import Dataset
from reference_impl.measuring import model_cost
from reference_impl.measuring.roofline import EXAMPLE_SHAPE, batch_latency, measure_machine
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300

NETWORKS = {
    "LeNet300": LeNet300,
    "LeNet5": LeNet5,
    "teacher": ConvTeacher,
    "student": ConvStudent,
}
BATCHES = (1, 64)
REPEATS, MIN_RUN_TIME = 8, 0.2


@dataclass(frozen=True)
class Run:
    """All speeds of this machine, which are the whole record."""

    place: ClassVar = ()


def about() -> dict[str, Any]:
    """Return how often each speed is measured; none depends on the weights' values."""
    return {"provenance": {"repeats": REPEATS}}


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield the one run."""
    yield Run()


def measured(_: Run, __: Dataset) -> dict[str, Any]:
    """Return the machine's speeds, and each network's intensity (FLOP/byte) and speed (FLOP/s).

    The best of several rounds is kept of each speed: a bound is what the machine can do, and
    other programs can only make it slower.
    """
    models = {name: make().to(memory_format=torch.channels_last) for name, make in NETWORKS.items()}
    settings = [(name, model, batch) for name, model in models.items() for batch in BATCHES]
    machines = [asdict(measure_machine(min_run_time=MIN_RUN_TIME)) for _ in range(REPEATS)]
    rounds = [
        [batch_latency(model, batch, min_run_time=MIN_RUN_TIME) for _, model, batch in settings]
        for _ in range(REPEATS)
    ]
    points = []
    for (name, model, batch), took in zip(settings, zip(*rounds, strict=True), strict=True):
        cost = model_cost(model, EXAMPLE_SHAPE)
        point = {"model": name, "batch": batch, "intensity": cost.intensity(batch)}
        points.append(point | {"speed": 2 * batch * cost.macs / min(took)})
    fastest = {name: max(machine[name] for machine in machines) for name in machines[0]}
    return {"machine": fastest, "points": points}
