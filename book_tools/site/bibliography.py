"""Bibliography style of the book: entries are labelled by author and year, as the text cites them.

pybtex's own styles label by number or by initials, which no citation in the text shows.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from pybtex.database import Entry
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle


class AuthorYearLabels(BaseLabelStyle):
    """``Hinton et al., 2015``; a letter tells works of the same authors and year apart."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """Yield one label per entry, in order."""
        labels = []
        for entry in sorted_entries:
            persons, fields = dict(entry.persons or {}), dict(entry.fields or {})
            names = [" ".join(person.last_names) for person in persons["author"]]
            who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            label = f"{who}, {fields['year']}".replace("{", "").replace("}", "")
            labels.append(unicodedata.normalize("NFC", label))
        for place, label in enumerate(labels):
            letter = chr(ord("a") + labels[:place].count(label))
            yield label + letter * (labels.count(label) > 1)


class BookStyle(PlainStyle):
    """The plain style with the labels above."""

    default_label_style = AuthorYearLabels  # type: ignore[assignment]
