"""The site's own script and style, in a browser."""

import pytest

from reference_impl.files import ROOT

PAGE = """<!DOCTYPE html><html lang="en"><title>A page</title>
<style>{style} p {{ width: 1px }} pre {{ width: 90px; overflow: auto }}
.math {{ display: inline-block; width: 30px }}</style>
<article class="bd-article">
<p>It is (<span class="math">x</span>), or <span class="math">y</span> so
far, a <span class="math">b</span>-bit <em>z</em><span class="math">w</span>.</p>
<pre>a line that is longer than its box</pre><pre>short</pre>
</article><script>{script}</script></html>"""

#: The words of the page, and on how many lines each stands.
WORDS = """all => all.map(word => [word.textContent,
  new Set([...word.childNodes].filter(n => n.nodeType === 1 || n.data.trim()).map(n => {
    const range = document.createRange();
    range.selectNode(n);
    const {top, bottom} = range.getBoundingClientRect();
    return Math.round((top + bottom) / 2 / 10);
  })).size])"""


@pytest.fixture(scope="module")
def page(chromium):
    """A page with the book's style and script, one pixel wide."""
    style, script = (
        (ROOT / "_static" / f"book.{kind}").read_text("utf-8") for kind in ("css", "js")
    )
    with chromium.new_page() as opened:
        opened.set_content(PAGE.format(style=style, script=script))
        opened.wait_for_selector(".word")
        yield opened


def test_marks_stay_beside_their_formula_and_the_text_is_the_same(page):
    """Oracle: by hand; what stands beside a formula without a space is one word with it."""
    words = page.eval_on_selector_all(".word", WORDS)
    assert [text for text, _ in words] == ["(x),", "b-bit", "w."]
    assert all(lines == 1 for _, lines in words)
    text = " ".join(page.text_content("p").split())
    assert text == "It is (x), or y so far, a b-bit zw."


def test_without_the_style_a_mark_may_begin_a_line(page):
    """The page above is narrow enough for the fault that the style prevents."""
    page.add_style_tag(content=".bd-article .word { white-space: normal }")
    assert any(lines > 1 for _, lines in page.eval_on_selector_all(".word", WORDS))


def test_the_keyboard_reaches_what_scrolls_and_nothing_else(page):
    """Oracle: by hand, one line longer than its box and one that fits."""
    assert page.eval_on_selector_all("pre", "all => all.map(one => one.tabIndex)") == [0, -1]
