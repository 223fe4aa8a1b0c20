"""Bibliography style of the book: entries are labelled by author and year, as the text cites them.

pybtex's own styles label by number or by initials, which no citation in the text shows.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle

NAME = "book_author_year"


def author_year(entry: Entry) -> str:
    """Return ``Hinton et al., 2015`` for an entry; a title stands in for missing authors."""
    persons, fields = dict(entry.persons or {}), dict(entry.fields or {})
    people = persons.get("author") or persons.get("editor") or []
    names = [" ".join(person.last_names) for person in people]
    if len(names) > 2:
        who = f"{names[0]} et al."
    else:
        who = " and ".join(names) or str(fields.get("title", entry.key))
    who = unicodedata.normalize("NFC", who).replace("{", "").replace("}", "")
    return f"{who}, {fields.get('year', 'n.d.')}"


class AuthorYearLabels(BaseLabelStyle):
    """Author and year; a letter tells two works of the same authors and year apart."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """Yield one label per entry, in order."""
        labels = [author_year(entry) for entry in sorted_entries]
        times, seen = Counter(labels), Counter[str]()
        for label in labels:
            letter = chr(ord("a") + seen[label]) if times[label] > 1 else ""
            seen[label] += 1
            yield label + letter


class BookStyle(PlainStyle):
    """The plain style with the labels above."""

    default_label_style = AuthorYearLabels  # type: ignore[assignment]


def register() -> None:
    """Make the style known to pybtex under ``NAME``."""
    register_plugin("pybtex.style.formatting", NAME, BookStyle)
