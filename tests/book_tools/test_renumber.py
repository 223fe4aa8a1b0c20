"""Chapters move by one: their files, what names them, and their old addresses."""

import os
import re
import shutil
from pathlib import Path

import pytest

from book_tools.failures import BookError
from book_tools.files import ROOT
from book_tools.renumber import make_room, renumbered
from book_tools.site import check as site_check
from book_tools.site.links import Page


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("Chapter 05 and chapter 06", "Chapter 05 and chapter 07"),
        ("chapters 05, 06 and 09", "chapters 05, 07 and 10"),
        ("chapters 06 to 08; 09 seeds", "chapters 07 to 09; 09 seeds"),
        ("[chapter 06](06_sizes.ipynb)", "[chapter 07](07_sizes.ipynb)"),
        ("[06](06_sizes.ipynb) 06", "[07](07_sizes.ipynb) 06"),
        ("{doc}`06 Sizes <a/06_sizes>`", "{doc}`07 Sizes <a/07_sizes>`"),
        ("[06 Of 16 bits](a/06_sizes.ipynb)", "[07 Of 16 bits](a/07_sizes.ipynb)"),
        ("`chapters/06_sizes.ipynb::cell 06`", "`chapters/07_sizes.ipynb::cell 06`"),
        ("pytest chapters/06*.ipynb", "pytest chapters/07*.ipynb"),
        ("begin(seed=6), 06 bits, chapter 6", "begin(seed=6), 06 bits, chapter 6"),
        ("05_errors.ipynb, 106_sizes", "05_errors.ipynb, 106_sizes"),
    ],
)
def test_what_names_a_later_chapter_moves(text, moved):
    """Oracle: by hand."""
    assert renumbered(text, ["06_sizes"], 6) == moved


@pytest.fixture
def book(tmp_path):
    """Return a book of three chapters, the last two of which name each other."""
    (tmp_path / "chapters").mkdir()
    for name, text in {
        "05_errors": "nothing of chapter 05 moves",
        "06_sizes": "see [chapter 07](07_times.ipynb)",
        "07_times": "see [chapter 06](06_sizes.ipynb)",
    }.items():
        (tmp_path / f"chapters/{name}.ipynb").write_text(text, "utf-8")
    (tmp_path / "chapters/notation.md").write_text("| b | bits | 06 | 05 |", "utf-8")
    (tmp_path / "_toc.yml").write_text("- file: chapters/06_sizes\n", "utf-8")
    return tmp_path


def test_room_is_made(book):
    """Oracle: the files and their texts by hand; the redirects, read as the link check does."""
    make_room(book, 6)
    files = {path.name: path.read_text("utf-8") for path in (book / "chapters").iterdir()}
    assert files == {
        "05_errors.ipynb": "nothing of chapter 05 moves",
        "07_sizes.ipynb": "see [chapter 08](08_times.ipynb)",
        "08_times.ipynb": "see [chapter 07](07_sizes.ipynb)",
        "notation.md": "| b | bits | 07 | 05 |",
    }
    assert (book / "_toc.yml").read_text("utf-8") == "- file: chapters/07_sizes\n"
    page = Page(book / "_extra/chapters/07_times.html")
    assert page.redirects
    assert set(page.links) == {"08_times.html"}


def test_a_number_that_is_free_is_refused(book):
    """Oracle: the message; nothing has moved."""
    with pytest.raises(BookError, match=r"chapters/08_….ipynb must exist"):
        make_room(book, 8)
    assert (book / "chapters/07_times.ipynb").is_file()


def test_syllabi_and_questions_move_too(book):
    """Oracle: by hand; a number of minutes or of a result stays as it is."""
    folder = book / "instructors/questions"
    folder.mkdir(parents=True)
    course = 'read = ["05"]\nteach = ["06", "07"]\nplan = { talk = 06 }\n05 = []\n07 = [ 07 ]\n'
    (folder.parent / "course.toml").write_text(course)
    for number in ("05", "06"):
        text = f"# Questions on {number} Errors\n\n## {number}.1 Recall\n\n06 bits, chapter 06"
        (folder / f"{number}.md").write_text(text)
    make_room(book, 6)
    moved = 'read = ["05"]\nteach = ["07", "08"]\nplan = { talk = 06 }\n05 = []\n08 = [ 07 ]\n'
    assert (folder.parent / "course.toml").read_text() == moved
    assert sorted(path.name for path in folder.iterdir()) == ["05.md", "07.md"]
    text = (folder / "07.md").read_text()
    assert text == "# Questions on 07 Errors\n\n## 07.1 Recall\n\n06 bits, chapter 07"


def once_published(git) -> set[str]:
    """Return each page of a chapter that the history has had, without its end."""
    listed = git("log", "--format=", "--name-only", "--", "chapters")
    found = re.findall(r"^(chapters/[\w/]+)\.(?:ipynb|md)$", listed, re.MULTILINE)
    return {page for page in found if "/." not in page}


def present(page: str) -> str:
    """Return the page to which the redirects lead from an old one."""
    path = (ROOT / "_extra" / page).with_suffix(".html")
    if not path.is_file():
        return page
    to = Page(path).links[0].removesuffix(".html")
    return present(os.path.normpath(f"{Path(page).parent}/{to}"))


def test_each_page_that_was_ever_published_leads_to_one_that_is(git):
    """Oracle: git's history, and the files of the present pages."""
    if git("rev-parse", "--is-shallow-repository").strip() != "false":
        pytest.skip("needs the whole history")
    pages = {page: present(page) for page in once_published(git)}
    assert len(pages) > 30
    gone = [
        page
        for page, now in pages.items()
        if not any((ROOT / now).with_suffix(end).is_file() for end in (".md", ".ipynb"))
    ]
    assert gone == []


@pytest.mark.usefixtures("needs_chromium")
def test_a_moved_page_keeps_the_place_in_it(tmp_path):
    """Oracle: the address that Chromium shows in the end."""
    old = next((ROOT / "_extra/chapters").glob("*.html"))
    (to, *_) = Page(old).links
    shutil.copy(old, tmp_path / "old.html")
    (tmp_path / to).write_text('<title>New</title><p id="fig-a">Here.</p>', "utf-8")
    with site_check.served(tmp_path) as root, site_check.browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{root}old.html?q=x#fig-a")
        page.wait_for_url(f"**/{to}?q=x#fig-a")
