"""Editions to hand out: ``make student``, ``make chapter CHAPTER=15``.

The students' edition has all chapters, or those that are named, without solutions and outputs. A
chapter alone has both. Each is a folder that holds what it runs with, and a zip of it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from book_tools.editions.edition import edition
from book_tools.editions.folder import lay, zipped
from book_tools.failures import explained
from book_tools.files import ROOT
from book_tools.notebooks import chosen, read, without_solutions

BUILD = ROOT / "_build"


def student_edition(paths: Sequence[Path], folder: Path) -> Path:
    """Make the students' edition of chapters in a folder; return its zip."""
    files, notebooks = [path.name for path in paths], {}
    for path in paths:
        asked = without_solutions(read(path).cells)
        notebooks[path.name] = edition(read(path), asked, files, outputs=False)
    lay(folder, notebooks)
    return zipped(folder)


def chapter_archive(path: Path, folder: Path) -> Path:
    """Make a chapter with all that it runs with in a folder; return its zip."""
    chapter = read(path)
    lay(folder, {path.name: edition(chapter, chapter.cells)})
    return zipped(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.editions.archives")
    parser.add_argument("edition", choices=("student", "chapter"))
    parser.add_argument("chapters", nargs="*", help="their numbers, such as 02; all by default")
    options = parser.parse_args(arguments)

    def make() -> str:
        paths = chosen(options.chapters)
        if options.edition == "student":
            made = [student_edition(paths, BUILD / "student")]
        else:
            made = [chapter_archive(path, BUILD / "chapters" / path.stem) for path in paths]
        return "\n".join(map(_line, made))

    return explained(make, f"make {options.edition}")


def _line(archive: Path) -> str:
    return f"{archive.relative_to(ROOT)}: {archive.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
