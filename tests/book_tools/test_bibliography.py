"""Labels of the bibliography."""

from unittest.mock import Mock

from pybtex.database import Entry, Person
from pybtex.plugin import find_plugin

from book_tools.site import extension
from book_tools.site.bibliography import AuthorYearLabels, BookStyle

WORKS = {
    "Hinton, 2015": ["Hinton, Geoffrey"],
    "LeCun and Bengio, 2015": ["LeCun, Yann", "Bengio, Yoshua"],
    "Han et al., 2015a": ["Han, Song", "Mao, Huizi", "Dally, William J."],
    "Baalen, 2015": ["van Baalen, Mart"],
    "Han et al., 2015b": ["Han, Song", "Pool, Jeff", "Dally, William J."],
    "Koll\N{LATIN SMALL LETTER A WITH ACUTE}r, 2015": ["Kolla\N{COMBINING ACUTE ACCENT}r, I."],
}


def test_a_work_is_labelled_as_the_text_cites_it() -> None:
    """Oracle: by hand; two works of the same authors and year get letters."""
    entries = [
        Entry("article", {"year": "2015"}, {"author": [Person(name) for name in names]})
        for names in WORKS.values()
    ]
    assert list(AuthorYearLabels().format_labels(entries)) == list(WORKS)


def test_the_style_is_found_by_its_name() -> None:
    """Oracle: pybtex's own registry; the name stands in _config.yml."""
    extension.setup(Mock())
    assert find_plugin("pybtex.style.formatting", "book_author_year") is BookStyle
