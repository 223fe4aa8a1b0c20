"""Labels of the bibliography."""

import pytest
from pybtex.database import Entry, Person
from pybtex.plugin import find_plugin

from book_tools.site import bibliography
from book_tools.site.bibliography import AuthorYearLabels, author_year


def entry(*people: str, year: str = "2015", **fields: str) -> Entry:
    persons = {"author": [Person(name) for name in people]} if people else {}
    return Entry("article", {"title": "A Title", "year": year, **fields}, persons)


@pytest.mark.parametrize(
    ("people", "label"),
    [
        (["Hinton, Geoffrey"], "Hinton, 2015"),
        (["LeCun, Yann", "Bengio, Yoshua"], "LeCun and Bengio, 2015"),
        (["Han, Song", "Mao, Huizi", "Dally, William J."], "Han et al., 2015"),
        (["van Baalen, Mart"], "Baalen, 2015"),
        ([], "A Title, 2015"),
    ],
)
def test_a_work_is_labelled_as_the_text_cites_it(people: list[str], label: str) -> None:
    """Oracle: by hand."""
    assert author_year(entry(*people)) == label


def test_two_works_of_one_year_get_letters() -> None:
    """Oracle: by hand."""
    works = [entry("Han, Song"), entry("Gray, Robert"), entry("Han, Song")]
    assert list(AuthorYearLabels().format_labels(works)) == [
        "Han, 2015a",
        "Gray, 2015",
        "Han, 2015b",
    ]


def test_the_style_is_found_by_its_name() -> None:
    """Oracle: pybtex's own registry."""
    bibliography.register()
    assert find_plugin("pybtex.style.formatting", bibliography.NAME) is bibliography.BookStyle
