"""How long a call takes on this machine: median and spread, threads and device stated."""

import logging
import platform
import statistics
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import torch

from reference_impl.checked import Count, NonNegative, Positive, Where, checked

Name = TypeVar("Name", bound=Hashable)


@checked
@dataclass(frozen=True)
class Latency:
    """The time of one call in seconds."""

    median: Positive  # over the runs; each is the mean of a block of calls
    iqr: NonNegative  # interquartile range, the width of the middle half of the runs
    runs: Count
    threads: Count
    device: str


@checked
def measure_latency(
    function: Callable[[], object], *, threads: Count | None = None, min_run_time: Positive = 0.2
) -> Latency:
    """Return the median time of ``function()``, by ``torch.utils.benchmark``.

    The call is warmed up first, then repeated in blocks long enough for the clock, for
    ``min_run_time`` seconds at least. ``threads`` are torch's while it runs, restored afterwards;
    None takes the present number.
    """
    with _quiet_import():
        from torch.utils.benchmark import Timer  # noqa: PLC0415 — see _quiet_import
    threads = threads or torch.get_num_threads()
    timer = Timer("function()", globals={"function": function}, num_threads=threads)
    measured = timer.blocked_autorange(min_run_time=min_run_time)
    runs = len(measured.times)
    return Latency(measured.median, measured.iqr, runs, threads, device=device_name())


@checked
def compare_latencies(
    functions: Annotated[Mapping[Name, Callable[[], object]], Where("of one or more", bool)],
    *,
    threads: Count | None = None,
    rounds: Count = 7,
    min_run_time: Positive = 0.05,
    summary: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[Name, float]:
    """Return the seconds of one call of each function: median over rounds that take turns.

    In every round each function is measured once, so that a machine that is busy for a while
    slows all of them alike. Where it is busy now and then, ``min`` over many rounds compares the
    quiet ones: that is the ``summary``. The rest is as in `measure_latency`, for each round.
    """
    times: dict[Name, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            took = measure_latency(function, threads=threads, min_run_time=min_run_time)
            times[name].append(took.median)
    return {name: summary(found) for name, found in times.items()}


def device_name() -> str:
    """Return the processor's name as the system has it, such as ``AMD EPYC 7B13``."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Hush one message: torch.utils.benchmark warns when nvcc is installed without a GPU."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
