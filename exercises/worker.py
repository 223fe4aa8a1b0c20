"""The process in which one learner's file runs.

Each result is a line of JSON: ``[name, passed, lines]``, or ``[null, false, [remark]]``; the last
one is ``[null, true, []]`` unless the file ended its process itself.
"""

import json
import multiprocessing.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import exercises
from exercises import report
from exercises.examination import Report, failure
from exercises.limits import contained
from exercises.submission import runnable

OUTPUT = 10 * 2**20
"""Bytes that a file may print, or write into one file."""

MEMORY = 4 * 2**30
"""Bytes of data that a file may hold in memory; enforced on Linux."""

PRINTED = "printed.txt"
"""What a file prints goes into this one, in its folder."""

_CHANGES = {
    *("os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.utime", "os.mkdir"),
    *("os.link", "os.symlink", "shutil.rmtree"),
}
"""Events whose first two arguments hold the files or folders that are changed."""

exercises.all_exercises()  # once, in the server from which the process of each file is forked


def _enclose(scratch: Path) -> None:
    """Begin a group of processes, in ``scratch``, whose output goes into a file of limited size."""
    os.chdir(scratch)
    with Path(PRINTED).open("wb") as printed:
        for number in (1, 2):
            os.dup2(printed.fileno(), number)
    os.environ |= {"MPLBACKEND": "Agg", "TMPDIR": str(scratch)}  # no window that waits for a click
    tempfile.tempdir = str(scratch)
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)  # as many files as processors are graded at a time
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 — not on Windows

        os.setsid()
        resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT, OUTPUT))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    folders = (scratch.resolve(), multiprocessing.util.get_temp_dir(), os.devnull, "/dev")
    sys.addaudithook(partial(_guard, tuple(Path(one).parts for one in folders)))


def _guard(own: tuple[tuple[str, ...], ...], event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to change a file or folder outside of ``own`` (an audit hook of Python)."""
    if event == "open":
        if not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
    elif event not in _CHANGES:
        return
    for path in arguments[:2]:
        if isinstance(path, str | bytes | os.PathLike):
            full = Path(os.path.realpath(os.fsdecode(path)))
            if not any(full.parts[: len(one)] == one for one in own):
                raise PermissionError(f"a graded file may change its own folder only, not {full}")
            if event == "open":  # its second argument is a mode
                return


def _remark(text: str) -> Report:
    return Report(passed=False, lines=(text,))


def _misnamed(name: object) -> str:
    """Return what to say of a name that no exercise has."""
    if not isinstance(name, str):
        return f"check takes the name of an exercise first, got a {type(name).__name__}"
    return exercises.misnamed(name)


def run(path: Path, say: Callable[[str | None, Report], None]) -> None:
    """Run a learner's file, and say what each call of ``check`` found and what went wrong.

    Of the errors, only the first is said: it causes most of the others. Cells of a notebook that
    cannot be compiled are said one by one.
    """

    def check(name: str, answer: Any) -> None:
        if not isinstance(name, str) or name not in exercises.all_exercises():
            say(None, _remark(_misnamed(name)))
        else:
            say(name, report(name, answer))

    check.__qualname__ = "check"  # as a message names it
    try:
        parts = runnable(path)
    except ValueError as error:
        return say(None, _remark(str(error)))
    exercises.check = check
    sys.path.append(str(path.parent))  # last: a learner's random.py is not Python's
    sys.modules["__main__"] = ModuleType("__main__")  # where pickle looks for a learner's classes
    names = vars(sys.modules["__main__"])
    names |= {"__file__": str(path), "check": check}
    names |= {"hint": lambda _name: None, "display": lambda *_, **__: None}
    failed = False
    for part in parts:
        if isinstance(part, SyntaxError):
            say(None, _remark(part.msg))
            continue
        try:
            with contained():
                exec(part, names)
        except BaseException as error:  # noqa: BLE001 — a learner's code may raise anything
            if not failed:
                say(None, _remark(failure(error)))
            failed = True
    return None


def main(path: Path, results: Path, scratch: Path, begun: Connection) -> None:
    """Run the file at ``path`` in the folder ``scratch``; write what it gave into ``results``.

    ``begun`` is closed when all that the file needs has been imported.
    """
    with results.open("w", encoding="utf-8") as file:

        def say(name: str | None, found: Report) -> None:
            file.write(json.dumps([name, found.passed, found.lines]) + "\n")
            file.flush()

        _enclose(scratch)
        begun.close()
        run(path, say)
        say(None, Report(passed=True, lines=()))  # the file has come to its end
    os._exit(0)  # without a last flush of what the file printed, which may be too much
