"""What a chapter says of itself in its first cell: title, goals, needs and times."""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from nbformat import NotebookNode

from book_tools.failures import BookError
from book_tools.notebooks import chosen, exercises_in, markdown_of, read

_LINK = re.compile(r"\]\((\d\d)_[\w-]+\.ipynb\)")


@dataclass(frozen=True)
class Head:
    """The first cell of a chapter, and what the other cells add to it.

    Args:
        file: the notebook, such as ``chapters/02_min_max_rounding.ipynb``.
    """

    file: Path

    @property
    def number(self) -> str:
        """Return the chapter's two digits."""
        return self.file.name[:2]

    @property
    def title(self) -> str:
        """Return the chapter's heading."""
        return self._line(r"^# (.+)$")

    @property
    def link(self) -> str:
        """Return a Markdown link with number and title, for a page in ``chapters``."""
        return f"[{self.number} {self.title}]({self.file.name})"

    @property
    def goals(self) -> list[str]:
        """Return what a reader will be able to do."""
        listed = self._line(r"\*\*You will be able to\*\*\n\n((?:- .+\n)+)")
        return [line.removeprefix("- ") for line in listed.splitlines()]

    @property
    def needs(self) -> list[str]:
        """Return the chapters that the first sentence of “You need” names."""
        return _LINK.findall(self._needed[0])

    @property
    def uses(self) -> list[str]:
        """Return the chapters that later sentences of “You need” name."""
        return _LINK.findall(self._needed[1])

    @property
    def _needed(self) -> tuple[str, str]:
        stated = self._line(r"^(\*\*You need\*\* .+)$")
        first, _, rest = stated.partition(". ")
        return first, rest

    @property
    def minutes(self) -> int:
        """Return the minutes that reading takes, by the chapter's own statement."""
        return int(self._line(r"\*\*Time\*\*: (\d+) minutes to read"))

    @cached_property
    def notebook(self) -> NotebookNode:
        """Return the whole notebook."""
        return read(self.file)

    @cached_property
    def markdown(self) -> str:
        """Return the text of all Markdown cells."""
        return markdown_of(self.notebook)

    @property
    def exercises(self) -> dict[str, str]:
        """Return label → heading of the exercises."""
        return {f"ex-{name}": heading for name, heading in exercises_in(self.markdown).items()}

    def _line(self, pattern: str) -> str:
        if not (found := re.search(pattern, self.notebook.cells[0].source, re.MULTILINE)):
            raise BookError(f"{self.file.name}: its first cell has nothing like {pattern}")
        return found[1]


@cache
def heads() -> dict[str, Head]:
    """Return number → head of every chapter, in order."""
    return {file.name[:2]: Head(file) for file in chosen() if file.name[0].isdigit()}


def required(found: dict[str, Head]) -> dict[str, set[str]]:
    """Return for each chapter all that must come before it: its needs, and theirs."""
    every: dict[str, set[str]] = {}
    for number, head in found.items():  # a chapter needs earlier ones only
        every[number] = set(head.needs).union(*(every[need] for need in head.needs))
    return every


def direct(found: dict[str, Head]) -> list[tuple[str, str]]:
    """Return the needs (earlier, later) that do not follow from others."""
    every = required(found)
    return [
        (need, number)
        for number, head in found.items()
        for need in head.needs
        if not any(need in every[other] for other in head.needs)
    ]
