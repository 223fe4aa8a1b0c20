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
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from multiprocessing.connection import Connection
from pathlib import Path

import nbformat  # noqa: F401 — loaded once, before the forks
import pytest
import torch  # noqa: F401

from book_tools.files import ROOT
from book_tools.formulas import formulas

LIST = ROOT / "tests" / "mutants.toml"


@dataclass(frozen=True)
class Mutant:
    """Labelled equations broken: in ``file``, ``old`` (which occurs once) becomes ``new``."""

    file: str
    breaks: tuple[str, ...]
    old: str
    new: str

    def broken(self, source: str) -> str:
        """Return the source with the formula broken."""
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"old must occur once in {self.file}, got {self.old!r} {count} times")
        return source.replace(self.old, self.new)


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Return the mutants of a list."""
    return [
        Mutant(module["file"], tuple(m["breaks"].split(", ")), m["old"], m["new"])
        for module in tomllib.loads(path.read_text(encoding="utf-8"))["module"]
        for m in module["mutants"]
    ]


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
    original = file.read_text(encoding="utf-8")
    compiled = Path(cache_from_source(str(file)))  # two versions of one second look alike to it
    try:
        file.write_text(source, encoding="utf-8")
        compiled.unlink(missing_ok=True)
        yield
    finally:
        file.write_text(original, encoding="utf-8")
        compiled.unlink(missing_ok=True)


def first_failure(targets: Iterable[str], seconds: float | None = None) -> str:
    """Return the first test or cell of this folder that fails, or ''; a timeout is a failure.

    pytest runs in a fork of this process, in which torch is loaded and nothing of the project.
    """
    targets = list(targets)
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


def _run(targets: list[str], sending: Connection) -> None:
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


def main() -> int:
    """Print who noticed each mutant; 1 if nobody did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", default=["eq-"], help="parts of labels or of files")
    parser.add_argument("--tests", action="store_true", help="run the unit tests, not the chapters")
    given = parser.parse_args()
    wanted = [m for m in read_mutants() if any(w in f"{m.file} {m.breaks}" for w in given.words)]
    if not wanted:
        parser.error(f"words must be in a label or a file of {LIST.name}, got {given.words}")
    equations, noticed = {formula.label: formula for formula in formulas()}, []
    with copied_project():
        for mutant in wanted:
            file = Path(mutant.file)
            with rewritten(file, mutant.broken(file.read_text(encoding="utf-8"))):
                for formula in map(equations.__getitem__, mutant.breaks):
                    test = first_failure(f"{place.file}::{place.name}" for place in formula.tests)
                    chapter = formula.chapter.relative_to(ROOT).as_posix()
                    cell = "not run" if given.tests else first_failure([chapter])
                    noticed.append(bool(test and cell))
                    test, cell = test or "SURVIVED", cell or "SURVIVED"
                    print(f"{formula.label:<30}  {test:<75}  {cell}", flush=True)
    print(f"{sum(noticed)} of {len(noticed)} noticed")
    return 0 if all(noticed) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("mutants: stopped")
