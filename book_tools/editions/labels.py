"""What the labels of the book stand for, as the site numbers them: "Fig. 2.3", "(2.7)"."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from nbformat import NotebookNode
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

from book_tools.files import ROOT
from book_tools.notebooks import chosen, exercises_in, read

EQUATION = re.compile(r"^\$\$\n(.*?)\n\$\$(?: \((eq-[\w-]+)\))? *$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^:name: (tab-[\w-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Labels:
    """The names of what a text refers to, and the cited works."""

    names: Mapping[str, str]
    works: Mapping[str, Entry]


def _numbered(cells: Sequence[NotebookNode], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the labels of cells with the text that a reference to them shows."""
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    metadata = [cell.metadata.get("mystnb", {}) for cell in cells]
    kinds = {
        "({})": [label for _, label in EQUATION.findall(text) if label],
        "Fig. {}": [m["figure"]["name"] for m in metadata if "figure" in m],
        "Table {}": _TABLE.findall(text),
        "Exercise {}": [f"ex-{name}" for name in exercises_in(text)],
    }
    for form, found in kinds.items():
        for number, label in enumerate(found, start=1):
            yield label, form.format(f"{prefix}{number}")


@cache
def labels() -> Labels:
    """Return what all labels stand for: numbers begin in each chapter, and in the appendices."""
    parts: dict[str, list[NotebookNode]] = {}
    for path in chosen():
        prefix = f"{int(path.name[:2])}." if path.name[:2].isdigit() else ""
        parts.setdefault(prefix, []).extend(read(path).cells)
    names = {k: v for prefix, cells in parts.items() for k, v in _numbered(cells, prefix)}
    return Labels(names, parse_file(str(ROOT / "references.bib")).entries)


def year(entry: Entry) -> str:
    """Return the year of a work."""
    return str(dict(entry.fields or {})["year"])


def _shown(text: str) -> str:
    return unicodedata.normalize("NFC", re.sub(r"[{}]", "", text))


def authors(entry: Entry) -> str:
    """Return the authors as a citation names them: Han et al."""
    names = [_shown(" ".join(person.last_names)) for person in dict(entry.persons or {})["author"]]
    return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)


def reference(entry: Entry) -> str:
    """Return a work as a line of the list of references, in Markdown."""
    style = find_plugin("pybtex.style.formatting", "plain")()
    backend = find_plugin("pybtex.backends", "markdown")()
    (formatted,) = style.format_entries([entry])
    return " ".join(_shown(formatted.text.render(backend)).replace(r"\.", ".").split())
