"""Count what a chapter may have, and name what it lacks: ``python -m book_tools.chapters``.

Words are those of the text, without exercises, tables, displayed formulas and code. Lines of code
are those that a page shows unfolded, without solutions.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nbformat import NotebookNode

from book_tools.failures import explained
from book_tools.notebooks import (
    chosen,
    exercises_in,
    markdown_of,
    printed,
    read,
    without_solutions,
)
from reference_impl.notebook import Table

WORDS, LINES = 3500, 300  #: at most
#: how the headings of a chapter's parts begin, and the titles of its exercises
PARTS = (
    *("The question", "The idea", "The formula", "By hand", "In code", "On real data"),
    *("Where", "When to use what", "Summary", "Exercises", "How we know"),
    "What the source article says",
)
EXERCISES = "By hand", "Predict", "Spot the bug", "Implement", "Transfer"
_NO_PROSE = re.compile(r"^\$\$.*?^\$\$.*?$|^(`{3,}).*?^\1|^\|.*?$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Chapter:
    """A notebook, as a reader meets it."""

    notebook: NotebookNode

    @cached_property
    def words(self) -> int:
        """Return the number of words of the text; a formula in a line counts as one."""
        kept = _NO_PROSE.sub("", self._text.split("\n## References")[0])
        words = re.sub(r"\$[^$]*\$", "x", kept).split()
        return sum(bool(re.search(r"\w", word)) for word in words)

    @cached_property
    def lines(self) -> int:
        """Return the number of lines of code that are not folded, without blank ones."""
        shown = (c.source for c in self._outside if c.cell_type == "code" and not folded(c))
        return sum(bool(line.strip()) for source in shown for line in source.splitlines())

    @cached_property
    def truths(self) -> int:
        """Return how often the cells print True or False."""
        text = "\n".join(map(printed, self.notebook.cells))
        return len(re.findall(r"\b(?:True|False)\b", text))

    @cached_property
    def missing(self) -> list[str]:
        """Return the parts that the chapter lacks."""
        everything = markdown_of(self.notebook)
        headings = re.findall(r"^## (.+)$", everything, re.MULTILINE)
        titles = exercises_in(everything).values()
        figures = (i for i, c in enumerate(self.notebook.cells) if "mystnb" in c.metadata)
        texts = (i for i, c in enumerate(self.notebook.cells) if i and c.cell_type == "markdown")
        return [
            *(["a picture at the top"] if next(figures, 999) > next(texts, 0) else []),
            *(p for p in PARTS if not any(h.startswith(p) for h in headings)),
            *(f"exercise: {e}" for e in EXERCISES if not any(t.startswith(e) for t in titles)),
        ]

    @cached_property
    def _text(self) -> str:
        return "\n\n".join(c.source for c in self._outside if c.cell_type == "markdown")

    @cached_property
    def _outside(self) -> list[NotebookNode]:
        """Return the cells that belong neither to an exercise nor to a solution."""
        cells = without_solutions(self.notebook.cells)
        return [cell for cell in cells if "{exercise}" not in cell.source]


def folded(cell: NotebookNode) -> bool:
    """Return whether a page hides the input of a cell, until it is asked for or altogether."""
    return not {"hide-input", "remove-cell"}.isdisjoint(cell.metadata.get("tags", ()))


def counted(paths: Sequence[Path]) -> str:
    """Print the table, and what each chapter lacks; return a closing line."""
    chapters = {path.stem[:2]: Chapter(read(path)) for path in paths}
    heads = f"words (≤ {WORDS})", f"lines of code shown (≤ {LINES})", "True or False"
    rows = [[name, *map(str, (c.words, c.lines, c.truths))] for name, c in chapters.items()]
    print(Table(["chapter", *heads], rows))
    for name, chapter in chapters.items():
        if chapter.missing:
            print(f"{name} lacks: {', '.join(chapter.missing)}")
    return f"Chapters counted: {len(chapters)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: numbers or files of chapters; all by default."""
    given = sys.argv[1:] if arguments is None else arguments
    return explained(lambda: counted(_listed(given)), "python -m book_tools.chapters")


def _listed(given: Sequence[str]) -> list[Path]:
    """Return what was named, or all chapters: an appendix has a form of its own."""
    return [path for path in chosen(given) if given or path.name[0].isdigit()]


if __name__ == "__main__":
    sys.exit(main())
