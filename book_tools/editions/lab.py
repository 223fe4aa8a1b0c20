"""The learner's desk: copies of the chapters in ``work/``, opened in JupyterLab: ``make lab``.

A copy has no solutions; they stand in ``work/solutions``. A copy that exists is never touched: the
learner's answers are in it. If its chapter has changed since, one line says how to get the new one.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nbformat import NotebookNode

from book_tools.editions.edition import digest, edition, written
from book_tools.failures import explained
from book_tools.files import ROOT, write_whole
from book_tools.notebooks import chosen, exercises_solved, read, without_solutions

WORK = ROOT / "work"
_MADE_FROM = "made_from"  # in a copy's metadata: the checksum of the edition it was copied from


def copy_of(path: Path, files: Sequence[str]) -> tuple[NotebookNode, NotebookNode]:
    """Return a learner's copy of a chapter, and the solutions of its exercises."""
    chapter = read(path)
    copy = edition(chapter, without_solutions(chapter.cells), files, outputs=False)
    copy.metadata[_MADE_FROM] = digest(copy)
    return copy, edition(chapter, [chapter.cells[0], *exercises_solved(chapter.cells)])


def made_from(path: Path) -> str | None:
    """Return the checksum of the edition that a learner's copy was copied from, if it has one."""
    try:
        found = json.loads(path.read_text("utf-8"))["metadata"].get(_MADE_FROM)
    except (ValueError, KeyError, TypeError, AttributeError):  # whatever a learner's file may be
        return None
    return found if isinstance(found, str) else None


def laid_out(paths: Sequence[Path], work: Path = WORK) -> Iterator[str]:
    """Make the copies that do not exist yet; yield a line for each that is out of date."""
    (work / "solutions").mkdir(parents=True, exist_ok=True)
    files = [path.name for path in paths]
    for path in paths:
        mine = work / path.name
        copy, solutions = copy_of(path, files)
        write_whole(work / "solutions" / path.name, written(solutions))
        if not mine.exists():
            write_whole(mine, written(copy))
        elif made_from(mine) not in {None, copy.metadata[_MADE_FROM]}:
            yield f"{mine.name}: the chapter has changed. For the new one, rename yours and repeat."
    progress = work / "progress.json"
    if not progress.exists():
        write_whole(progress, "{}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="make lab", description=__doc__)
    parser.add_argument("chapter", nargs="?", help="the number of the chapter to open, such as 02")
    parser.add_argument("--make-only", action="store_true", help="do not open JupyterLab")
    options = parser.parse_args(arguments)

    opened = WORK

    def lay_out() -> str:
        nonlocal opened
        opened = WORK / chosen([options.chapter] if options.chapter else [])[0].name
        for line in laid_out(chosen()):
            print(line)
        return f"Your copies are in {WORK.name}/, the solutions in {WORK.name}/solutions/"

    status = explained(lay_out, "make lab")
    if status or options.make_only:
        return status
    try:
        return subprocess.call([sys.executable, "-m", "jupyterlab", str(opened)])
    except KeyboardInterrupt:
        return 0  # Ctrl-C is how one stops it


if __name__ == "__main__":
    sys.exit(main())
