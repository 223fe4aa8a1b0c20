"""Break each labelled equation on purpose and see who notices: ``make mutants``.

Each entry of ``tests/mutants.toml`` replaces one piece of a module in a copy of the project. Then
an oracle test of the equation must fail, so that a developer learns it in seconds, and so must a
cell of its chapter, so that no printed result of the book is independent of the formula.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from importlib.util import cache_from_source
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nbformat  # noqa: F401 — loaded once, before the forks
import pytest
import torch  # noqa: F401

from book_tools.failures import BookError, explained
from book_tools.files import ROOT
from book_tools.pages.formulas import formulas
from book_tools.pages.record import keep

LIST = ROOT / "tests" / "mutants.toml"


@dataclass(frozen=True)
class Change:
    """A module of the project with one piece exchanged, and groups of tests that must notice."""

    text: str
    file: Path
    source: str
    groups: Sequence[Sequence[str]]


def read_mutants(path: Path = LIST) -> list[Change]:
    """Return a change for each equation that a mutant of the list breaks; its text is the label."""
    equations, found = {formula.label: formula for formula in formulas()}, []
    for module in tomllib.loads(path.read_text("utf-8"))["module"]:
        file = Path(module["file"])
        source = (ROOT / file).read_text("utf-8")
        for mutant in module["mutants"]:
            old = mutant["old"]
            if (count := source.count(old)) != 1:
                raise ValueError(f"old must occur once in {file}, got {old!r} {count} times")
            for label in mutant["breaks"].split(", "):
                tests = [f"{place.file}::{place.name}" for place in equations[label].tests]
                chapter = equations[label].chapter.relative_to(ROOT).as_posix()
                broken = source.replace(old, mutant["new"])
                found.append(Change(label, file, broken, (tests, [chapter])))
    return found


@contextmanager
def copied_project() -> Iterator[None]:
    """Work in a copy of the project; ``data`` is linked: it is large and does not change."""
    if not hasattr(os, "fork"):
        raise SystemExit("mutants: this needs a system that forks: Linux, macOS or WSL")
    unneeded = shutil.ignore_patterns(".*", "_build", "data", "__pycache__", "*.egg-info")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        shutil.copytree(ROOT, folder, ignore=unneeded, dirs_exist_ok=True)
        Path("data").symlink_to(ROOT / "data")
        yield


@contextmanager
def rewritten(file: Path, source: str) -> Iterator[None]:
    """Give a file of the copy another source, and restore it afterwards."""
    original = file.read_text("utf-8")
    compiled = Path(cache_from_source(str(file)))  # two versions of one second look alike to it
    try:
        file.write_text(source, "utf-8")
        compiled.unlink(missing_ok=True)
        yield
    finally:
        file.write_text(original, "utf-8")
        compiled.unlink(missing_ok=True)


def first_failure(targets: Sequence[str], seconds: float | None = None) -> str:
    """Return the first test or cell of this folder that fails, or ''; a timeout is a failure.

    pytest runs in a fork of this process, in which torch is loaded and nothing of the project.
    """
    receiving, sending = multiprocessing.Pipe(duplex=False)
    run = multiprocessing.get_context("fork").Process(target=_run, args=(targets, sending))
    run.start()
    sending.close()
    try:
        code, name = receiving.recv() if receiving.poll(seconds) else (1, "timeout")
    except EOFError:
        code, name = 1, "crash"
    finally:
        run.kill()
        run.join()
    if not targets or code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise ValueError(f"targets must be tests of the project, got {targets}")
    return name if code else ""


def _run(targets: Sequence[str], sending: Connection) -> None:
    sys.path.insert(0, str(Path.cwd()))
    os.environ |= {"PYTHONPATH": sys.path[0], "CI": "1"}  # CI: hypothesis draws the same examples
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    failures = []

    class Listener:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            failures.extend([report.nodeid] * report.failed)

    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider"]
    if any(target.endswith(".ipynb") for target in targets):
        options += ["--nbval-cell-timeout=1200"]  # a busy machine must not count as a test
    code = pytest.main([*options, *targets], plugins=[Listener()])
    sending.send((code, failures[0].split("::", 1)[-1] if failures else "import"))


def tried(changes: Iterable[Change]) -> Iterator[tuple[Change, list[str]]]:
    """Yield who noticed each change: a failing test of each group, or ``""``.

    A group must pass before anything is changed. The time that it takes sets its limit, and what
    runs longer has noticed.
    """
    limits: dict[frozenset[str], float] = {}
    for change in changes:
        for group in change.groups:
            if frozenset(group) not in limits:
                began = time.monotonic()
                if failure := first_failure(group):
                    raise SystemExit(f"tests must pass before anything is changed, {failure} fails")
                limits[frozenset(group)] = 30 + 3 * (time.monotonic() - began)
        with rewritten(change.file, change.source):
            failures = [first_failure(group, limits[frozenset(group)]) for group in change.groups]
        yield change, failures


class Noticed:
    """What the page on the status needs: whether a test and a cell noticed each label's changes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.entries: dict[str, dict[str, Any]] = {}

    def add(self, label: str, names: Sequence[str]) -> None:
        """Keep one change; a label with several changes needs all of them noticed."""
        entry = self.entries.setdefault(label, {"date": date.today().isoformat()})
        for group, name in zip(("test", "cell"), names, strict=False):  # without chapters: tests
            entry[group] = entry.get(group, True) and bool(name)
        keep("mutants", {label: entry})


def main() -> str:
    """Print who noticed each mutant, and return how many were noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", default=["eq-"], help="parts of labels or of files")
    parser.add_argument("--tests", action="store_true", help="run the unit tests, not the chapters")
    given = parser.parse_args()
    wanted = [c for c in read_mutants() if any(w in f"{c.file} {c.text}" for w in given.words)]
    if not wanted:
        parser.error(f"words must be in a label or a file of {LIST.name}, got {given.words}")
    if given.tests:
        wanted = [replace(change, groups=change.groups[:1]) for change in wanted]
    noticed, record = [], Noticed()
    with copied_project():
        for change, names in tried(wanted):
            noticed.append(all(names))
            record.add(change.text, names)
            shown = "  ".join(f"{name or 'SURVIVED':<75}" for name in names)
            print(f"{change.text:<30}  {shown.strip()}", flush=True)
    score = f"{sum(noticed)} of {len(noticed)} noticed"
    if not all(noticed):
        raise BookError(score)
    return score


if __name__ == "__main__":
    sys.exit(explained(main, "make mutants"))
