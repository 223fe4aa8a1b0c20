"""An experiment for tests of the runner: runs of no time, one of which may fail or be killed."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Run:
    """Double a number."""

    packages: ClassVar = ("numpy",)
    number: int
    seed: int | None = None
    how: str = ""
    """"raise", "interrupt", "sleep", "die", or the path of a file: die unless it is there."""

    def measured(self, dataset: object) -> dict[str, Any]:
        """Return the double."""
        del dataset
        if self.how == "raise":
            raise ArithmeticError("no double\nof this")
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "sleep":
            Path(f"{os.getpid()}.pid").touch()
            time.sleep(60)
        if self.how == "die" or (self.how and not Path(self.how).exists()):
            if self.how != "die":
                Path(self.how).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05 * (self.number == 0))  # the first is not the first to end
        return {"double": 2 * self.number}


@dataclass(frozen=True)
class Best:
    """What can only be planned when all numbers have been doubled."""

    place: ClassVar = ("best", "of all")
    number: int

    def measured(self, dataset: object) -> dict[str, Any]:
        """Return the number itself, as a tuple."""
        del dataset
        return {"number": (self.number,)}


PLAN = {number: Run(number, seed=number % 2) for number in range(6)}


def about() -> dict[str, Any]:
    """Return a setting."""
    return {"factor": 2, "provenance": {"unit": "none"}}


def planned(rows: Sequence[Mapping[str, Any]]) -> Iterator[Run | Best]:
    """Yield the numbers, then the best."""
    yield from PLAN.values()
    if {row["number"] for row in rows} >= set(PLAN):
        yield Best(max(row["double"] for row in rows))


def pretend() -> None:
    """Let this worker have other data."""
    from experiments import workers

    real = workers.fingerprint()
    workers.fingerprint = lambda: real | {"data": "0"}


def forget() -> None:
    """Let this worker not have the project."""
    sys.modules["experiments.workers"] = None
