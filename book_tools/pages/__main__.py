"""Write everything that follows from chapters, tests and records: ``make pages``.

What would be the same is left alone: a picture that another version of a library draws a little
differently is not a change to commit.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from book_tools.comparing.figures import figure_difference, raster_difference
from book_tools.failures import explained
from book_tools.files import ROOT, write_whole
from book_tools.pages import exercises, first_cells, formulas, pictures, status, teaching

MAKERS: Mapping[str, Callable[[], Mapping[Path, str | bytes]]] = {
    "formulas": formulas.pages,
    "exercises": exercises.pages,
    "teaching": teaching.pages,
    "status": status.pages,
    "first cells": first_cells.pages,
    "pictures": pictures.pages,
}
"""Each returns path → content of the files that it makes."""


def is_stale(path: Path, made: str | bytes) -> bool:
    """Return whether a file has to be written: it is not there, or says or shows something else."""
    if not path.is_file():
        return True
    if isinstance(made, bytes):
        return raster_difference(path.read_bytes(), made) is not None
    kept = path.read_text("utf-8")
    if path in (pictures.PICTURE, pictures.TALL):
        return figure_difference(kept, made) is not None
    return kept != made


def write() -> str:
    """Write what is stale; return a closing line with the names of these files."""
    made = {path: content for make in MAKERS.values() for path, content in make().items()}
    stale = [path for path, content in made.items() if is_stale(path, content)]
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, made[path])
    names = ", ".join(path.relative_to(ROOT).as_posix() for path in stale)
    return f"Written: {names}" if stale else f"All {len(made)} files are up to date"


if __name__ == "__main__":
    sys.exit(explained(write, "make pages"))
