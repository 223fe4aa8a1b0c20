"""book_tools.notebooks: which notebooks are meant."""

import nbformat
import pytest

from book_tools.failures import BookError
from book_tools.files import ROOT
from book_tools.notebooks import chosen, read

NOTEBOOKS = sorted((ROOT / "chapters").glob("*.ipynb"))


def test_notebooks_are_named_by_their_chapters_numbers_or_their_files(tmp_path):
    """Oracle: the files in the folder."""
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    assert [path.name[:2] for path in chosen(["08", "2"])] == ["08", "02"]
    assert chosen([str(path)]) == [path]
    assert chosen() == chosen([]) == NOTEBOOKS


@pytest.mark.parametrize("name", ["77", "missing.ipynb", __file__])
def test_what_is_not_a_notebook_is_answered_with_the_numbers_of_the_chapters(name):
    """Oracle: the files in the folder."""
    with pytest.raises(BookError, match="there is no chapter ") as raised:
        chosen(["08", name])
    numbers = [path.stem[:2] for path in NOTEBOOKS if path.stem[0].isdigit()]
    assert str(raised.value).endswith(f"{name}; there are {numbers[0]} to {numbers[-1]}")


def test_a_file_that_is_not_a_notebook_is_named(tmp_path):
    """Oracle: the words."""
    (tmp_path / "a.ipynb").write_text("[1]")
    with pytest.raises(BookError, match=r"a\.ipynb is not a notebook"):
        read(tmp_path / "a.ipynb")
