"""The site checker against small sites, each with one thing wrong."""

import random
import shutil
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath

import pytest
from playwright.sync_api import BrowserContext

from book_tools.failures import BookError
from book_tools.site import check as site_check
from book_tools.site.check import browser_path, main, page_problems, served
from book_tools.site.links import broken_links, html_files
from tests.book_tools.faulty_pages import ALSO, HEAD, LINKED, SEEN, TAIL, WELL

FINDS = """<ul id="search-results"></ul><script>
if (location.search.includes("formula"))
  document.getElementById("search-results").innerHTML = '<li><a href="b.html">b</a></li>';
</script>"""


def write_site(folder: Path, body: str, name: str = "a.html") -> Path:
    """Write a page with that body, and another that is well."""
    (folder / name).write_text(HEAD + body + TAIL, "utf-8")
    for well in ("b.html", "index.html"):
        (folder / well).write_text(HEAD + '<p id="there">b</p>' + TAIL, "utf-8")
    return folder


def problems(chromium: BrowserContext, site: Path, name: str = "a.html") -> list[str]:
    with served(site) as root:
        return page_problems(chromium, root, name)


@pytest.fixture(scope="module")
def seen(chromium, tmp_path_factory):
    """What is told of one page with all faults."""
    body = "".join(fault for fault, _ in SEEN.values())
    return problems(chromium, write_site(tmp_path_factory.mktemp("seen"), body))


@pytest.mark.parametrize("what", SEEN)
def test_what_is_wrong_in_the_browser_is_reported(seen, what):
    """Oracle: the words that only this fault of the page can cause."""
    _, message = SEEN[what]
    assert any(message in problem for problem in seen)


def test_only_what_is_wrong_is_reported(seen):
    """Oracle: the table of faults, and what else these faults cause."""
    known = [*ALSO, *(message for _, message in SEEN.values())]
    assert [p for p in seen if not any(message in p for message in known)] == []


def test_a_page_that_is_well_has_no_problem(chromium, tmp_path):
    """Oracle: a page with none of the faults, and with each thing that resembles one."""
    site = write_site(tmp_path, WELL)
    assert problems(chromium, site) == []
    assert broken_links(site, html_files(site)) == {name: [] for name in html_files(site)}


@pytest.mark.parametrize("what", LINKED)
def test_a_bad_link_is_reported(tmp_path, what):
    """Oracle: a page made with that one link."""
    body, message = LINKED[what]
    site = write_site(tmp_path, body)
    found = broken_links(site, html_files(site))
    (problem,) = found.pop(PurePosixPath("a.html"))
    assert message in problem
    assert not any(found.values())


@pytest.mark.parametrize(("body", "found"), [(FINDS, True), ("", False)])
def test_a_search_must_find(chromium, tmp_path, monkeypatch, body, found):
    """Oracle: a page that finds what every edition of the book has, and one that does not."""
    monkeypatch.setattr(site_check, "_PATIENCE", 1000)
    told = problems(chromium, write_site(tmp_path, body, "search.html"), "search.html")
    assert ("the search finds no page for formula" in told) is not found


def test_a_search_must_find_the_right_page_first(chromium, tmp_path, monkeypatch):
    """Oracle: a site that has the page, and a search that names another."""
    monkeypatch.setattr(site_check, "SEARCHED", {"formula": "a.html"})
    site = write_site(tmp_path, FINDS, "search.html")
    assert not any("formula" in told for told in problems(chromium, site, "search.html"))
    write_site(tmp_path, "")
    told = problems(chromium, site, "search.html")
    assert "the search for formula finds b.html first" in told


def test_a_chapter_may_not_be_heavy(chromium, tmp_path):
    """Oracle: a file of random bytes, which gzip cannot make smaller, and one of zeros."""
    site = write_site(tmp_path, "<script>fetch('noise.bin'); fetch('zeros.bin')</script>")
    (tmp_path / "noise.bin").write_bytes(random.randbytes(100_000))
    (tmp_path / "zeros.bin").write_bytes(bytes(site_check.HEAVIEST))
    assert problems(chromium, site) == []
    (tmp_path / "noise2.bin").write_bytes(random.randbytes(site_check.HEAVIEST))
    write_site(tmp_path, "<script>fetch('noise2.bin')</script>")
    (told,) = problems(chromium, site)
    assert told.startswith("fetches 90")
    assert told.endswith(", more than 900,000")


def test_the_books_404_page_finds_the_root_from_any_depth(chromium, tmp_path):
    """Oracle: the served root; searchindex.js marks it, as Sphinx writes it."""
    shutil.copy(Path(__file__).parents[2] / "_extra" / "404.html", tmp_path)
    (tmp_path / "searchindex.js").write_text("", "utf-8")
    for prefix in ("/", "/one/", "/one/two/three/"):
        with served(tmp_path, prefix) as root:
            page = chromium.new_page()
            page.goto(f"{root}a/b/c/missing.html")
            page.wait_for_selector("a")
            assert page.evaluate("() => document.querySelector('a').href") == root
            page.close()


@pytest.mark.usefixtures("needs_chromium")
def test_a_page_is_a_line_and_the_last_line_sums_up(tmp_path, capfd):
    """Oracle: a site of one bad page and two good ones."""
    assert main([str(write_site(tmp_path, SEEN["raw TeX"][0]))]) == 1
    shown = capfd.readouterr()
    lines = sorted(line.split()[:2] for line in shown.out.splitlines() if "raw" not in line)
    assert lines == [["FAIL", "a.html"], ["ok", "b.html"], ["ok", "index.html"]]
    assert shown.err == "make test-site: 1 of 3 pages have problems, listed above\n"


def test_without_a_browser_or_a_site_one_line_says_what_is_missing(tmp_path, monkeypatch, capsys):
    """Oracle: the package's name in Debian; the command's name."""
    assert main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.endswith("holds no pages; run `make book` first\n")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BookError, match="apt-get install chromium"):
        browser_path()


def test_the_server_answers_below_its_prefix_only(tmp_path):
    """Oracle: status codes of urllib."""
    with served(write_site(tmp_path, "")) as root:
        assert urllib.request.urlopen(f"{root}a.html").status == 200
        outside = root.removesuffix("some/sub-path/")
        for address in (f"{root}gone.html", f"{outside}a.html"):
            with pytest.raises(urllib.error.HTTPError, match="404") as answer:
                urllib.request.urlopen(address)
            answer.value.close()
