"""What a chapter says of itself in its first cell: title, goals, needs and times."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from book_tools.files import ROOT

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

    @property
    def run(self) -> str:
        """Return how long the chapter says that it runs."""
        return self._line(r"minutes to read[,;] (.+?) to run")

    @cached_property
    def cells(self) -> list[dict[str, object]]:
        """Return the cells of the notebook."""
        found: list[dict[str, object]] = json.loads(self.file.read_text("utf-8"))["cells"]
        return found

    @cached_property
    def markdown(self) -> str:
        """Return the text of all Markdown cells."""
        texts = ("".join(c["source"]) for c in self.cells if c["cell_type"] == "markdown")  # type: ignore[arg-type]
        return "\n\n".join(texts)

    @property
    def exercises(self) -> dict[str, str]:
        """Return label → title of the exercises."""
        found = re.findall(r"^`{3,}\{exercise\} (.+)\n:label: (ex-[\w-]+)", self.markdown, re.M)
        return {label: name for name, label in found}

    def _line(self, pattern: str) -> str:
        first = "".join(self.cells[0]["source"])  # type: ignore[arg-type]
        if not (found := re.search(pattern, first, re.MULTILINE)):
            raise ValueError(f"{self.file.name}: its first cell has nothing like {pattern}")
        return found[1]


def heads(root: Path = ROOT) -> dict[str, Head]:
    """Return number → head of every chapter, in order."""
    files = sorted((root / "chapters").glob("[0-9]*.ipynb"))
    return {file.name[:2]: Head(file) for file in files}


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
