"""pytest itself, run on notebooks whose cells are each wrong in one way that only a run shows."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book_tools import comparing

pytest_plugins = ["pytester"]

TIMEOUT = 4  # seconds, of a cell


def printed(text: str, name: str = "stdout") -> Any:
    return new_output("stream", name=name, text=text)


def error(ename: str, evalue: str) -> Any:
    return new_output("error", ename=ename, evalue=evalue, traceback=[])


def cell(source: str, *outputs: Any, tags: str = "", count: int | None = 0, **metadata: Any) -> Any:
    """Return a code cell; a count of 0 stands for its place in the notebook."""
    metadata |= {"tags": tags.split()} if tags else {}
    return new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=count)


RAISES = "raises-exception"
GOOD = cell("print(0.5)", printed("0.6\n"))
UPDATE = "from IPython.display import display\nd = display(1, display_id=True); d.update(2)"
TRAINED = {"tolerance": {"accuracy": 0.3}, "reason": "trained"}

#: The cells of one notebook, and what each says; nothing if it passes.
CELLS: dict[str, tuple[Any, str]] = {
    "good": (GOOD, ""),
    "silent": (cell("x = 1;"), ""),
    "late": (cell("import time; time.sleep(1.5); print('late')", printed("late\n")), ""),
    "raising": (cell("raise ValueError('0.50')", error("ValueError", "0.51"), tags=RAISES), ""),
    "number": (cell("print(0.5)", printed("0.8\n")), "stored '0.8', got '0.5'"),
    "stderr": (cell("import sys; print(1, file=sys.stderr)"), "writes to stderr"),
    "stderr of a child": (cell("import os; os.system('echo 1 >&2; sleep 1');"), "to stderr"),
    "warning": (cell("import warnings; warnings.warn('old')"), "UserWarning: old"),
    "no exception": (cell("pass", error("ValueError", "x"), tags=RAISES), "raised nothing"),
    "update": (cell(UPDATE), "outputs must be static"),
    "clear": (cell("from IPython.display import clear_output as c; c()"), "must be static"),
    "never executed": (cell("2;", count=None), "was never executed: make fresh"),
    "out of order": (cell("2;", count=99), "was executed as number 99: make fresh"),
    "empty": (cell(" "), "is empty: delete it"),
    "stored stderr": (cell("1;", printed("x", "stderr")), "stored stderr"),
    "stored error": (cell("1;", error("ValueError", "x")), "no tag raises-exception"),
    "ignored": (
        cell("# NBVAL_IGNORE_OUTPUT\nprint(1)", reason="random"),
        "notebook_ignored_cells is 0, but 3 cells count",
    ),
    "ignored by tag": (cell("print(1)", tags="nbval-ignore-output"), "needs a reason"),
    "skipped": (cell("print(1)", tags="nbval-skip", reason="x"), "notebook_ignored_cells is 0"),
    "moved too far": (
        cell("print('accuracy 88.3')", printed("accuracy 88.7\n"), **TRAINED),
        "further apart than the tolerance 0.3",
    ),
    "wrong name": (
        cell("print('loss 0.5')", printed("loss 0.5\n"), **TRAINED),
        "no printed number has the name 'accuracy'",
    ),
    "moved": (cell("print('accuracy 88.3')", printed("accuracy 88.6\n"), **TRAINED), ""),
}
FOLLOWS = {
    "exception": (["1 / 0", "a"], ["ZeroDivisionError", "follows from cell 1"]),
    "endless": (["while True: pass", "pass"], [f"longer than {TIMEOUT} s", ""]),
    "chatting": (["while True: print(1)", "pass"], [f"longer than {TIMEOUT} s", ""]),
    "killed": (
        ["import os; os._exit(1)", "1"],
        ["the kernel died", "not run: follows from cell 1"],
    ),
}


class Run(NamedTuple):
    """What a run of pytest reported: (notebook, test) → message, empty when it passed."""

    code: int
    output: str
    messages: dict[tuple[str, str], str]
    skipped: set[tuple[str, str]]


def write(folder: Path, name: str, *cells: Any) -> Path:
    notebook = new_notebook(metadata={"kernelspec": {"name": "julia", "display_name": "Julia"}})
    for number, entry in enumerate(cells, start=1):
        count = number if entry["execution_count"] == 0 else entry["execution_count"]
        notebook.cells.append(entry | {"id": f"c{number}", "execution_count": count})
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.from_dict(notebook), path)
    return path


def options(plugin: str = "book_tools.comparing.plugin") -> list[str]:
    return [
        *("-p", plugin, "-p", "no:cacheprovider", "-W", "error", "--rootdir", "."),
        *("--strict-config", "--junitxml=report.xml", "-o", "notebook_refresh=make fresh"),
        f"--nbval-cell-timeout={TIMEOUT}",
    ]


def reported(folder: Path, code: int, output: str) -> Run:
    messages, skipped, report = {}, set(), folder / "report.xml"
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        notebook = case.get("classname", "").removesuffix(".ipynb").rsplit(".", 1)[-1]
        key = notebook, case.get("name", "")
        skipped |= {key} if case.find("skipped") is not None else set()
        messages[key] = "".join(node.text or "" for node in case if node.tag != "skipped")
    return Run(code, output, messages, skipped)


def run_pytest(pytester: pytest.Pytester, *arguments: str, **given: str) -> Run:
    """Run pytest in this process, which has loaded what it needs."""
    done = pytester.runpytest_inprocess(*options(**given), *arguments)
    return reported(pytester.path, int(done.ret), f"{done.stdout}{done.stderr}")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run over all notebooks, on two processes as the project's own."""
    folder = tmp_path_factory.mktemp("book")
    chapters = folder / "chapters"
    (chapters / ".ipynb_checkpoints").mkdir(parents=True)
    write(chapters, "cells", *(entry for entry, _ in CELLS.values()))
    for name, (sources, _) in FOLLOWS.items():
        write(chapters, name, *map(cell, sources))
    write(chapters / ".ipynb_checkpoints", "checkpoint", GOOD)
    write(folder, "elsewhere", GOOD)
    command = [sys.executable, "-m", "pytest", *options(), "-n", "2", "--dist", "loadscope"]
    command += ["-v", "-o", "notebook_tolerances=3"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return reported(folder, done.returncode, done.stdout + done.stderr)


@pytest.mark.parametrize("name", CELLS)
def test_a_right_cell_passes_and_a_wrong_one_says_why(run, name):
    """Oracle: the sentence that belongs to the one thing wrong with the cell."""
    message = run.messages["cells", f"cell {list(CELLS).index(name) + 1}"]
    expected = CELLS[name][1]
    assert expected in message
    assert bool(message) is bool(expected)


@pytest.mark.parametrize("name", FOLLOWS)
def test_what_follows_from_a_failure_says_so_in_short(run, name):
    """Oracle: the second cell, which cannot work without the first unless it needs nothing."""
    first, second = (run.messages[name, f"cell {i}"] for i in (1, 2))
    assert FOLLOWS[name][1][0] in first
    assert FOLLOWS[name][1][1] in second
    assert bool(second) is bool(FOLLOWS[name][1][1])
    assert "Traceback" not in second


def test_a_notebook_runs_on_one_process_and_two_notebooks_side_by_side(run):
    """Oracle: the process that pytest names beside every test; checkpoints are not collected."""
    found = re.findall(r"\[(gw\d)\] .* chapters/(\w+)\.ipynb::", run.output)
    used = {
        notebook: {worker for worker, other in found if other == notebook} for _, notebook in found
    }
    assert {name for name, _ in run.messages} == set(used) == {"cells", *FOLLOWS}
    assert all(len(workers) == 1 for workers in used.values())
    assert set.union(*used.values()) == {"gw0", "gw1"}
    assert run.code == 1
    assert "warning" not in run.output.splitlines()[-1]


def test_a_wrong_output_is_shown_beside_the_stored_one_and_the_repair(run):
    """Oracle: what a person needs to fix it."""
    message = run.messages["cells", "cell 5"]
    for part in ("cells.ipynb, cell 5", "stored:", "0.8", "got:", "print(0.5)", "make fresh"):
        assert part in message


def test_cells_go_unchecked_within_the_budget(pytester):
    """Oracle: two cells with reasons and a budget of two; one of them is skipped."""
    write(pytester.path, "ignoring", CELLS["ignored"][0], CELLS["skipped"][0])
    done = run_pytest(pytester, "ignoring.ipynb", "-o", "notebook_ignored_cells=2")
    assert done.code == 0, done.output
    assert done.skipped == {("ignoring", "cell 2")}


def test_a_copy_of_the_plugin_means_the_same_with_nbval_and_without(pytester):
    """Oracle: the tests of a folder of notebooks, one of them without ids, elsewhere."""
    shutil.copytree(Path(comparing.__file__).parent, pytester.path / "our_plugin")
    pytester.syspathinsert()
    path = write(pytester.path, "elsewhere", GOOD, CELLS["number"][0])
    path.write_text(re.sub(r'"id": "\w+",', "", path.read_text("utf-8")), "utf-8")
    runs = [
        run_pytest(pytester, *arguments, plugin="our_plugin.plugin")
        for arguments in (["--nbval", "."], ["elsewhere.ipynb"])
    ]
    assert runs[0].messages == runs[1].messages
    assert [bool(message) for message in runs[0].messages.values()] == [False, True]


@pytest.mark.parametrize("option", ["--nbval-lax", "--nbval-sanitize-with=x"])
def test_an_option_of_nbval_that_would_mean_something_else_is_refused(pytester, option):
    """Oracle: pytest's code for wrong usage, and one line."""
    done = run_pytest(pytester, option)
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert f"{option.removesuffix('=x')} has no meaning" in done.output
    assert len(done.output.splitlines()) == 1


def test_what_cannot_be_read_or_started_is_reported_without_a_traceback(pytester):
    """Oracle: pytest's code for interrupted collection; a kernel that ends at once."""
    (pytester.path / "broken.ipynb").write_text("{", encoding="utf-8")
    write(pytester.path, "good", GOOD)
    broken = run_pytest(pytester, "broken.ipynb")
    assert broken.code == pytest.ExitCode.INTERRUPTED
    assert "broken.ipynb is not a notebook: " in broken.output
    assert ".py:" not in broken.output
    (pytester.path / "ipykernel_launcher.py").write_text("raise SystemExit", encoding="utf-8")
    last = run_pytest(pytester, "good.ipynb").messages["good", "cell 1"].splitlines()[-1]
    assert last.startswith("good.ipynb: the kernel did not start: ")
