"""Labels of the bibliography."""

from pybtex.database import Entry, Person

from book_tools.site.bibliography import AuthorYearLabels

WORKS = {
    "Hinton, 2015": ["Hinton, Geoffrey"],
    "LeCun and Bengio, 2015": ["LeCun, Yann", "Bengio, Yoshua"],
    "Han et al., 2015a": ["Han, Song", "Mao, Huizi", "Dally, William J."],
    "Baalen, 2015": ["van Baalen, Mart"],
    "Han et al., 2015b": ["Han, Song", "Pool, Jeff", "Dally, William J."],
    "B\N{LATIN SMALL LETTER U WITH DIAERESIS}hl, 2015": ["Bu\N{COMBINING DIAERESIS}hl, P"],
}


def test_a_work_is_labelled_as_the_text_cites_it() -> None:
    """Oracle: by hand; two works of the same authors and year get letters."""
    entries = [
        Entry("article", {"year": "2015"}, {"author": [Person(name) for name in names]})
        for names in WORKS.values()
    ]
    assert list(AuthorYearLabels().format_labels(entries)) == list(WORKS)
