"""The book's Sphinx extension."""

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from docutils.core import publish_doctree
from pybtex.database import Entry, Person
from pybtex.plugin import find_plugin

from book_tools.site import extension
from book_tools.site.api_pages import contract, correct, insert_raised
from book_tools.site.extension import clean_html, copy_mathjax, keep_together
from reference_impl import compress


def test_mathjax_comes_with_its_fonts_and_nothing_of_its_other_entry_points(tmp_path):
    """Oracle: the installed package's own folder; each font that the entry point names."""
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    copy_mathjax(app, ValueError("the build failed"))
    assert not list(tmp_path.iterdir())
    copy_mathjax(app, None)
    copied = tmp_path / "_static" / "mathjax"
    script = (copied / "tex-chtml.js").read_text("utf-8")
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent
    assert script == (package / "static" / "mathjax" / "tex-chtml.js").read_text("utf-8")
    fonts = {p.name for p in (copied / "output/chtml/fonts/woff-v2").iterdir()}
    named = set(re.findall(r"MathJax_[\w-]+\.woff", script))
    assert len(named) > 10
    assert named <= fonts
    size = sum(p.stat().st_size for p in copied.rglob("*") if p.is_file())
    assert size < 4_000_000, "a reader downloads this, and a host stores it"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["Return E[|x|; |x| > a]."], r"Return E[\|x\|; \|x\| > a]."),
        (["as ``a | b`` and |c|"], r"as ``a | b`` and \|c\|"),
        ([">>> a | b"], ">>> a | b"),
        (["the largest code.", "", ":type: Return n = 2^b"], "Return n = 2^b: the largest code."),
    ],
)
def test_bars_are_absolute_values_and_a_formula_is_not_a_type(lines, shown):
    """Oracle: by hand; code remains as it is; napoleon takes what precedes a colon for a type."""
    correct(lines)
    assert lines[0] == shown
    assert not any(lines[1:])


def test_bars_in_a_block_of_code_remain_as_they_are():
    """Oracle: by hand; the block ends where a line is indented less."""
    lines = ["layers::", "", "    a | b", "", "|c|"]
    correct(lines)
    assert lines == ["layers::", "", "    a | b", "", r"\|c\|"]


def test_errors_of_a_contract_join_those_of_the_docstring():
    """Oracle: by hand; docutils makes one list of fields that follow each other."""
    field = contract(compress.fold_batch_norms)
    assert field == ":raises TypeError, ValueError: unless ``network`` is a Module."
    lines = ["Return x.", "", ":raises ValueError: if x is odd.", "", "References: none."]
    insert_raised(lines, field)
    assert lines[2:4] == [field, ":raises ValueError: if x is odd."]
    lines = ["Return x."]
    insert_raised(lines, field)
    assert lines == ["Return x.", "", field, ""]


def test_a_number_and_its_unit_stay_on_one_line_and_code_as_it_is():
    """Oracle: by hand; docutils reads the text."""
    page = publish_doctree("It has 47 % and 3 sums, ``47 % 5`` and 1.0 ± 0.4 points in 5 s.")
    keep_together(Mock(), page, "page")
    shown = page.astext().replace("\N{NO-BREAK SPACE}", "~")
    assert shown == "It has 47~% and 3 sums, 47 % 5 and 1.0~±~0.4 points in 5~s."


FIGURE = '<img alt="Two curves." src="../_images/0123.svg" />'


@pytest.mark.parametrize(
    ("body", "cleaned"),
    [
        (
            '<section id="solution-content"></section>',
            '<section class="solution-content"></section>',
        ),
        ('<section id="a"></section>', '<section id="a"></section>'),
        (
            f"<figure>{FIGURE}</figure>",
            '<figure><a class="figure-alone" href="../_images/0123.svg" '
            f'title="Open the figure alone">{FIGURE}</a></figure>',
        ),
        ('<img src="logo.png" />', '<img src="logo.png" />'),
        (
            "<p>(从而, 剪枝，量化)</p>",
            '<p>(<span lang="zh">从而</span>, <span lang="zh">剪枝，量化</span>)</p>',
        ),
    ],
)
def test_the_html_is_cleaned(body, cleaned):
    """Oracle: by hand; other sections and pictures remain as they are."""
    context = {"body": body}
    clean_html(None, "page", "page.html", context, None)
    assert context["body"] == cleaned


WORKS = {
    "Hinton, 2015": ["Hinton, Geoffrey"],
    "LeCun and Bengio, 2015": ["LeCun, Yann", "Bengio, Yoshua"],
    "Han et al., 2015a": ["Han, Song", "Mao, Huizi", "Dally, William J."],
    "Baalen, 2015": ["van Baalen, Mart"],
    "Han et al., 2015b": ["Han, Song", "Pool, Jeff", "Dally, William J."],
    "Koll\N{LATIN SMALL LETTER A WITH ACUTE}r, 2015": ["Kolla\N{COMBINING ACUTE ACCENT}r, I."],
    "Grønlund and Bühlmann, 2015": [r"Gr{\o}nlund, Allan", r"B{\"u}hlmann, Peter"],
}


def test_a_work_is_labelled_as_the_text_cites_it():
    """Oracle: by hand; two works of the same authors and year get letters."""
    entries = [
        Entry("article", {"year": "2015"}, {"author": [Person(name) for name in names]})
        for names in WORKS.values()
    ]
    assert list(extension.AuthorYearLabels().format_labels(entries)) == list(WORKS)


def test_the_style_is_found_by_its_name():
    """Oracle: pybtex's own registry; the name stands in _config.yml."""
    extension.setup(Mock())
    assert find_plugin("pybtex.style.formatting", "book_author_year") is extension.BookStyle
