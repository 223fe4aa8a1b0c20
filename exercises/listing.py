"""All exercises of the course, with what the chapters and the notes say of each."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from exercises import notes_on

COURSE = Path(__file__).resolve().parents[1]

_EXERCISE = re.compile(r"^`{3,}\{exercise\} (.+)\n:label: ex-(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Listed:
    """One exercise: its checker's name, kind ("By hand"), title, part and number of its chapter."""

    name: str
    kind: str
    title: str
    part: str
    chapter: str
    difficulty: int
    minutes: int


@cache
def listed() -> tuple[Listed, ...]:
    """Return the exercises in the order of the book.

    Raises:
        FileNotFoundError: where the package is installed without the chapters.
    """
    toc = yaml.safe_load((COURSE / "_toc.yml").read_text("utf-8"))
    chapters = [
        (part["caption"], COURSE / f"{chapter['file']}.ipynb")
        for part in toc["parts"]
        for chapter in part["chapters"]
        if re.fullmatch(r"chapters/\d\d_\w+", chapter["file"])
    ]
    return tuple(one for part, path in chapters for one in _of_chapter(part, path))


def _of_chapter(part: str, path: Path) -> list[Listed]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    found = []
    for cell in cells:
        for heading, name in _EXERCISE.findall("".join(cell["source"])):
            kind, _, title = heading.partition(": ")
            note = notes_on(name)
            found.append(
                Listed(
                    *(name, kind, title, part, path.name[:2]),
                    *(note["difficulty"], note["minutes"]),
                )
            )
    return found
