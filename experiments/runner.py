"""One loop for every record: what is missing is measured, somewhere, and written at once."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.records import Found, Record, alone
from experiments.workers import Hire, Made, fashion_mnist, fingerprint, work

TRIES = 3  #: deaths of its worker after which a run is given up


def make(
    name: str, module: str, path: Path, hire: Hire, at_once: int, *, anew: bool = False
) -> bool:
    """Make the runs that a record lacks; return whether all of them could be made.

    The module of an experiment has ``PLAN``, its runs, or ``planned(rows)``, those that can be
    planned given the rows of "runs"; and it may have ``about()``, what the record holds besides. A
    run has ``measured(dataset)``, its results, and perhaps ``packages`` whose versions count. The
    record is written after each run; ``anew``, in a file beside it that replaces it at the end.

    What prevents it is an OSError or a ValueError of one line.
    """
    experiment = import_module(module)
    growing = path.with_name(f"{path.name}.part") if anew else path
    about: Found = getattr(experiment, "about", dict)()
    record = Record(growing, f"python -m experiments {name}", about)
    plan, todo = _plan(experiment, record)
    if not todo and not (anew and growing.exists()):
        held = f"{path} holds all {len(plan)} runs; --anew makes them again"
        print(f"{name}: {held if plan else 'its data are not here: python -m experiments'}")
        return True
    with alone(path):
        record.read()  # another command may just have written it
        versions = record.found["provenance"].get("versions", {})
        if anew and growing.exists() and versions.get("sources") != fingerprint()["sources"]:
            raise ValueError(f"{growing} was begun by other code: delete it to begin again")
        fashion_mnist()  # what is missing or damaged is found here
        n_failed = _fill(record, name, experiment, hire, at_once)
        if n_failed:
            said = f"{n_failed} of {len(plan)} runs failed; the same command tries them again"
            print(f"{name}: {said}", file=sys.stderr)
        elif anew:
            growing.replace(path)
    return not n_failed


def runs_of(experiment: Any, rows: Sequence[Found]) -> list[Any]:
    """Return the runs that can be planned, given the rows of "runs"."""
    return list(experiment.planned(rows) if hasattr(experiment, "planned") else experiment.PLAN)


def _plan(experiment: Any, record: Record) -> tuple[list[Any], list[Any]]:
    """Return all runs that can be planned now, and those that the record lacks."""
    for run in runs_of(experiment, []):
        record.row(run)  # is refused if it could not stand there
    plan = runs_of(experiment, record.found.get("runs", []))
    return plan, [run for run in plan if record.row(run) is None]


def _fill(record: Record, name: str, experiment: Any, hire: Hire, at_once: int) -> int:
    """Make what the record lacks, in rounds; return how many runs failed."""
    failed: set[Any] = set()
    deaths: Counter[Any] = Counter()
    n_made = 0
    began = time.perf_counter()
    while True:
        plan, missing = _plan(experiment, record)
        todo = [run for run in missing if run not in failed]
        if not todo:
            return len(failed)
        suspects = [run for run in todo if deaths[run]]  # alone: who breaks it is known
        now, most = (suspects, 1) if suspects else (todo, at_once)
        n_held = len(plan) - len(missing) - n_made
        with suppress(BrokenExecutor), hire() as executor:  # after a break others are hired
            for run, future in finished(now, executor, most):
                try:
                    error = future.exception()
                except futures.CancelledError as cancelled:
                    error = cancelled
                if isinstance(error, BrokenExecutor):
                    deaths[run] += 1
                    if deaths[run] < TRIES:
                        continue
                    error = RuntimeError(f"its worker died {TRIES} times (out of memory?)")
                if error is not None:
                    failed.add(run)
                    said = " ".join(f"{type(error).__name__}: {error}".split())
                    print(f"{name}: {run} failed: {said}", file=sys.stderr)
                else:
                    record.put(run, *future.result())
                    record.write(plan)
                    n_made += 1
                    took, n = time.perf_counter() - began, n_held + n_made
                    meter = tqdm.format_meter(n, len(plan), took, prefix=name, initial=n_held)
                    print(f"{meter} {run}", flush=True)


def finished(
    runs: Iterable[Any], executor: Executor, at_once: int
) -> Iterator[tuple[Any, Future[Made]]]:
    """Hand out runs, some at once, and yield each with its future when that is done."""
    waiting = iter(runs)
    out: dict[Future[Made], Any] = {}
    while True:
        for run in islice(waiting, at_once - len(out)):
            out[executor.submit(work, fingerprint(), run)] = run
        if not out:
            return
        for future in futures.wait(out, return_when=futures.FIRST_COMPLETED).done:
            yield out.pop(future), future
