"""The PDF of a site of two chapters, read again with pypdf."""

import shutil
from pathlib import Path

import pytest
from pypdf import PdfReader

from book_tools.failures import BookError
from book_tools.site import pdf
from book_tools.site.built_pages import entries

ROOT = Path(__file__).parents[2]

SIDE_BAR = """<nav class="bd-links"><p class="caption">Part I</p>
<ul><li><a class="reference" href="chapters/01_first.html">1. First</a></li></ul>
<p class="caption">Reference</p>
<ul><li><a class="reference" href="chapters/notation.html">Notation</a></li>
<li><a class="reference" href="chapters/several_machines.html">Machines</a></li></ul>
<p class="caption">The package</p>
<ul><li><a class="reference" href="chapters/api.html">API</a></li></ul></nav>"""
HEAD = '<head><link rel="stylesheet" href="../_static/print.css"></head>'
FIRST = f"""<article class="bd-article"><section id="first"><h1>1. First</h1>
<p>See <a href="notation.html#symbols">the symbols</a>, <a href="#end">the end</a>,
<a href="api.html">the API</a> and <a href="https://example.org/">the web</a>.</p>
<details class="hide"><summary>Show</summary><pre>folded_input()</pre></details>
<pre>{300 * "y"}</pre>
<details><summary>The article</summary><p>unfolded box</p></details>
<div class="exercise admonition" id="ex-a"><p class="admonition-title">
<span class="caption-number">Exercise 1.1</span></p></div>
<details class="hint"><summary>A first hint</summary><p>six times</p></details>
<div class="solution admonition"><p class="admonition-title">Solution</p><p>forty-two</p></div>
<p style="height: 1200px">high</p><h2 id="end">The end</h2>
<img alt="A dot" src="../_images/dot.svg"></section></article>"""
NOTATION = '<article class="bd-article"><h1>Notation</h1><h2 id="symbols">Symbols</h2></article>'
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="9"/></svg>'


@pytest.fixture(scope="module")
def book(needs_chromium, tmp_path_factory) -> PdfReader:  # noqa: ARG001 — it may skip
    build = tmp_path_factory.mktemp("build")
    site = build / "html"
    for folder in ("chapters", "_static", "_images"):
        (site / folder).mkdir(parents=True)
    shutil.copy(ROOT / "_static/print.css", site / "_static")
    (site / "_images/dot.svg").write_text(DOT, "utf-8")
    (site / "genindex.html").write_text(SIDE_BAR, "utf-8")
    (site / "chapters/01_first.html").write_text(HEAD + FIRST, "utf-8")
    (site / "chapters/notation.html").write_text(HEAD + NOTATION, "utf-8")
    said = pdf.print_book(site, build / "pdf")
    assert "model-compression.pdf has 5 pages" in said
    return PdfReader(build / "pdf/model-compression.pdf")


def test_the_contents_name_the_pages_on_which_chapters_begin(book):
    """Oracle: the pages' own text: cover, contents, a chapter of two pages, notation."""
    texts = [page.extract_text() for page in book.pages]
    lines = texts[1].splitlines()
    for line in ("1. First", "3", "Notation", "5"):
        assert line in " \n".join(lines)
    assert "1. First" in texts[2]
    assert "Symbols" in texts[4]
    assert "5" in texts[4].split()
    assert "Machines" not in "".join(texts)


def test_bookmarks_are_the_headings(book):
    """Oracle: the headings of the pages, in their order and depth."""

    def titles(outline):
        return [titles(o) if isinstance(o, list) else o.title for o in outline]

    own = ["1. First", ["The end", "Hints", "Solutions"], "Notation", ["Symbols"]]
    assert titles(book.outline) == [pdf.TITLE, "Contents", *own]


def test_links_lead_to_pages_of_the_pdf_and_to_the_web_only(book):
    """Oracle: the pages on which their targets stand; no address of this machine's files."""
    actions = [a.get_object() for page in book.pages for a in page.get("/Annots", [])]
    webs = [a["/A"]["/URI"] for a in actions if "/URI" in a.get("/A", {})]
    assert webs == ["https://example.org/"]
    named = book.named_destinations
    places = {
        name.removeprefix("/"): (book.get_destination_page_number(d) or 0) + 1
        for name, d in named.items()
    }
    assert places == {
        "page-0": 3,
        "page-1": 5,
        "page-0-end": 4,
        "page-1-symbols": 5,
        "page-0-ex-a": 3,
    }
    assert len(actions) == 2 + len(places)


def test_folded_inputs_are_left_out_solutions_come_last_and_code_wraps(book):
    """Oracle: the words of the pages."""
    first, last = (" ".join(book.pages[n].extract_text().split()) for n in (2, 3))
    assert "folded_input" not in first
    assert "unfolded box" in first
    assert "forty-two" not in first
    assert "six times" not in first
    order = ("The end", "hint to Exercise 1.1", "six times", "Solution to Exercise 1.1")
    assert [*map(last.index, order)] == sorted(map(last.index, order))
    assert last.index(order[-1]) < last.index("forty-two")
    assert first.count("y") > 300
    assert max(map(len, book.pages[2].extract_text().splitlines())) < 150


def test_a_folder_without_a_site_is_refused(tmp_path):
    """Oracle: the command that builds one."""
    with pytest.raises(BookError, match="run `make site` first"):
        entries(tmp_path)
