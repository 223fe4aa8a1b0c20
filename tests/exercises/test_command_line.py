"""Exercises on the command line: one file, the record of what was passed, errors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book_tools.pages.exercises import listed
from exercises import all_exercises, hints
from exercises.__main__ import check_file, main
from exercises.progress import record

ROOT = Path(__file__).parents[2]
RIGHT = 'check("rounding-hand", [0, 1, 5, 7])\n'
WRONG = 'check("rounding-thermometer", [1, 7, 1268])\n'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_one_file_is_reported_and_recorded_near_it(tmp_path):
    """Oracle: the report of the checker; the record, read as JSON."""
    written(tmp_path, "progress.json", "{}")
    (tmp_path / "mine").mkdir()
    path = written(tmp_path / "mine", "a.py", RIGHT + WRONG)
    told = check_file(path, 60)
    assert "rounding-hand\n  ✓ " in told
    assert "Right." in told
    assert told.endswith("1 of 2 answers are right. For hints: python -m exercises hint NAME")
    assert json.loads((tmp_path / "progress.json").read_text()) == {
        "rounding-hand": {"tries": 1, "passed": True},
        "rounding-thermometer": {"tries": 1, "passed": False},
    }


def test_a_file_beside_the_folder_of_the_copies_is_recorded_in_it(tmp_path):
    """Oracle: the record, read as JSON."""
    (tmp_path / "work").mkdir()
    record_file = written(tmp_path / "work", "progress.json", "{}")
    assert check_file(written(tmp_path, "a.py", RIGHT), 60).endswith("1 of 1 answers are right.")
    assert json.loads(record_file.read_text()) == {"rounding-hand": {"tries": 1, "passed": True}}


def test_both_hints_are_printed():
    """Oracle: the notes."""
    assert main(["hint", "rounding-hand"]).splitlines() == hints("rounding-hand")


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


def test_a_failure_is_one_line(tmp_path):
    """Oracle: what the process writes to stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "exercises", "check", "nowhere.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    line = "python -m exercises: nowhere.py: no such file"
    assert (ended.returncode, ended.stderr.strip(), ended.stdout) == (1, line, "")


def test_a_folder_without_files_is_an_error(tmp_path):
    """Oracle: a folder that does not exist, and an empty one."""
    with pytest.raises(ValueError, match=r"nowhere: no such folder"):
        main(["grade", str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match=r"no \.py or \.ipynb file in it or in its folders"):
        main(["grade", str(tmp_path)])


def test_the_table_goes_into_a_file_if_one_is_named(tmp_path):
    """Oracle: the table itself."""
    written(tmp_path, "a.py", RIGHT)
    main(["grade", str(tmp_path), "--output", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text("utf-8").startswith("\ufeffstudent,points,remark,")


def test_every_exercise_of_the_chapters_has_a_checker_and_the_other_way_round():
    """Oracle: the registry."""
    assert sorted(one.name for one in listed()) == sorted(all_exercises())
