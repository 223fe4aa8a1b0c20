"""How long a call takes on this machine: median and spread, threads and device stated."""

import logging
import platform
import statistics
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from reference_impl.checks import require_int, require_real

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Latency:
    """The time of one call in seconds.

    Args:
        median: over the runs; half of them took less.
        iqr: interquartile range, the width of the middle half of the runs.
        runs: how many times were taken; each is the mean of a block of calls.
        threads: of torch during the measurement.
        device: the processor's name.

    Raises:
        TypeError: if a number is none.
        ValueError: if one is out of range.
    """

    median: float
    iqr: float
    runs: int
    threads: int
    device: str

    def __post_init__(self) -> None:
        """Refuse what no clock can have shown."""
        require_real("median", self.median, 0, open_low=True)
        require_real("iqr", self.iqr, 0)
        require_int("runs", self.runs, 1)
        require_int("threads", self.threads, 1)


def measure_latency(
    function: Callable[[], object], *, threads: int | None = None, min_run_time: float = 0.2
) -> Latency:
    """Return the median time of ``function()``, by ``torch.utils.benchmark``.

    The call is warmed up first, then repeated in blocks long enough for the clock.

    Args:
        function: called without arguments; what it returns is thrown away.
        threads: of torch while it runs, restored afterwards; None takes the present number.
        min_run_time: seconds to spend at least.

    Raises:
        TypeError: if ``function`` cannot be called or a number is none.
        ValueError: if a number is out of range.
    """
    if not callable(function):
        raise TypeError(f"function must be callable, got {type(function).__name__}")
    threads = torch.get_num_threads() if threads is None else threads
    require_int("threads", threads, 1)
    require_real("min_run_time", min_run_time, 0, open_low=True)
    with _quiet_import():
        from torch.utils.benchmark import Timer  # noqa: PLC0415 — see _quiet_import
    timer = Timer("function()", globals={"function": function}, num_threads=threads)
    measured = timer.blocked_autorange(min_run_time=min_run_time)
    return Latency(
        median=measured.median,
        iqr=measured.iqr,
        runs=len(measured.times),
        threads=threads,
        device=device_name(),
    )


def compare_latencies(
    functions: Mapping[Name, Callable[[], object]],
    *,
    threads: int | None = None,
    rounds: int = 7,
    min_run_time: float = 0.05,
    summary: Callable[[Sequence[float]], float] = statistics.median,
) -> dict[Name, float]:
    """Return the seconds of one call of each function: median over rounds that take turns.

    In every round each function is measured once, so that a machine that is busy for a while
    slows all of them alike. Where it is busy now and then, ``min`` over many rounds compares the
    quiet ones.

    Args:
        functions: name → what to call without arguments.
        threads: of torch while they run, restored afterwards; None takes the present number.
        rounds: how many times each is measured.
        min_run_time: seconds per function and round.
        summary: of the times of the rounds, the median or ``min``.

    Raises:
        TypeError: if ``functions`` is no mapping of callables, ``summary`` none, or a number none.
        ValueError: if ``functions`` is empty or a number out of range.
    """
    if not isinstance(functions, Mapping):
        raise TypeError(f"functions must be a mapping, got {type(functions).__name__}")
    if not functions:
        raise ValueError("functions must not be empty, got {}")
    require_int("rounds", rounds, 1)
    if not callable(summary):
        raise TypeError(f"summary must be callable, got {type(summary).__name__}")
    times: dict[Name, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            took = measure_latency(function, threads=threads, min_run_time=min_run_time)
            times[name].append(took.median)
    return {name: summary(found) for name, found in times.items()}


def device_name() -> str:
    """Return the processor's name as the system tells it, such as ``AMD EPYC 7B13``."""
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
