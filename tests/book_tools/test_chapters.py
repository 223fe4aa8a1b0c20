"""What chapters may have and must have: the counts, on chapters written here and on the book's."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book_tools import chapters
from book_tools.chapters import Chapter
from book_tools.notebooks import chosen, read

PATHS = [path for path in chosen() if path.name[0].isdigit()]
#: the chapter that answers questions has no formula of its own
WITHOUT = {"challenges_and_questions": ["The formula", "By hand", "In code", "On real data"]}


def chapter(*cells):
    return Chapter(new_notebook(cells=list(cells)))


def test_words_are_those_of_the_text():
    """Oracle: counted by hand."""
    text = "# A title\n\nThree words here, $a + b = c$ – and more.\n\n$$\nx = y\n$$ (eq-a)\n"
    table = "\n| not | counted |\n|:--|--:|\n| 1 | 2 |\n\n```{bibliography}\n:list: bullet\n```\n"
    code = "\n```python\na = 1\n```\n"
    exercise = f"````{{exercise}} By hand\n:label: ex-a\n{code}\nNot counted.\n````"
    assert chapter(*map(new_markdown_cell, (text + table, exercise))).words == 8


def test_lines_are_those_that_a_page_shows():
    """Oracle: counted by hand: neither blank ones, nor folded ones, nor those of a solution."""
    hidden = new_code_cell("a = 1\nb = 2")
    hidden.metadata["tags"] = ["hide-input"]
    gate = (
        new_markdown_cell("```{solution-start} ex-a\n```"),
        new_markdown_cell("```{solution-end}"),
    )
    cells = new_code_cell("x = 1\n\ny = 2"), hidden, gate[0], new_code_cell("z = 3"), gate[1]
    assert chapter(*cells, new_code_cell("w = 4")).lines == 3


def test_printed_truths_are_counted():
    """Oracle: two in an output; a word that begins like one, and code, do not count."""
    cell = new_code_cell("print(True)", outputs=[new_output("stream", text="True, False, Trueman")])
    assert chapter(cell).truths == 2


def test_what_is_missing_is_named():
    """Oracle: a chapter with one part, one exercise and a picture after the text."""
    picture = new_code_cell("", metadata={"mystnb": {}})
    text = new_markdown_cell("## Summary\n\n```{exercise} By hand: a sum\n:label: ex-a\n```")
    found = chapter(new_markdown_cell("# Title"), text, picture).missing
    assert found[0] == "a picture at the top"
    assert "Summary" not in found
    assert "exercise: By hand" not in found
    assert {"The idea", "exercise: Predict"} <= set(found)
    assert "a picture at the top" not in chapter(new_code_cell(""), picture, text).missing


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_chapter_keeps_to_its_limits(path):
    """Oracle: the limits of the book's guide for authors."""
    found = Chapter(read(path))
    assert found.words <= chapters.WORDS
    assert found.lines <= chapters.LINES
    assert found.truths == 0
    assert found.missing == WITHOUT.get(path.stem.split("_", 1)[1], [])


def test_the_command_prints_a_row_for_each_chapter(capsys):
    """Oracle: the numbers of two chapters."""
    last = PATHS[-1].name[:2]
    assert chapters.main(["02", last]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1:3]] == ["02", last]
    assert f"{last} lacks: The formula" in printed
