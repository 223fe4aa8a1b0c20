"""The page ``chapters/exercises.md`` that lists all exercises: ``python -m exercises page``."""

from itertools import groupby
from pathlib import Path

from exercises.listing import COURSE, Listed, listed

_HEAD = Path(__file__).with_suffix(".md")

PATH = COURSE / "chapters" / "exercises.md"

_TABLE = """
## {part}

| exercise | title | chapter | kind | difficulty | minutes | name for `check` |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
"""


def page(limit: float, seconds: float) -> str:
    """Return the text of the page; the limits are those of an answer and of a file."""
    parts = [
        _TABLE.format(part=part, rows="\n".join(map(_row, rows)))
        for part, rows in groupby(listed(), key=lambda one: one.part)
    ]
    head = _HEAD.read_text("utf-8").format(count=len(listed()), limit=limit, seconds=seconds)
    return head + "".join(parts)


def _row(one: Listed) -> str:
    title = one.title or one.kind
    cells = (
        *(f"{{ref}}`ex-{one.name}`", title[0].upper() + title[1:], one.chapter, one.kind),
        *(str(one.difficulty), str(one.minutes), f"`{one.name}`"),
    )
    return f"| {' | '.join(cells)} |"
