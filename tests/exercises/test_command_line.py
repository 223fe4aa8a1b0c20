"""Exercises on the command line: one file, the record of what was passed, a folder of students."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book_tools.pages.exercises import listed
from exercises import all_exercises
from exercises.__main__ import check_file, main
from exercises.grading import graded, of_folder
from exercises.progress import record

ROOT = Path(__file__).parents[2]
RIGHT = 'check("rounding-hand", [0, 1, 5, 7])\n'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


FILES = {
    "good": (RIGHT + 'check("rounding-thermometer", [10, 7, 1260])', "", "1"),
    "broken": ("def f(:", "broken.py: it does not parse: invalid syntax, line 1", ""),
    "missing": ("import nothing_here\n" + RIGHT, "No module named 'nothing_here', line 1", "1"),
    "prints": ("while True: print('x' * 10**6)\n" + RIGHT, "File too large, line 1", "1"),
    "writes": ("open('notes.txt', 'w').write('mine')\n" + RIGHT, "", "1"),
    "leaves": (RIGHT + "exit()", "leaves.py: exit(), line 2", "1"),
    "dies": (RIGHT + "import os; os._exit(3)", "ended Python itself, with the status 3", "1"),
    "loops": (RIGHT + "while True:\n try: x = 1\n except: pass", "an endless loop?", "1"),
    "unknown": (RIGHT + 'check("rounding-hans", 1)', "did you mean rounding-hand", "1"),
    "asserts": (RIGHT + "assert 1 == 2", "asserts.py: AssertionError, line 2", "1"),
    "returns": (RIGHT + "return 1", "returns.py: it does not parse: 'return' outside", ""),
    "huge": (RIGHT + "x = 1\n" * 200_000, "huge.py: it is larger than 1 MB", ""),
    "nested": (RIGHT + "x = " + "-" * 99_999 + "1", "nested too deeply", ""),
    "marked": ("\ufeff" + RIGHT, "", "1"),
    "surrogate": (RIGHT + "raise ValueError('\\ud800')", "ValueError: \\ud800, line 2", "1"),
    "empty": ("", "empty.py: it gives no answer by check(name, answer)", ""),
    "binary": ("\0", "binary.py: it is not Python", ""),
}


def test_each_careless_file_is_a_remark_and_the_others_are_graded(tmp_path, tmp_path_factory):
    """Oracle: one file of each kind, read back by Python's own reader of CSV."""
    output = tmp_path_factory.mktemp("table") / "marks.csv"
    for name, (text, *_) in FILES.items():
        written(tmp_path, f"{name}.py", text)
    (tmp_path / "latin.PY").write_bytes(b"# coding: latin-1\n# \xe9\n" + RIGHT.encode())
    (tmp_path / "link.py").symlink_to("nowhere")
    (tmp_path / "folder.py").mkdir()
    before = sorted(tmp_path.iterdir())
    main(["grade", str(tmp_path), "--seconds", "20", "--output", str(output)])
    rows = {row["student"]: row for row in csv.DictReader(output.read_text("utf-8").splitlines())}
    assert sorted(rows) == sorted([*FILES, "latin", "link"])
    assert rows["latin"]["points"] == "1"
    assert rows["link"]["remark"] == "link.py: it cannot be read: No such file or directory"
    for name, (_, remark, mark) in FILES.items():
        assert remark in rows[name]["remark"], rows[name]
        assert bool(remark) == bool(rows[name]["remark"]), rows[name]
        assert rows[name]["rounding-hand"] == mark
        assert rows[name]["points"] == str(int(mark or 0))
    assert rows["good"]["rounding-thermometer"] == "0"
    assert rows["good"]["rounding-inverse"] == ""
    assert sorted(tmp_path.iterdir()) == before


def cell(kind: str, source: str) -> dict[str, str]:
    return {"cell_type": kind, "source": source}


def test_a_notebook_gives_its_answers_without_running_the_chapter(tmp_path):
    """Oracle: a cell that would fail, a magic, and a solution that is right."""
    cells = [
        cell("code", "raise RuntimeError('a long experiment')"),
        cell("code", "%matplotlib inline\nfrom exercises import check\nlast = 6"),
        cell("code", "def codes():\n    return [0, 1, 5, last]"),
        cell("code", "mine = codes()\ncheck('rounding-hand', mine)\nlater = ..."),
        cell("markdown", "```{solution-start} ex-rounding-hand\n```"),
        cell("code", "check('rounding-hand', [0, 1, 5, 7])"),
        cell("markdown", "```{solution-end}\n```"),
        cell("code", "check('rounding-outlier', ...)"),
        cell("code", "check('rounding-thermometer', [10, 7, 1 / 0])"),
    ]
    path = written(tmp_path, "02.ipynb", json.dumps({"cells": cells}))
    found = graded(path)
    assert found.passed == {"rounding-hand": False}
    assert found.remarks == [
        "ZeroDivisionError: division by zero, line 1 of 02.ipynb, cell 9: "
        "check('rounding-thermometer', [10, 7, 1 / 0])"
    ]


@pytest.mark.parametrize(
    "change", ["mine[3] = 7", "mine.pop(3)\nmine.append(7)", "mine[2:] = 5, 7"]
)
def test_a_cell_that_changes_an_answer_in_place_is_run(tmp_path, change):
    """Oracle: the answer is right only after that cell; one that asks for help is skipped."""
    sources = ("from exercises import check\nmine = [0, 1, 5, 6]\nmine?", change)
    cells = [cell("code", one) for one in (*sources, "check('rounding-hand', mine)")]
    path = written(tmp_path, "02.ipynb", json.dumps({"cells": cells}))
    assert graded(path).passed == {"rounding-hand": True}


def test_a_folder_for_each_student_is_one_row(tmp_path):
    """Oracle: two files of one student."""
    (tmp_path / "ada").mkdir()
    written(tmp_path / "ada", "one.py", RIGHT)
    written(tmp_path / "ada", "two.py", 'check("rounding-thermometer", [10, 7, 1268])')
    (row,) = csv.DictReader(io.StringIO(of_folder(tmp_path)))
    assert (row["student"], row["points"], row["remark"]) == ("ada", "2", "")


def test_one_file_is_reported_and_recorded_near_it(tmp_path):
    """Oracle: the report of the checker; the record, read as JSON."""
    written(tmp_path, "progress.json", "{}")
    (tmp_path / "mine").mkdir()
    path = written(tmp_path / "mine", "a.py", RIGHT + 'check("rounding-thermometer", [1, 7, 1268])')
    told = check_file(path, 60)
    assert "rounding-hand\n  ✓ " in told
    assert "Right." in told
    assert told.endswith("1 of 2 answers are right.")
    assert json.loads((tmp_path / "progress.json").read_text()) == {
        "rounding-hand": {"tries": 1, "passed": True},
        "rounding-thermometer": {"tries": 1, "passed": False},
    }


def test_the_status_lists_every_exercise_with_what_was_passed(tmp_path, monkeypatch):
    """Oracle: the registry, and two recorded tries."""
    (tmp_path / "work").mkdir()
    written(tmp_path / "work", "progress.json", "{}")
    for _ in range(2):
        assert record("rounding-hand", passed=False, folder=tmp_path / "work") is None
    record("affine-hand", passed=True, folder=tmp_path / "work")
    monkeypatch.chdir(tmp_path)
    lines = main(["status"]).splitlines()
    assert {line.split()[1] for line in lines[1:-1]} == set(all_exercises())
    assert next(x for x in lines if "rounding-hand" in x).endswith("2 tries")
    assert next(x for x in lines if "affine-hand" in x).endswith("passed")
    assert lines[-1].startswith(f"1 of {len(all_exercises())} passed")


def test_the_status_needs_neither_chapters_nor_other_packages_than_the_course(tmp_path):
    """Oracle: what an archive holds, in a Python that has no PyYAML."""
    shutil.copytree(ROOT / "exercises", tmp_path / "exercises")
    (tmp_path / "reference_impl").symlink_to(ROOT / "reference_impl")
    script = "import sys, runpy; sys.modules['yaml'] = None; runpy.run_module('exercises')"
    command = [sys.executable, "-c", f"{script}['main'](['status'])"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["check", "nowhere.py"], "python -m exercises: nowhere.py: no such file"),
        (["grade", "nowhere"], "python -m exercises: nowhere: no such folder"),
        (["grade", "."], "python -m exercises: .: no .py or .ipynb file in it or in its folders"),
    ],
)
def test_a_failure_is_one_line(tmp_path, arguments, line):
    """Oracle: what the process writes to stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "exercises", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr.strip(), ended.stdout) == (1, line, "")


def test_the_table_goes_into_a_file_if_one_is_named(tmp_path):
    """Oracle: the table itself."""
    written(tmp_path, "a.py", RIGHT)
    main(["grade", str(tmp_path), "--output", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text("utf-8").startswith("student,points,remark,rounding-")


def test_every_exercise_of_the_chapters_has_a_checker_and_the_other_way_round():
    """Oracle: the registry."""
    assert sorted(one.name for one in listed()) == sorted(all_exercises())
