"""The process in which one learner's file runs.

Each result is a line of JSON: ``[name, passed, lines]``, or ``[null, false, [remark]]``.
"""

import json
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import exercises
from exercises.examination import Report, failure
from exercises.limits import contained
from exercises.submission import runnable

OUTPUT = 10 * 2**20
"""Bytes that a file may print, or write into one file."""

exercises.all_exercises()  # once, in the server from which the process of each file is forked


def _enclose(scratch: Path) -> None:
    """Begin a group of processes, in ``scratch``, whose output goes into a file of limited size."""
    os.chdir(scratch)
    with Path("printed.txt").open("wb") as printed:
        for number in (1, 2):
            os.dup2(printed.fileno(), number)
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 — not on Windows

        os.setsid()
        resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT, OUTPUT))


def _remark(text: str) -> Report:
    return Report(passed=False, lines=(text,))


def run(path: Path, say: Callable[[str | None, Report], None]) -> None:
    """Run a learner's file, and say what each call of ``check`` found and the first error."""

    def check(name: str, answer: Any) -> None:
        if name not in exercises.all_exercises():
            alike = ", ".join(get_close_matches(str(name), exercises.all_exercises()))
            meant = f"; did you mean {alike}?" if alike else ""
            say(None, _remark(f"no exercise has the name {name!r}{meant}"))
        elif answer is not ...:
            say(name, exercises.report(name, answer))

    try:
        parts = runnable(path)
    except ValueError as error:
        return say(None, _remark(str(error)))
    exercises.check = check
    names: dict[str, Any] = {"__name__": "__main__", "check": check, "hint": lambda _name: None}
    failed = False
    for part in parts:
        try:
            with contained():
                exec(part, names)
        except BaseException as error:  # noqa: BLE001 — a learner's code may raise anything
            if not failed:
                say(None, _remark(failure(error)))
            failed = True
    return None


def main(path: Path, results: Path, scratch: Path) -> None:
    """Run the file at ``path`` in the folder ``scratch``; write what it gave into ``results``."""
    _enclose(scratch)
    with results.open("w", encoding="utf-8") as file:

        def say(name: str | None, found: Report) -> None:
            file.write(json.dumps([name, found.passed, found.lines]) + "\n")
            file.flush()

        run(path, say)
    os._exit(0)  # without a last flush of what the file printed, which may be too much
