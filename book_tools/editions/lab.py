"""The learner's desk: copies of the chapters in ``work/``, opened in JupyterLab: ``make lab``.

A copy has no solutions; they are in ``work/solutions``. A copy in which a learner has changed a
cell is never touched: the answers are in it. If its chapter has changed since, one line says how to
get the new one. Other copies follow their chapters.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nbformat import NotebookNode

from book_tools.editions.edition import digest, edition, written
from book_tools.failures import BookError, explained
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


def sums(path: Path) -> tuple[str | None, str]:
    """Return the checksum of the edition that a copy was made from, and that of its cells now."""
    try:
        mine = read(path)
        return mine.metadata.get(_MADE_FROM), digest(mine)
    except (BookError, AttributeError):  # whatever a learner's file may be
        return None, ""


def laid_out(paths: Sequence[Path], work: Path = WORK) -> Iterator[str]:
    """Make the copies that are missing or unchanged; yield a line for each that is out of date."""
    (work / "solutions").mkdir(parents=True, exist_ok=True)
    files = [path.name for path in paths]
    for path in paths:
        mine = work / path.name
        copy, solutions = copy_of(path, files)
        origin, now = sums(mine) if mine.exists() else ("", "")
        if origin not in {None, now, copy.metadata[_MADE_FROM]}:
            yield (
                f"{mine.name}: the chapter has changed. For the new one, rename yours, as by "
                f"`mv work/{mine.name} work/my_{mine.name}`, and repeat; your progress is kept."
            )
            continue  # the solutions in the folder are those of this copy
        if origin != copy.metadata[_MADE_FROM] and origin == now:
            write_whole(mine, written(copy))
        write_whole(work / "solutions" / path.name, written(solutions))
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
        return (
            f"Your copies are in {WORK.name}/, the solutions in {WORK.name}/solutions/. "
            "Run one cell at a time (Shift+Enter): some ask before the next one tells."
        )

    status = explained(lay_out, "make lab")
    if status or options.make_only:
        return status
    try:
        return subprocess.call([sys.executable, "-m", "jupyterlab", str(opened)])
    except KeyboardInterrupt:
        return 0  # Ctrl-C is how one stops it


if __name__ == "__main__":
    sys.exit(main())
