"""One loop for every record: what is missing is measured, somewhere, and written at once."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from contextlib import suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.records import Found, Record
from experiments.workers import Hire, fashion_mnist, fingerprint, work

DEATHS = 3
"""Deaths of its worker after which a run is given up."""

Made = tuple[Found, dict[str, str]]
"""Results, and the machine on which they were measured."""


def make(name: str, module: str, path: Path, hire: Hire, at_once: int) -> bool:
    """Make the runs that a record lacks; return whether all of them could be made.

    Args:
        name: of the experiment.
        module: its module, which has ``planned(rows)``, the runs that can be planned given the
            rows of "runs", and ``measured(run, dataset)``, the results of one; it may have
            ``about()``, what the record holds besides, and ``PACKAGES``, whose versions count.
        path: of the record, which is written after each run.
        hire: opens an executor.
        at_once: how many runs are handed out at most.

    Raises:
        OSError: if the record cannot be read or written.
        ValueError: if it has another shape; or as ``hire``.
    """
    experiment = import_module(module)
    record = Record(path, f"python -m experiments {name}", getattr(experiment, "about", dict)())
    record.refuse_other_shape(experiment.planned([]))
    failed: set[Any] = set()
    deaths: Counter[Any] = Counter()

    def planned() -> tuple[list[Any], list[Any]]:
        """Return all runs that can be planned now, and those to be made."""
        plan = list(experiment.planned(record.rows))
        record.refuse_other_shape(plan)
        return plan, [run for run in plan if run not in failed and record.row(run) is None]

    plan, todo = planned()
    if not todo:
        held = f"{path} holds all {len(plan)} runs; --anew makes them again"
        print(f"{name}: {held if plan else 'its data are not here: python -m experiments'}")
        return True
    record.refuse_unwritable()
    fashion_mnist()  # what is missing or damaged is found here
    progress = _Progress(name, len(plan) - len(todo))
    while todo:
        with suppress(BrokenExecutor), hire() as executor:  # after a break others are hired
            while todo:
                progress.plan(len(plan), len(todo) + len(failed))
                suspects = [run for run in todo if deaths[run]]  # alone: who breaks it is known

                def submit(run: Any, executor: Executor = executor) -> Future[Made]:
                    return executor.submit(work, module, run, fingerprint())

                width = 1 if suspects else at_once
                for run, future in finished(suspects or todo, submit, width):
                    error = _error(future)
                    if isinstance(error, BrokenExecutor):
                        deaths[run] += 1
                        if deaths[run] < DEATHS:
                            continue
                        error = RuntimeError(f"its worker died {DEATHS} times (out of memory?)")
                    if error is None:
                        record.put(run, *future.result())
                        record.write(plan)
                        progress.finished(run)
                    else:
                        failed.add(run)
                        progress.failed(run, error)
                plan, todo = planned()
        plan, todo = planned()
    progress.close(len(failed))
    return not failed


def finished(
    runs: Iterable[Any], submit: Callable[[Any], Future[Made]], at_once: int
) -> Iterator[tuple[Any, Future[Made]]]:
    """Hand out runs, some at once, and yield each with its future when that is done."""
    waiting = iter(runs)
    out: dict[Future[Made], Any] = {}
    while True:
        for run in islice(waiting, at_once - len(out)):
            out[submit(run)] = run
        if not out:
            return
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            yield out.pop(future), future


def _error(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


class _Progress:
    """How far a record is: a bar in a terminal, a line for each run elsewhere."""

    def __init__(self, name: str, done: int) -> None:
        self.name, self.began, self.made = name, time.perf_counter(), 0
        self.bar = tqdm(initial=done, desc=name, unit="run", disable=None)

    def plan(self, total: int, missing: int) -> None:
        """Note how many runs can be planned, and how many of them are missing."""
        self.bar.total, self.total, self.missing = total, total, missing

    def finished(self, run: Any) -> None:
        """Show that a run is finished, and the time so far and left."""
        self.made, self.missing = self.made + 1, self.missing - 1
        self.bar.update()
        if self.bar.disable:
            so_far = time.perf_counter() - self.began
            left = so_far / self.made * self.missing
            passed, still = tqdm.format_interval(so_far), tqdm.format_interval(left)
            n = f"{self.total - self.missing} of {self.total}"
            print(f"{self.name}: {n}, {passed} so far, {still} left: {run}", flush=True)

    def failed(self, run: Any, error: BaseException) -> None:
        """Name a run with its error."""
        said = " ".join(f"{type(error).__name__}: {error}".split())
        tqdm.write(f"{self.name}: {run} failed: {said}", file=sys.stderr)

    def close(self, n_failed: int) -> None:
        """End the bar, and count what failed."""
        self.bar.close()
        if n_failed:
            said = f"{n_failed} of {self.total} runs failed; the same command tries them again"
            print(f"{self.name}: {said}", file=sys.stderr)
