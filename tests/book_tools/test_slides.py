"""Slides of a small chapter: what is on them, and how a browser shows them."""

import pytest
from bs4 import BeautifulSoup

from book_tools.site import check
from book_tools.site.built_pages import entries
from book_tools.site.slides.__main__ import main, prepare, write_slides
from book_tools.site.slides.outline import Outline, sentences

DOT = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='2000' height='2000'></svg>"
LONG = "\n".join([*(f"first_{n} = {n}" for n in range(15)), "", *(f"x_{n} = 0" for n in range(9))])
ROWS = "".join(f"<tr><td>row {n}</td><td>{60 * 'wide '}</td></tr>" for n in range(6))
SECTIONS = f"""
<section id="a"><h1>2. A chapter</h1><p>The promise.</p>
<figure><img alt="Dot" src="{DOT}"><figcaption><span class="caption-text">A ruler. <strong>It is
short.</strong></span></figcaption></figure>
<section id="idea"><h2>The idea</h2><p>One &lt; two. It is <em>so</em>. More is said.</p></section>
<section id="formula"><h2>The formula</h2><p>Said first. Then we get</p>
<div class="math">\\[x\\]</div><p>Said last with <span class="math">\\(b\\)</span>.</p></section>
<section id="code"><h2>In code</h2>
<div class="cell"><details><pre>folded()</pre></details></div>
<div class="cell"><div class="cell_input"><pre>{LONG}</pre></div></div>
<div class="cell"><div class="cell_output"><table>
<tr><th>a</th><th>b</th></tr>{ROWS}</table></div></div>
<div class="cell"><div class="cell_input"><pre>{200 * "w"}</pre></div></div></section>
<section id="summary"><h2>Summary</h2><p>It is 6 dB. It costs 0.7 points.</p></section>
<section id="exercises"><h2>Exercises</h2><div class="exercise"><p class="admonition-title">Exercise
2.1</p><section><p>Count.</p></section></div><div class="solution">forty-two</div></section>
<section id="references"><h2>References</h2><p>Somebody, 1999.</p></section></section>"""


def slides():
    return Outline(BeautifulSoup(f"<article>{SECTIONS}</article>", "html.parser")).slides


def test_a_section_shows_what_a_class_looks_at_and_keeps_its_words_for_notes():
    """Oracle: the parts of the specimen, by eye."""
    first, idea, formula, *others = slides()
    assert first.heading == "2. A chapter"
    assert "It is\nshort." in first.shown[1]
    assert "A ruler" not in first.shown[1]
    assert idea.shown == ["<ul><li>One &lt; two. It is <em>so</em>.</li></ul>"]
    assert formula.shown == ['<p>Then we get</p><div class="math">\\[x\\]</div>']
    assert formula.notes == ["Said first. Then we get", "Said last with b."]
    shown = "".join(html for slide in others for html in slide.shown)
    assert "<ul><li>It is 6 dB.</li><li>It costs 0.7 points.</li></ul>" in shown
    assert "Count." in shown
    for absent in ("folded", "forty-two", "Somebody"):
        assert absent not in shown


def test_what_is_long_is_cut_at_an_empty_line_and_a_table_keeps_its_head_and_says_that_it_goes_on():
    """Oracle: the lines and rows of the specimen, each on one slide."""
    code = [html for slide in slides() if slide.heading == "In code" for html in slide.shown]
    assert code[0].endswith("first_14 = 14</pre></div>")
    assert code[1].startswith('<div class="highlight"><pre>x_0 = 0')
    tables = [html for html in code if "<table" in html]
    assert len(tables) > 1
    assert all("<th>a</th>" in table for table in tables)
    assert [table.count("<td>row") for table in tables] == [1] * 6
    assert ["(continued)" in table for table in tables] == [False] + [True] * 5


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One 0.5 is. Two?", ["One 0.5 is.", "Two?"]),
        ("By <em>Kim et al.</em>, so. <b>Next</b> one.", None),
        ("<strong>Bold.</strong> It is.", ["<strong>Bold.</strong> It is."]),
    ],
)
def test_a_paragraph_is_cut_where_its_sentences_end(paragraph, expected):
    """Oracle: the sentences, by eye."""
    found = sentences(BeautifulSoup(f"<p>{paragraph}</p>", "html.parser").p)
    assert found == (expected or ["By <em>Kim et al.</em>, so.", "<b>Next</b> one."])


def test_a_chapter_that_does_not_exist_is_named(capsys):
    """Oracle: the message, and the exit status of an error."""
    assert main(["77"]) == 1
    assert "there is no chapter 77" in capsys.readouterr().err


@pytest.mark.usefixtures("needs_chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_slide_fits_and_the_keyboard_leads_through_all(tmp_path, scheme):
    """Oracle: the boxes that Chromium draws, from a file and at 1280 × 720."""
    site, folder = tmp_path / "html", tmp_path / "slides"
    for part in ("chapters", "_static"):
        (site / part).mkdir(parents=True)
    folder.mkdir()
    (site / "_static/pygments.css").touch()
    (site / "genindex.html").write_text(
        '<nav class="bd-links"><p class="caption">I</p><ul><li><a class="reference"'
        ' href="chapters/02_a.html">A</a></li></ul></nav>',
        "utf-8",
    )
    article = f'<article class="bd-article">{SECTIONS}</article>'
    (site / "chapters/02_a.html").write_text(article, "utf-8")
    prepare(site, folder)
    count = write_slides(site, folder, entries(site)[0])
    with check.browser() as chromium, chromium.new_page() as page:
        failures: list[object] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("requestfailed", lambda request: failures.append(request.url))
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": 1280, "height": 720})
        page.goto((folder / "02_a.html").as_uri())
        page.wait_for_function(
            "window.Reveal?.isReady() && document.querySelector('[style*=zoom]')"
        )
        grounds = set()
        for place in range(count):
            assert page.evaluate("Reveal.getState().indexh") == place
            assert page.evaluate(OVERFLOWS) == []
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            page.keyboard.press("ArrowRight")
        assert grounds == {"rgb(255, 255, 255)" if scheme == "light" else "rgb(25, 25, 25)"}
        assert not failures


OVERFLOWS = """() => [...Reveal.getCurrentSlide().querySelectorAll('h2, .fit *')]
  .map(e => [e.tagName, e.getBoundingClientRect()])
  .filter(([_, box]) => box.right > 1280 || box.bottom > 720 || box.top < 0)
  .map(([tag, box]) => `${tag} ${box.right} ${box.bottom}`)"""
