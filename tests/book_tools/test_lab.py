"""The learner's desk: copies that are never overwritten, opened in JupyterLab."""

import json
import os
import re
import subprocess
import sys
import time

import nbformat
import pytest

from book_tools.editions import lab
from book_tools.editions.edition import digest, written
from book_tools.notebooks import chosen
from book_tools.site.check import browser
from exercises.grading import grade_file
from exercises.submission import SOLUTION

PATHS = chosen(["02", "08"])


@pytest.fixture
def work(tmp_path):
    assert list(lab.laid_out(PATHS, tmp_path)) == []
    return tmp_path


def test_a_desk_has_the_copies_their_solutions_and_a_record_of_progress(work):
    """Oracle: the names of the chapters' files."""
    names = [path.name for path in PATHS]
    assert sorted(path.name for path in work.glob("*.ipynb")) == names
    assert sorted(path.name for path in (work / "solutions").glob("*.ipynb")) == names
    assert json.loads((work / "progress.json").read_text()) == {}


def test_handed_in_solutions_earn_nothing(work):
    """Oracle: the grader of the exercises; the solutions have a tag, as nothing in a copy has."""
    solutions = work / "solutions" / PATHS[0].name
    found = grade_file(solutions)
    assert (found.passed, found.remarks) == ({}, ["it does not call check(name, answer)"])
    assert solutions.read_text().count(f'"{SOLUTION}"') > 5
    assert f'"{SOLUTION}"' not in (work / PATHS[0].name).read_text()


def test_answers_and_progress_are_kept(work):
    """Oracle: the bytes of what a learner has written."""
    mine = work / PATHS[0].name
    for path, text in ((mine, "my answers"), (work / "progress.json", '{"a": 1}')):
        path.write_text(text)
    assert list(lab.laid_out(PATHS, work)) == []
    assert mine.read_text() == "my answers"
    assert (work / "progress.json").read_text() == '{"a": 1}'


def test_a_copy_without_a_change_follows_its_chapter(work):
    """Oracle: a copy of other cells, as `make lab` made it, and then run."""
    mine = work / PATHS[0].name
    fresh = mine.read_bytes()
    old = nbformat.read(mine, as_version=4)
    del old.cells[5]
    old.metadata["made_from"] = digest(old)
    old.cells[-1].metadata["run"] = True
    mine.write_text(written(old))
    assert list(lab.laid_out(PATHS, work)) == []
    assert mine.read_bytes() == fresh


def test_a_chapter_that_has_changed_since_is_announced_and_the_copy_is_kept(work):
    """Oracle: a copy that was made from other cells, and one that has answers."""
    solutions = work / "solutions" / PATHS[0].name
    solutions.write_text("those of the old chapter")
    changed, answered = (work / path.name for path in PATHS)
    old = nbformat.read(changed, as_version=4)
    old.metadata["made_from"] = "another sum"
    changed.write_text(written(old))
    mine = nbformat.read(answered, as_version=4)
    mine.cells[-1].source += " my note"
    answered.write_text(written(mine))
    before = changed.read_bytes(), answered.read_bytes()
    (line,) = lab.laid_out(PATHS, work)
    assert line.startswith(f"{changed.name}: the chapter has changed.")
    assert (changed.read_bytes(), answered.read_bytes()) == before
    assert solutions.read_text() == "those of the old chapter"
    changed.rename(work / "mine.ipynb")
    assert list(lab.laid_out(PATHS, work)) == []
    assert changed.exists()


def test_an_unknown_chapter_is_answered_with_the_list(capsys, monkeypatch, tmp_path):
    """Oracle: the status and the last line of the list."""
    monkeypatch.setattr(lab, "WORK", tmp_path)
    assert lab.main(["77", "--make-only"]) == 1
    assert "there is no chapter 77; there are" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


READ = r"""() => {
    const cells = [...document.querySelectorAll(".jp-MarkdownCell .myst")];
    const text = (cell) => {
        const copy = cell.cloneNode(true);
        copy.querySelectorAll(".katex").forEach((formula) => formula.remove());
        return copy.textContent;
    };
    return {
        text: cells.map(text).join("\n"),
        formulas: document.querySelectorAll(".jp-MarkdownCell .katex").length,
        numbers: [...document.querySelectorAll(".katex .tag")].map((e) => e.textContent),
        errors: [...document.querySelectorAll(".katex-error, .merror, [class*=myst-error]")]
            .map((e) => e.innerText),
    };
}"""
SHOWN = """(count) => {
    const cells = [...document.querySelectorAll(".jp-MarkdownCell .myst")];
    return cells.length === count && cells.every((cell) => cell.textContent);
}"""
WHOLE = "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"  # not only the cells in view


@pytest.mark.usefixtures("needs_chromium")
def test_jupyterlab_shows_a_copy_with_formulas_and_no_error(work):
    """Oracle: what a reader sees in Chromium; KaTeX marks a formula that it cannot read."""
    folders = {f"JUPYTER_{k}": str(work / k) for k in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    folders |= {f"JUPYTERLAB_{k}_DIR": str(work / k) for k in ("WORKSPACES", "SETTINGS")}
    (work / "SETTINGS" / WHOLE).parent.mkdir(parents=True)
    (work / "SETTINGS" / WHOLE).write_text('{"windowingMode": "none"}')
    copy = nbformat.read(work / PATHS[0].name, as_version=4)
    n_texts = sum(cell.cell_type == "markdown" for cell in copy.cells)
    options = "--no-browser", "--allow-root", "--ServerApp.port=0", "--IdentityProvider.token=t"
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={work}"]
    with (
        (work / "log").open("w") as log,
        subprocess.Popen(command, env=os.environ | folders, stderr=log) as server,
    ):
        try:
            root = address(work / "log")
            with browser() as chromium, chromium.new_page() as page:
                page.goto(f"{root}lab/tree/{PATHS[0].name}?token=t")
                page.wait_for_function(SHOWN, arg=n_texts, timeout=120_000)
                seen = page.evaluate(READ)
        finally:
            server.terminate()
    assert seen["formulas"] > 100
    assert seen["errors"] == []
    assert not re.findall(r"\{[\w:]+\}`|^:::|\\tag|\\begin", seen["text"], re.MULTILINE)
    assert "Exercise 2.1: By hand" in seen["text"]
    assert "(2.10)" in seen["numbers"]


def address(log, patience=60.0):
    """Return where the server says that it listens."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
            return found[0]
        time.sleep(0.2)
    raise TimeoutError(log.read_text())
