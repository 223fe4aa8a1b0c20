"""Learners' files, each run in a process of its own; a folder of them becomes one table."""

import csv
import io
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock
from typing import Any

from exercises import by_chapter, worker
from exercises.examination import NO_ANSWER

_SERVED = sys.platform == "linux"  # macOS may not fork what has loaded torch
_PROCESSES: Any = multiprocessing.get_context("forkserver" if _SERVED else "spawn")
if _SERVED:
    _PROCESSES.set_forkserver_preload(["exercises.worker"])
_STATUSES = Lock()
"""Held where multiprocessing reads a status: two threads that read the same one get a wrong one."""

SECONDS = {".py": 120.0, ".ipynb": 600.0}
"""For one file: a notebook runs as a whole, with the experiments of its chapter."""

_NO_CALL = "it does not call check(name, answer)"
_NOT_YET = "no exercise is answered yet: each call of check still has dots for the answer"
_NOT_THEIRS = (worker.PRINTED, ".", "pymp-", "torchinductor", "matplotlib-")  # folders of libraries
_COURSE = {"reference_impl", "exercises", "experiments", "benchmarks", "book_tools"}
_CALLS = re.compile(rb"\bcheck\b")
_NAMED = 3
"""Names of files that a remark has at most."""


@dataclass
class Grade:
    """What a learner's file, or several, gave: passed or not, the lines, and the first remark."""

    passed: dict[str, bool] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def grade_file(path: Path, seconds: float | None = None) -> Grade:
    """Run one file in a process and a scratch folder of its own, and return what it gave.

    The process is killed after ``seconds``, by default those of its kind in `SECONDS`, with those
    that it started; what it had answered until then counts. This protects from a careless file, not
    from a malicious one.
    """
    seconds = seconds or SECONDS[path.suffix.lower()]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch, results = Path(folder) / "files", Path(folder) / "results"
        scratch.mkdir()
        status = _run(path.resolve(), results, scratch, seconds)
        found, ended, nothing = Grade(), False, _NO_CALL
        lines = results.read_text("utf-8").splitlines() if results.is_file() else []
        for name, passed, said in map(json.loads, lines):
            if name is None:
                found.remarks += said
                ended = passed
            elif said == [NO_ANSWER]:
                nothing = _NOT_YET
            else:
                found.passed[name], found.lines[name] = passed, said
        files = sorted(p.name for p in scratch.glob("*") if not p.name.startswith(_NOT_THEIRS))
    if status is None:
        found.remarks.insert(0, f"stopped after {seconds:g} seconds: is there an endless loop?")
    elif not ended:
        found.remarks.append(f"it ended Python itself, with the status {status}")
    elif not found.passed and not found.remarks:
        found.remarks.append(nothing)
    if files:
        more = ", …" if len(files) > _NAMED else ""
        found.remarks.append(f"it writes files: {', '.join(files[:_NAMED])}{more}")
    return found


def _run(path: Path, results: Path, scratch: Path, seconds: float) -> int | None:
    """Run the worker; return its status, None if it was killed."""
    ready, begun = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=worker.main, args=(path, results, scratch, begun))
    with _STATUSES:
        process.start()
    begun.close()
    wait([process.sentinel, ready])  # until all is imported, which does not count
    wait([process.sentinel], seconds)
    with _STATUSES:
        status: int | None = process.exitcode
        if hasattr(os, "killpg") and process.pid is not None:
            with suppress(ProcessLookupError):  # none is left if all have ended
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    return status


def grade_folder(folder: Path, seconds: float | None = None) -> str:
    """Return the table of a folder as CSV: a row a learner, a column an exercise.

    A learner is what the folder holds: a file, or a folder with files that call ``check``, however
    deep; the course's own packages are left out. The columns are the exercises of all chapters that
    occur: 1 for a right answer, 0 for a wrong one, empty for none. The last answer in a file
    counts; of several files of one learner, the better answer. Points are the sum.

    Raises:
        ValueError: if the folder holds no Python file and no notebook.
    """
    found = {path: _files(path) for path in sorted(folder.iterdir()) if _visible(path)}
    files = [file for one in found.values() for file in one]
    if not files:
        raise ValueError(f"{folder}: no .py or .ipynb file in it or in its folders")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(files, pool.map(lambda p: grade_file(p, seconds), files), strict=True))
    rows: dict[str, Grade] = {}
    for path, own in found.items():
        row = rows.setdefault(path.name if path.is_dir() else path.stem, Grade())
        for file in own:
            row.passed |= {
                n: p or row.passed.get(n, False) for n, p in results[file].passed.items()
            }
            where = path.name if file == path else file.relative_to(path).as_posix()
            row.remarks += [f"{where}: {remark}" for remark in results[file].remarks]
        if row.passed:  # another file of theirs may have a comment on `check`, or only dots
            row.remarks = [one for one in row.remarks if not one.endswith((_NO_CALL, _NOT_YET))]
        if not own:
            row.remarks.append(f"{path.name}: no .py or .ipynb file that calls check")
    return _table(rows)


def _visible(path: Path) -> bool:
    """Return whether a learner made a file or folder, and not Jupyter, pip, this command, …."""
    ours = path.name in _COURSE and (path / "__init__.py").is_file()
    hidden = path.name.startswith((".", "__")) or path.name == "site-packages"
    return not ours and not hidden and path.suffix.lower() != ".csv"


def _files(path: Path) -> list[Path]:
    """Return the Python file or notebook that a path is, or those in it that call ``check``."""
    below = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [
        one
        for one in below
        if one.suffix.lower() in SECONDS
        and not one.is_dir()
        and all(_visible(path / part) for part in (one, *one.relative_to(path).parents[:-1]))
        and (one == path or _calls(one))
    ]


def _calls(path: Path) -> bool:
    """Return whether a file mentions ``check``; a file that cannot be read becomes a remark."""
    try:
        return bool(_CALLS.search(path.read_bytes().replace(b"\0", b"")))  # in UTF-16, too
    except OSError:
        return True


def _table(rows: dict[str, Grade]) -> str:
    tried = {name for row in rows.values() for name in row.passed}
    names = [name for found in by_chapter().values() if tried & set(found) for name in found]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", "points", "remark", *names])
    for learner, row in rows.items():
        marks = [str(int(row.passed[name])) if name in row.passed else "" for name in names]
        writer.writerow([learner, sum(row.passed.values()), "; ".join(row.remarks), *marks])
    return out.getvalue()
