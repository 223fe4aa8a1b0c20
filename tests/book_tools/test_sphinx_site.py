"""The book's Sphinx extension."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from book_tools.site.extension import clean_html, copy_mathjax, mathjax_folder, mend_docstring


def test_mathjax_comes_with_its_fonts_and_nothing_of_its_other_entry_points(
    tmp_path: Path,
) -> None:
    """Oracle: the installed package's own folder; each font that the entry point names."""
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    copy_mathjax(app, None)
    copied = tmp_path / "_static" / "mathjax"
    script = (copied / "tex-chtml-full.js").read_text("utf-8")
    assert script == (mathjax_folder() / "tex-chtml-full.js").read_text("utf-8")
    fonts = {p.name for p in (copied / "output/chtml/fonts/woff-v2").iterdir()}
    named = set(re.findall(r"MathJax_[\w-]+\.woff", script))
    assert len(named) > 10
    assert named <= fonts
    size = sum(p.stat().st_size for p in copied.rglob("*") if p.is_file())
    assert size < 4_000_000, "a reader downloads this, and a host stores it"


def test_a_failed_build_copies_nothing(tmp_path: Path) -> None:
    """Oracle: an empty folder."""
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    copy_mathjax(app, ValueError("failed"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "escaped"),
    [
        ("Return E[|x|; |x| > a].", r"Return E[\|x\|; \|x\| > a]."),
        ("as ``a | b`` and |c|", r"as ``a | b`` and \|c\|"),
        (">>> a | b", ">>> a | b"),
    ],
)
def test_bars_in_docstrings_are_absolute_values(line: str, escaped: str) -> None:
    """Oracle: by hand; code remains as it is."""
    lines = [line]
    mend_docstring(None, "function", "f", None, None, lines)
    assert lines == [escaped]


def test_identifiers_of_exercises_become_classes() -> None:
    """Oracle: by hand; an identifier may stand once on a page."""
    context = {"body": '<section id="solution-content"></section><section id="a"></section>'}
    clean_html(None, "page", "page.html", context, None)
    assert context["body"] == (
        '<section class="solution-content"></section><section id="a"></section>'
    )


def test_a_figure_links_to_itself() -> None:
    """Oracle: by hand; pictures that are not figures remain as they are."""
    figure = '<img alt="Two curves." src="../_images/0123.svg" />'
    context = {"body": f'<figure>{figure}</figure><img src="logo.png" />'}
    clean_html(None, "page", "page.html", context, None)
    assert context["body"] == (
        '<figure><a class="figure-alone" href="../_images/0123.svg" '
        f'title="Open the figure alone">{figure}</a></figure><img src="logo.png" />'
    )


def test_a_formula_in_a_property_is_no_type() -> None:
    """Oracle: the docstring as it was written, and what napoleon made of it."""
    lines = ["the largest code.", "", ":type: Return n = 2^b - 1"]
    mend_docstring(None, "property", "n", None, None, lines)
    assert lines[0] == "Return n = 2^b - 1: the largest code."
    assert not any(lines[1:])
