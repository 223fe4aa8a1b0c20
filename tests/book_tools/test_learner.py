"""What a page asks of its reader: the script in Chromium, on a page as Sphinx writes it."""

import re
import shutil
from dataclasses import replace
from functools import partial

import pytest
from sphinx.cmd.build import main as build

from book_tools.site import learner
from exercises.examination import NO_ANSWER
from exercises.predictions import Prediction

WHY = "Because of this."
ONES = {
    "number": Prediction("How many?", -20.5, WHY, [], unit="points", close=2),
    "share": Prediction("Which share?", 41.5, WHY, [], unit="%"),
    "factor": Prediction("How many times?", 8, WHY, [], unit="times"),
    "choice": Prediction("Which?", "b", WHY, [], options=("this", "that")),
    "order": Prediction("In which order?", "cab", WHY, [], options=("one", "two", "three")),
}


ONES["section"], ONES["part"] = (replace(ONES["number"], hides=h) for h in ("section", "part"))


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """The box of each question, as Sphinx writes it."""
    folder = tmp_path_factory.mktemp("built")
    asked = (f"```{{prediction}} {name}\n```\n" for name in ONES)
    (folder / "index.md").write_text("\n".join(["# Questions\n", *asked]), "utf-8")
    extensions = "extensions=myst_parser,book_tools.site.learner"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "all_predictions", lambda: ONES)
        assert not build(["-qWC", "-D", extensions, str(folder), str(folder / "html")])
    page = (folder / "html" / "index.html").read_text("utf-8")
    found = re.findall(r"<aside class=.prediction.*?</aside>", page, re.DOTALL)
    return dict(zip(ONES, found, strict=True))


PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>
<style>[hidden] { display: none !important }</style><link rel="stylesheet" href="learner.css">
<article class="bd-article"><section><p>Before</p>FIRST
<div class="cell" id="result">
<div class="cell_output"><table><tr><td>1</td></tr></table></div></div>
<p id="more">More</p><p id="topic"><strong>Something else.</strong> It leads on.</p>
<div class="cell" id="cell">2 + 2</div>SECOND<p id="other">Other</p>
<section><h2>Next section</h2><p id="next">Next</p></section></section>
<section id="last"><h2>Last section</h2><div class="admonition toggle-hidden" id="folded">
<button class="toggle-button" onclick="this.parentElement.className = ''"></button></div></section>
<div class="exercise admonition" id="ex-one-hand"><p>Do it.</p></div>
<table><tr><td><a href="#ex-one-hand">Exercise</a></td></tr></table></article>
<input type="checkbox" id="results-hidden"><button id="guesses-forgotten">Forget</button>
<input type="file" id="exercises-progress"><p id="exercises-told"></p>
<script src="learner.js"></script>"""


@pytest.fixture
def opened(chromium, boxes, tmp_path):
    """Return a function that opens the page with one question first; no script fails."""
    for name in learner.FILES:
        shutil.copy(learner.FOLDER / name, tmp_path / name)
    errors = []
    context = chromium.browser.new_context()

    def open_page(name="number", anchor="", script=""):
        file = tmp_path / "page.html"
        text = PAGE.replace("FIRST", boxes[name]).replace("SECOND", boxes["choice"])
        file.write_text(text, "utf-8")
        page = context.new_page()
        page.on("pageerror", partial(list.append, errors))
        page.add_init_script(script)
        page.goto(file.as_uri() + anchor)
        return page

    yield open_page
    context.close()
    assert errors == []


def visible(page) -> list[str]:
    names = ("result", "more", "topic", "cell", "other", "next")
    return [name for name in names if page.evaluate(f"!document.getElementById('{name}').hidden")]


def test_the_result_is_hidden_until_a_guess_is_locked_in(opened):
    """Oracle: what follows, up to another topic; the guess stands after a reload."""
    page = opened()
    assert visible(page) == ["topic", "cell", "next"]
    told = page.inner_text(".prediction + .prediction-hidden >> nth=0")
    assert told.startswith("Hidden until you guess: 1 table, text.")
    page.click("text=Lock in my guess >> nth=0")
    assert page.inner_text(".prediction-said").startswith("Guess first")
    assert visible(page) == ["topic", "cell", "next"]
    page.fill("input[type=number]", "8")
    page.keyboard.press("Enter")
    assert visible(page) == ["result", "more", "topic", "cell", "next"]
    assert WHY in page.inner_text(".prediction >> nth=0")
    assert not page.locator(".prediction-answer >> nth=0").is_visible(), "it is said once"
    assert page.locator(".prediction-hidden").count() == 1, "that of the other question"
    assert page.evaluate("document.activeElement.innerText") == "The answer"
    page.reload()
    assert visible(page) == ["result", "more", "topic", "cell", "next"]
    assert page.locator("input[type=number]").count() == 0
    assert page.inner_text(".prediction-said >> nth=0").startswith("You said 8 points")


def test_a_reader_may_decline_once_or_for_ever(opened):
    """Oracle: nothing is compared; afterwards no page hides anything."""
    page = opened()
    assert page.locator("text=Never hide results").count() == 1
    page.click("text=Show me >> nth=0")
    assert visible(page) == ["result", "more", "topic", "cell", "next"]
    assert page.locator(".prediction-said >> nth=0").inner_text() == ""
    assert page.locator(".prediction-answer >> nth=0").is_visible()
    page.click("text=Never hide results")
    assert visible(page) == ["result", "more", "topic", "cell", "other", "next"]
    assert page.locator(".prediction-hidden").count() == 0
    again = opened("order")
    assert visible(again) == ["result", "more", "topic", "cell", "other", "next"]
    assert again.locator("text=Lock in my guess").count() == 2
    assert not again.is_checked("#results-hidden")
    again.check("#results-hidden")
    assert visible(opened("number")) == ["result", "more", "topic", "cell", "next"]
    assert visible(opened("order")) == ["topic", "cell", "next"]


def test_guesses_can_be_forgotten(opened):
    """Oracle: the page after a reload."""
    page = opened()
    page.click("text=Show me >> nth=0")
    page.click("#guesses-forgotten")
    page.reload()
    assert "result" not in visible(page)


def test_a_browser_that_keeps_nothing_forgets_without_an_error(opened):
    """Oracle: the button's text; a storage that refuses, as where cookies are blocked."""
    page = opened()
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('no') } }")
    page.click("text=Show me >> nth=0")
    assert "result" in visible(page)
    page.click("#guesses-forgotten")
    assert page.inner_text("#guesses-forgotten") == "Forgotten"


def test_a_question_may_hide_its_whole_section(opened):
    """Oracle: what stands between the question and the next one."""
    assert visible(opened("section")) == ["next"]


def test_a_question_may_hide_the_sections_after_its_own(opened):
    """Oracle: the rest of the article, which is one section more."""
    page = opened("part")
    assert page.evaluate("document.getElementById('last').hidden") == "until-found"
    page.click("text=Show me >> nth=0")
    assert page.locator("#last").is_visible()


def test_a_question_is_named_by_its_title_and_text(opened):
    """Oracle: what assistive programs are told."""
    page = opened()
    assert page.get_by_role("group", name="Predict first How many?").count() == 1
    assert page.get_by_role("group", name="Predict first Which?").count() == 1


def test_a_link_to_something_hidden_shows_it(opened):
    """Oracle: an address with an anchor, at the start and later."""
    page = opened(anchor="#more")
    assert visible(page) == ["result", "more", "topic", "cell", "next"]
    assert page.locator(".prediction-hidden").count() == 1, "that of the other question"
    page.evaluate("location.hash = '#other'")
    page.wait_for_function("!document.getElementById('other').hidden")
    page.evaluate("location.hash = '#folded'")
    page.wait_for_selector("#folded:not(.toggle-hidden)")


def test_the_browsers_search_shows_a_result_and_takes_its_notice_away(opened):
    """Oracle: Chromium's own search for a text in an address; the theme's rule for `hidden`."""
    page = opened(anchor="#:~:text=More")
    page.wait_for_function("!document.getElementById('more').hidden")
    assert visible(page) == ["result", "more", "topic", "cell", "next"]
    assert page.locator(".prediction-hidden").count() == 1, "that of the other question"


OLD = """Object.defineProperty(HTMLElement.prototype, "hidden", {
  get() { return this.hasAttribute("hidden"); },
  set(value) { this.toggleAttribute("hidden", Boolean(value)); },
});"""


def test_a_browser_that_cannot_find_hidden_text_shows_all_when_asked_to(opened):
    """Oracle: `hidden` as it was before browsers knew "until-found": true or false."""
    page = opened(script=OLD)
    assert visible(page) == ["topic", "cell", "next"]
    page.click("text=Never hide results >> nth=0")
    assert visible(page) == ["result", "more", "topic", "cell", "other", "next"]


@pytest.mark.parametrize("said", [-20.5, -22.4, -23, -8, 8, 20.5, 21, 0, 1234567])
def test_the_page_compares_numbers_as_the_notebook_does(opened, said):
    """Oracle: `Prediction.compared`."""
    page = opened()
    page.fill("input[type=number]", str(said))
    page.keyboard.press("Enter")
    assert page.inner_text(".prediction-said >> nth=0") == ONES["number"].compared(said)


@pytest.mark.parametrize("name", ["share", "factor"])
def test_the_page_names_the_unit_of_a_difference_as_the_notebook_does(opened, name):
    """Oracle: `Prediction.compared`."""
    page = opened(name)
    page.fill("input[type=number]", "40")
    page.keyboard.press("Enter")
    assert page.inner_text(".prediction-said >> nth=0") == ONES[name].compared(40)


def test_the_page_compares_choices_and_orders_as_the_notebook_does(opened):
    """Oracle: `Prediction.compared`; the keyboard chooses, and moves an item up."""
    page = opened("order")
    page.get_by_label("Move up: three").focus()
    page.keyboard.press("Enter")  # acb
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move up: three"
    assert page.inner_text(".prediction-said >> nth=0") == "now 2 of 3"
    page.keyboard.press("Enter")  # cab
    page.get_by_label("Move down: one").press("Enter")  # cba
    assert page.inner_text(".prediction-said >> nth=0") == "now 3 of 3"
    page.click("text=Lock in my guess >> nth=0")
    assert page.inner_text(".prediction-said >> nth=0") == ONES["order"].compared("cba")
    assert page.locator(".prediction-move").count() == 0
    letters = "all => all.map(item => item.dataset.letter).join('')"
    assert page.eval_on_selector_all(".prediction >> nth=0 >> li", letters) == "cab", (
        "the right one"
    )
    page.get_by_label("this", exact=True).check()
    page.get_by_label("this", exact=True).press("Enter")
    assert page.inner_text(".prediction-said >> nth=1") == ONES["choice"].compared("a")
    assert page.inner_text(".prediction-right") == "that"
    assert page.locator(".prediction input").count() == 0


def test_solved_exercises_are_kept_and_listed(opened, tmp_path):
    """Oracle: the box ticked, the page loaded again; and a notebook's progress.json."""
    page = opened()
    assert page.locator(".exercise-done").count() == 0
    page.get_by_label("I have solved this").check()
    page.reload()
    assert page.get_by_label("I have solved this").is_checked()
    assert page.locator(".exercise-done").count() == 1
    page.get_by_label("I have solved this").uncheck()
    page.reload()
    assert page.locator(".exercise-done").count() == 0
    progress = tmp_path / "progress.json"
    progress.write_text('{"one-hand": {"tries": 2, "passed": true}}')
    page.set_input_files("#exercises-progress", progress)
    page.wait_for_selector(".exercise-done")
    assert page.inner_text("#exercises-told") == "1 solved exercises read."
    progress.write_text('{"one-hand": 1}')
    page.set_input_files("#exercises-progress", progress)
    page.wait_for_function("document.querySelector('#exercises-told').innerText.startsWith('This')")


def test_everything_is_printed(opened):
    """Oracle: the rules for print."""
    page = opened()
    page.emulate_media(media="print")
    assert page.locator("#result").is_visible()
    assert page.locator(".prediction >> nth=0").get_by_text("The answer").is_visible()
    assert not page.get_by_text("Lock in my guess").first.is_visible()


def test_cells_become_questions_and_hints():
    """Oracle: a chapter of three cells."""
    code = {"cell_type": "code", "source": ['guess("rounding-three-bits", ...)']}
    other = {"cell_type": "code", "source": ["x = 1"]}
    empty = {"output_type": "stream", "text": [f"{NO_ANSWER}\n"]}
    check = {"cell_type": "code", "source": ['check("a", ...)'], "outputs": [empty]}
    head = {"cell_type": "markdown", "source": ["## Exercises\n", "\n", "Each has a checker."]}
    text = ["```{exercise} By hand\n", ":label: ex-rounding-hand\n", "\n", "Do it.\n", "```"]
    made = learner.prepared([code, other, {"cell_type": "markdown", "source": text}])
    assert made[0]["source"] == "```{prediction} rounding-three-bits\n```"
    assert made[1] == other
    shown = learner.prepared([head, check])
    assert "download" in shown[1]["source"]
    assert shown[2] == check | {"outputs": []}, "where nothing can be typed, no answer is missing"
    assert made[3]["source"].count("{dropdown}") == 2
    assert learner.hints()["rounding-hand"][1] in made[3]["source"]
