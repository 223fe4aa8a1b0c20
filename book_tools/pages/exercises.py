"""The page that lists all exercises, from the table of contents, the chapters and the notes."""

import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import yaml

from book_tools.files import ROOT
from book_tools.notebooks import exercises_in, markdown_of, read
from exercises import notes_on
from exercises.limits import LIMIT

_HEAD = Path(__file__).with_suffix(".md")
_TABLE = """
## {part}

{{.exercises-table}}
| exercise | title | kind | difficulty | minutes | name for `check` |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


@dataclass(frozen=True)
class Listed:
    """One exercise: its checker's name, kind ("By hand"), title, and the part of its chapter."""

    name: str
    kind: str
    title: str
    part: str
    difficulty: int
    minutes: int


@cache
def listed() -> tuple[Listed, ...]:
    """Return the exercises in the order of the book."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [
        (part["caption"], ROOT / f"{chapter['file']}.ipynb")
        for part in toc["parts"]
        for chapter in part["chapters"]
        if re.fullmatch(r"chapters/\d\d_\w+", chapter["file"])
    ]
    return tuple(one for part, path in chapters for one in _of_chapter(part, path))


def _of_chapter(part: str, path: Path) -> list[Listed]:
    found = []
    for name, heading in exercises_in(markdown_of(read(path))).items():
        kind, _, title = heading.partition(": ")
        note = notes_on(name)
        effort = note["difficulty"], note["minutes"]
        found.append(Listed(name, kind, title, part, *effort))
    return found


def pages() -> dict[Path, str]:
    """Return path → text of the page."""
    parts = [
        _TABLE.format(part=part, rows="\n".join(map(_row, rows)))
        for part, rows in groupby(listed(), key=lambda one: one.part)
    ]
    head = _HEAD.read_text("utf-8").format(count=len(listed()), limit=LIMIT)
    return {ROOT / "chapters" / "exercises.md": head + "".join(parts)}


def _row(one: Listed) -> str:
    cells = (
        *(f"{{ref}}`ex-{one.name}`", one.title[:1].upper() + one.title[1:] or "–", one.kind),
        *(str(one.difficulty), str(one.minutes), f"`{one.name}`"),
    )
    return f"| {' | '.join(cells)} |"
