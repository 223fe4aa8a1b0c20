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
<div class="pst-scrollable-table-container"><table>
<tr><th>no.</th><th>symptom</th><th>code</th></tr>
<tr><td>1</td><td>{sentence}</td><td><code><span class="pre">a_list.name(x)</span></code></td></tr>
</table></div>
<div class="pst-scrollable-table-container"><table><tr><th>x</th><th>y</th><th>z</th></tr>
<tr><td>1</td><td>2</td><td>3</td></tr></table></div>
<figure><a class="figure-alone" href="#alone"><img alt="A curve" src="{pixel}"></a></figure>
</article><script>{script}</script></html>"""

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="

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
        opened.set_content(
            PAGE.format(style=style, script=script, sentence="very " * 20, pixel=PIXEL)
        )
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


def test_on_a_phone_the_cells_of_a_table_of_sentences_stand_below_each_other(page):
    """Oracle: by hand; the other table has numbers only."""
    places = "table => [...table.querySelectorAll('td')].map(one => one.offsetLeft)"
    heads = "all => all.map(one => getComputedStyle(one, '::before').content)"
    page.set_viewport_size({"width": 390, "height": 800})
    sentences, numbers = page.query_selector_all("table")
    assert len(set(sentences.evaluate(places))) == 1
    assert len(set(numbers.evaluate(places))) == 3
    assert page.eval_on_selector_all(".stacked td", heads) == ['"no. "', '"symptom: "', '"code: "']
    page.set_viewport_size({"width": 1300, "height": 800})
    assert len(set(sentences.evaluate(places))) == 3


def test_a_name_in_a_table_may_break_after_a_dot_or_an_underscore(page):
    """Oracle: by hand; the text that a reader copies is the same."""
    names = page.locator("code .pre")
    assert names.inner_html() == "a_<wbr>list.<wbr>name(x)"
    assert names.text_content() == "a_list.name(x)"


def test_on_a_phone_a_figure_opens_larger_than_the_screen_and_closes_again(page):
    """Oracle: by hand; on a desktop the link leads to the file."""
    page.set_viewport_size({"width": 390, "height": 800})
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.click("text=Close")):
        page.click(".figure-alone")
        assert page.locator("dialog img[alt='A curve']").bounding_box()["width"] > 390
        close()
        page.wait_for_selector("dialog", state="detached")
    page.set_viewport_size({"width": 1300, "height": 800})
    page.click(".figure-alone")
    assert page.locator("dialog").count() == 0
    assert page.evaluate("location.hash") == "#alone"
