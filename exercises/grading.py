"""Learners' files, each run in a process of its own; a folder of them becomes one table."""

import csv
import io
import json
import multiprocessing
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock
from typing import Any

from exercises import by_chapter, worker

_SERVED = "forkserver" in multiprocessing.get_all_start_methods()  # not on Windows
_PROCESSES: Any = multiprocessing.get_context("forkserver" if _SERVED else "spawn")
if _SERVED:
    _PROCESSES.set_forkserver_preload(["exercises.worker"])
_STATUSES = Lock()
"""Held where multiprocessing reads a status: two threads that read the same one get a wrong one."""

SECONDS = 120.0
"""For one file."""


@dataclass
class Graded:
    """What a learner's file, or several, gave: passed or not, the lines, and the first remark."""

    passed: dict[str, bool] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def graded(path: Path, seconds: float = SECONDS) -> Graded:
    """Run one file in a process and a scratch folder of its own, and return what it gave.

    The process is killed after ``seconds``, with those that it started; what it had answered
    until then counts. It keeps a careless file from harm, not a malicious one.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch, results = Path(folder) / "files", Path(folder) / "results"
        scratch.mkdir()
        status = _run(path.resolve(), results, scratch, seconds)
        found = Graded()
        lines = results.read_text("utf-8").splitlines() if results.is_file() else []
        for name, passed, said in map(json.loads, lines):
            if name is None:
                found.remarks += said
            else:
                found.passed[name], found.lines[name] = passed, said
    if status is None:
        found.remarks.insert(0, f"stopped after {seconds:g} seconds: is there an endless loop?")
    elif status and not found.remarks:
        found.remarks.append(f"it ended Python itself, with the status {status}")
    elif not lines:
        found.remarks.append("it gives no answer by check(name, answer)")
    return found


def _run(path: Path, results: Path, scratch: Path, seconds: float) -> int | None:
    """Run the worker; return its status, None if it was killed."""
    process = _PROCESSES.Process(target=worker.main, args=(path, results, scratch))
    with _STATUSES:
        process.start()
    wait([process.sentinel], seconds)
    with _STATUSES:
        status: int | None = process.exitcode
        if hasattr(os, "killpg") and process.pid is not None:
            with suppress(ProcessLookupError):  # there is no such group if nothing is left of it
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    return status


def of_folder(folder: Path, seconds: float = SECONDS) -> str:
    """Return the table of a folder as CSV: a row a learner, a column an exercise.

    A learner is a file, or a folder with several. The columns are the exercises of all chapters
    that occur: 1 for a right answer, 0 for a wrong one, empty for none. Points are the sum.

    Raises:
        ValueError: if the folder holds no Python file and no notebook.
    """
    files = sorted(
        path
        for path in [*folder.glob("*"), *folder.glob("*/*")]
        if path.suffix.lower() in {".py", ".ipynb"} and not path.is_dir()
    )
    if not files:
        raise ValueError(f"{folder}: no .py or .ipynb file in it or in its folders")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows: dict[str, Graded] = {}
        for path, one in zip(files, pool.map(lambda p: graded(p, seconds), files), strict=True):
            learner = path.stem if path.parent == folder else path.parent.name
            row = rows.setdefault(learner, Graded())
            row.passed |= one.passed
            row.remarks += [f"{path.name}: {remark}" for remark in one.remarks]
    return _table(rows)


def _table(rows: dict[str, Graded]) -> str:
    tried = {name for row in rows.values() for name in row.passed}
    names = [name for found in by_chapter().values() if tried & set(found) for name in found]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", "points", "remark", *names])
    for learner, row in rows.items():
        marks = [str(int(row.passed[name])) if name in row.passed else "" for name in names]
        writer.writerow([learner, sum(row.passed.values()), "; ".join(row.remarks), *marks])
    return out.getvalue()
