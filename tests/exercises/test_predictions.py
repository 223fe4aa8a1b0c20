"""The questions before results: their answers are printed by the chapter, and guesses compared."""

import json
import re
from itertools import pairwise

import pytest

from book_tools.comparing.rules import code_cells
from book_tools.notebooks import chosen, printed, read
from book_tools.site.learner import asked_by
from exercises import CHAPTERS
from exercises.notes import notes
from exercises.predictions import _locked, all_predictions, guess

NOTEBOOKS = [read(path) for path in chosen() if path.name[0].isdigit()]


def places() -> dict[str, tuple[int, str]]:
    """Return for each question its chapter's place, and what later cells of the chapter print."""
    found = {}
    for place, notebook in enumerate(NOTEBOOKS):
        code = code_cells(notebook)
        for i, cell in enumerate(code):
            if name := asked_by(cell["source"]):
                assert name not in found, f"{name} is asked twice"
                found[name] = place, "\n".join(map(printed, code[i + 1 :]))
    return found


ASKED = places()


def number(text: str) -> float:
    return float(re.match(r"[−-]?[\d,.]+", text)[0].replace("−", "-").replace(",", ""))


def test_each_question_is_asked_where_it_belongs():
    """Oracle: the TOML file in which it stands, and the chapter with its cell."""
    tables = [notes(chapter)["predictions"] for chapter in CHAPTERS]
    written = {name: place for place, table in enumerate(tables) for name in table}
    assert {name: place for name, (place, _) in ASKED.items()} == written


@pytest.mark.parametrize("place", range(len(CHAPTERS)), ids=CHAPTERS)
def test_a_chapter_asks_three_questions(place):
    """Oracle: a count."""
    asked = [name for name, (chapter, _) in ASKED.items() if chapter == place]
    assert len(asked) >= 3


def test_a_question_stands_directly_before_the_cell_that_answers_it():
    """Oracle: the cell after it; a section's heading or its text would be seen or hide nothing."""
    for notebook in NOTEBOOKS:
        for cell, following in pairwise(notebook.cells):
            if cell.cell_type == "code" and (name := asked_by(cell.source)):
                assert following.cell_type == "code", name
                assert not asked_by(following.source), name


@pytest.mark.parametrize("name", ASKED)
def test_the_chapter_prints_what_the_answer_says(name):
    """Oracle: the stored outputs of later cells, which a run has to reproduce."""
    one, (_, outputs) = all_predictions()[name], ASKED[name]
    assert one.evidence
    for text in one.evidence:
        assert re.search(rf"(?<![\d.]){re.escape(text)}(?![\d])", outputs), text
    if one.kind == "number":
        (text,) = one.evidence
        assert abs(number(text)) == pytest.approx(abs(one.answer))
        assert 0 < one.close < abs(one.answer)
    if one.kind == "order":
        values = [number(one.evidence["abcdefgh".index(letter)]) for letter in one.answer]
        steps = {a < b for a, b in pairwise(values)}
        assert len(steps) == 1, "from the highest to the lowest, or the other way round"
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("one", all_predictions().values(), ids=all_predictions())
def test_a_question_has_an_answer_of_its_kind_and_a_reason(one):
    """Oracle: the answer itself is a guess that is right."""
    assert one.question.endswith((".", "?"))
    assert len(one.why) > 40
    assert one.wrong_kind(one.answer) is None
    if one.kind == "number":
        assert one.compared(one.answer).endswith("Exactly.")
        assert one.compared(one.answer + one.close / 2).endswith("Close.")
        assert not one.options
    else:
        assert 2 <= len(one.options) <= 6
        assert one.wrong_kind("?").startswith("The guess ")


def said(capsys, *call) -> list[str]:
    guess(*call)
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def nothing_locked():
    _locked.clear()


def test_a_guess_is_locked_and_compared(capsys):
    """Oracle: by hand."""
    name = "rounding-three-bits"
    (question, asks) = said(capsys, name, ...)
    assert question.endswith("?")
    assert asks.startswith("Put your guess in the place of the dots")
    assert said(capsys, name, "many")[1] == "✗ The answer is a number; this is a str."
    assert said(capsys, name, 8)[1] == (
        "You said 8 points; it is 20.46 points. Your guess is 12.5 points too low."
    )
    assert said(capsys, name, 20)[1:3] == [
        "Your first guess, 8, stands.",
        "You said 8 points; it is 20.46 points. Your guess is 12.5 points too low.",
    ]


def test_a_guess_is_kept_beside_a_learners_progress(capsys, tmp_path, monkeypatch):
    """Oracle: another kernel, which is one that has forgotten; a damaged file is left as it is."""
    monkeypatch.chdir(tmp_path)
    said(capsys, "rounding-three-bits", 8)
    assert not list(tmp_path.iterdir())
    (tmp_path / "progress.json").write_text("{}")
    said(capsys, "rounding-three-bits", 9)
    _locked.clear()
    assert "Your first guess, 8, stands." in said(capsys, "rounding-three-bits", 7)
    assert json.loads((tmp_path / "guesses.json").read_text()) == {"rounding-three-bits": 8}
    (tmp_path / "guesses.json").write_text("[1")
    _locked.clear()
    assert said(capsys, "rounding-three-bits", 7)[1].startswith("You said 7 points")
    assert (tmp_path / "guesses.json").read_text() == "[1"


def test_an_order_counts_the_pairs_that_are_right(capsys):
    """Oracle: by hand: of ab, ac and bc one is in order."""
    name = "rounding-three-ways"
    refusal = said(capsys, name, "ab")[-1]
    assert "all letters in your order, in quotes" in said(capsys, name, ...)[-1]
    assert refusal == "✗ The guess must have each of the letters a, b, c once, in quotes."
    assert said(capsys, name, "bca")[4] == "You said bca; it is cba: 2 of 3 pairs are in order."


def test_an_unknown_question_lists_the_known_ones():
    """Oracle: the registry."""
    with pytest.raises(TypeError, match="name must be a string, got list"):
        guess(["rounding-three-bits"], 1)
    with pytest.raises(ValueError, match=r"name must be one of .*rounding-three-bits.*; got 'x'"):
        guess("x", 1)
