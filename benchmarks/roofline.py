"""Chapter 01: this machine's roofline, and the course's networks on it (a minute)."""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, ClassVar

import torch

from reference_impl import models
from reference_impl.data import Dataset
from reference_impl.measuring import model_cost
from reference_impl.measuring.roofline import EXAMPLE_SHAPE, batch_latency, measure_machine

NETWORKS = {
    "LeNet300": models.LeNet300,
    "LeNet5": models.LeNet5,
    "teacher": models.ConvTeacher,
    "student": models.ConvStudent,
}
BATCHES = (1, 64)
REPEATS, MIN_RUN_TIME = 8, 0.2


@dataclass(frozen=True)
class Run:
    """All speeds of this machine, which are the whole record."""

    place: ClassVar = ()

    def measured(self, _: Dataset) -> dict[str, Any]:
        """Return the machine's speeds, and each network's intensity (FLOP/byte) and speed (FLOP/s).

        The best of several rounds is kept of each speed: a bound is what the machine can do, and
        other programs can only make it slower.
        """
        machines = [asdict(measure_machine(min_run_time=MIN_RUN_TIME)) for _ in range(REPEATS)]
        fastest = {name: max(machine[name] for machine in machines) for name in machines[0]}
        points = []
        for (name, kind), batch in product(NETWORKS.items(), BATCHES):
            model = kind().to(memory_format=torch.channels_last)
            took = [batch_latency(model, batch, min_run_time=MIN_RUN_TIME) for _ in range(REPEATS)]
            cost = model_cost(model, EXAMPLE_SHAPE)
            point = {"model": name, "batch": batch, "intensity": cost.intensity(batch)}
            points.append(point | {"speed": 2 * batch * cost.macs / min(took)})
        return {"machine": fastest, "points": points}


PLAN = [Run()]


def about() -> dict[str, Any]:
    """Return how often each speed is measured; none depends on the weights' values."""
    return {"provenance": {"repeats": REPEATS}}
