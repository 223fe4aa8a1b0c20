"""Break a formula on purpose and see who notices: ``make mutants``.

Each entry of ``tests/mutants.toml`` replaces one piece of a module. In a copy of the project, the
module's unit tests and its chapter then run against the broken formula. Both must fail: a unit
test, so that a developer learns it in seconds, and a cell, so that no printed result of the
book is independent of the formula that it explains.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.toml"
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?:\[.*\])?(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """One broken formula: in ``file``, ``old`` (which occurs once) becomes ``new``."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    chapter: str

    def broken(self, source: str) -> str:
        """Return the source with the formula broken.

        Raises:
            ValueError: if ``old`` does not occur exactly once: the list is out of date.
        """
        if source.count(self.old) != 1:
            raise ValueError(
                f"{LIST.name}, {self.name!r}: old must occur once in {self.file}, "
                f"it occurs {source.count(self.old)} times"
            )
        return source.replace(self.old, self.new)


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Return the mutants of a list, each with the tests and the chapter of its group."""
    groups = tomllib.loads(path.read_text(encoding="utf-8"))["group"]
    return [
        Mutant(
            name=entry["name"],
            file=entry.get("file", group["file"]),
            old=entry["old"],
            new=entry["new"],
            tests=tuple(group["tests"]),
            chapter=group["chapter"],
        )
        for group in groups
        for entry in group["mutant"]
    ]


def copy_project(target: Path) -> None:
    """Copy what git tracks; ``data`` is linked: it is large and does not change."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if not name.startswith("data/") and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / "data").symlink_to(ROOT / "data")


@contextmanager
def applied(mutant: Mutant, project: Path) -> Iterator[None]:
    """Break the formula in the copy, and restore it afterwards."""
    file = project / mutant.file
    source = file.read_text(encoding="utf-8")
    file.write_text(mutant.broken(source), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(source, encoding="utf-8")


def first_failure(project: Path, targets: tuple[str, ...]) -> str:
    """Run pytest on the targets in the copy; return the first failure's name, or ''."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "--no-header", "-p",
         "no:cacheprovider", *targets],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if run.returncode == 0:
        return ""
    found = _FAILED.search(run.stdout)
    if run.returncode != 1 or found is None:
        raise RuntimeError(f"pytest broke down:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return found[1].split("::", 1)[-1] if "::" in found[1] else found[1]


def main() -> int:
    """Print a table; 1 if a mutant survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="words in the names of the mutants to run")
    chosen = parser.parse_args().names
    mutants = [m for m in read_mutants() if not chosen or any(word in m.name for word in chosen)]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        copy_project(project)
        for mutant in mutants:
            with applied(mutant, project):
                unit = first_failure(project, mutant.tests)
                cell = first_failure(project, (mutant.chapter,))
            survivors += not unit or not cell
            print(f"{mutant.name:<45}  {unit or 'SURVIVED':<60}  {cell or 'SURVIVED'}", flush=True)
    print(f"{len(mutants)} mutants, {survivors} unnoticed by a test or a cell")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
