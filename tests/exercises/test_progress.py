"""The record of what a learner passed, hints, and what the notes say of each exercise."""

import json

import pytest

from book_tools.notebooks import chosen, exercises_in, markdown_of, read
from exercises import CHAPTERS, all_exercises, by_chapter, check, hint, notes_on, progress
from exercises.notes import notes


def test_check_records_tries_where_there_is_a_record(tmp_path, monkeypatch, capsys):
    """Oracle: a right answer after a wrong one, then a wrong one, then none."""
    file = tmp_path / progress.NAME
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    check("rounding-hand", [0, 1, 5, 7])
    assert not file.exists()
    file.write_text("{}")
    for answer in ([0, 1, 5, 6], [0, 1, 5, 7], [0, 1, 5, 6], ...):
        check("rounding-hand", answer)
    assert json.loads(file.read_text()) == {"rounding-hand": {"tries": 3, "passed": True}}
    assert "recorded" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '{"rounding-hand": 3}', '{"a": {}}', "\0"])
def test_a_damaged_record_is_one_line_and_is_left(tmp_path, monkeypatch, capsys, text):
    """Oracle: the file's own bytes."""
    file = tmp_path / progress.NAME
    file.write_text(text)
    monkeypatch.chdir(tmp_path)
    check("rounding-hand", [0, 1, 5, 7])
    told = capsys.readouterr().out.splitlines()
    assert told[-2] == "Right."
    assert told[-1].startswith("Your progress is not recorded: ")
    assert progress.NAME in told[-1]
    assert file.read_text() == text


def test_a_record_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    """Oracle: the error of a full or read-only disk."""

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    (tmp_path / progress.NAME).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "write_atomically", refuse)
    check("rounding-hand", [0, 1, 5, 7])
    assert "not recorded: [Errno 30] Read-only file system" in capsys.readouterr().out


def test_hints_come_in_two_steps_and_then_the_place_of_the_solution(capsys):
    """Oracle: the notes, whose formulas a page typesets and a notebook prints."""
    for _ in range(4):
        hint("rounding-outlier")
    told = capsys.readouterr().out.splitlines()
    first, second = notes_on("rounding-outlier")["hints"]
    assert "$2^b − 1$" in second
    assert told[:2] == [first, second.replace("$2^b − 1$", "2^b − 1")]
    assert told[2] == told[3]
    assert told[2].startswith("The solution is folded below the exercise")
    with pytest.raises(ValueError, match="no exercise has the name 'rounding-foot'; did you mean"):
        hint("rounding-foot")


def test_exercises_stand_in_the_order_of_the_book():
    """Oracle: the labels in the notebooks; a table of grades has its columns in this order."""
    text = "\n".join(markdown_of(read(path)) for path in chosen())
    assert list(all_exercises()) == list(exercises_in(text))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_has_notes(chapter):
    """Oracle: the registry, and what the notes must hold."""
    tables = notes(chapter)["exercises"]
    assert set(tables) == set(by_chapter()[chapter])
    for name, table in tables.items():
        assert set(table) == {"difficulty", "minutes", "hints"}, name
        assert table["difficulty"] in {1, 2, 3}
        assert 1 <= table["minutes"] <= 60
        first, second = table["hints"]
        assert first != second
        assert min(len(first), len(second)) > 30
