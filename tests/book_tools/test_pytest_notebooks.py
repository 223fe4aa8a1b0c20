"""pytest itself, run on notebooks each of which is wrong in one way that only a run shows."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

TIMEOUT = 4  # seconds, of a cell


def printed(text: str) -> Any:
    return new_output("stream", name="stdout", text=text)


def cell(source: str, *outputs: Any, tags: tuple[str, ...] = (), **metadata: Any) -> Any:
    metadata |= {"tags": list(tags)} if tags else {}
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


def error(ename: str, evalue: str) -> Any:
    return new_output("error", ename=ename, evalue=evalue, traceback=[])


def png() -> Any:
    return new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "x"})


GOOD = cell("print(0.5)", printed("0.6\n"))
RAISES = ("raises-exception",)
PNG = "from IPython.display import Image, display\ndisplay(Image(data=b'\\x89PNG\\r\\n\\x1a\\n'))"

#: name → cells, and what the message of the first failure must say; None: all cells pass.
NOTEBOOKS: dict[str, tuple[list[Any], str | None]] = {
    "good": ([GOOD, cell("x = 1;"), cell("x;")], None),
    "late": ([cell("import time; time.sleep(1.5); print('late')", printed("late\n"))], None),
    "other_kernel": ([GOOD], None),
    "raising": (
        [
            cell(
                "print(1); raise ValueError('0.50')",
                printed("1\n"),
                error("ValueError", "0.51"),
                tags=RAISES,
            ),
            GOOD,
        ],
        None,
    ),
    "number": ([cell("print(0.5)", printed("0.8\n"))], "stored '0.8', got '0.5'"),
    "missing_output": ([cell("pass", printed("1\n"))], "stored stdout, got nothing"),
    "extra_output": ([cell("print(1)")], "stored nothing, got stdout"),
    "stderr": ([cell("import sys; print(1, file=sys.stderr)")], "writes to stderr"),
    "stderr_of_a_child": (
        [cell("import os; os.system('echo 1 >&2; sleep 1');")],
        "writes to stderr",
    ),
    "warning": ([cell("import warnings; warnings.warn('old')")], "UserWarning: old"),
    "no_exception": ([cell("pass", error("ValueError", "x"), tags=RAISES)], "raised nothing"),
    "other_exception": (
        [cell("raise KeyError('x')", error("ValueError", "x"), tags=RAISES)],
        "stored the exception ValueError, got KeyError",
    ),
    "other_message": (
        [cell("raise ValueError('y')", error("ValueError", "x"), tags=RAISES)],
        "message of the ValueError",
    ),
    "exception": ([cell("a = 1 / 0"), cell("a", printed("0"))], "ZeroDivisionError"),
    "endless": ([cell("while True: pass"), GOOD], f"longer than {TIMEOUT} s"),
    "killed": ([cell("import os; os._exit(1)"), GOOD], "the kernel died"),
    "png": ([cell(PNG, png())], "store figures as SVG"),
    "update": (
        [cell("from IPython.display import display\nd = display(1, display_id=True); d.update(2)")],
        "outputs must be static",
    ),
    "never_executed": ([GOOD, cell("print(2)")], "code cell 2 ('print(2)') was never executed"),
    "out_of_order": ([GOOD, GOOD], "was executed as number 7 instead of 2"),
    "empty_cell": ([GOOD, cell(" ")], "is empty"),
    "stored_stderr": ([cell("1;", new_output("stream", name="stderr", text="x"))], "stored stderr"),
    "stored_error": ([cell("1;", error("ValueError", "x"))], "no tag raises-exception"),
    "ignored": (
        [cell("# NBVAL_IGNORE_OUTPUT\nprint(1)", **{"nbval-reason": "random"})],
        "notebook_ignored_cells is 0",
    ),
    "ignored_by_tag": ([cell("print(1)", tags=("nbval-ignore-output",))], "give no reason"),
    "skipped": (
        [cell("print(1)", tags=("nbval-skip",), **{"nbval-reason": "x"})],
        "notebook_ignored_cells is 0",
    ),
}


@dataclass(frozen=True)
class Run:
    """What a run of pytest reported: (notebook, test) → message, empty when it passed."""

    code: int
    output: str
    messages: dict[tuple[str, str], str]
    skipped: dict[tuple[str, str], str]

    def of(self, notebook: str) -> dict[str, str]:
        return {
            test: message for (name, test), message in self.messages.items() if name == notebook
        }


def write(folder: Path, name: str, cells: list[Any]) -> Path:
    notebook = new_notebook()
    notebook.cells = [dict(entry) for entry in cells]
    notebook = nbformat.from_dict(notebook)
    for i, entry in enumerate(notebook.cells):
        entry.id, entry.execution_count = f"c{i}", i + 1
    if name == "out_of_order":
        notebook.cells[1].execution_count = 7
    if name == "never_executed":
        notebook.cells[1].execution_count = None
    if name == "other_kernel":
        notebook.metadata["kernelspec"] = {"name": "julia", "display_name": "Julia"}
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def run_pytest(folder: Path, *arguments: str) -> Run:
    command = [
        sys.executable, "-m", "pytest", "-p", "book_tools.comparing.plugin",
        "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(folder), "--strict-config",
        "--junitxml=report.xml", "-o", f"notebook_cell_timeout={TIMEOUT}", *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    messages, skipped = {}, {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        notebook = case.get("classname", "").removesuffix(".ipynb").rsplit(".", 1)[-1]
        key = notebook, case.get("name", "")
        bad = [node for node in case if node.tag in ("failure", "error")]
        skips = [node.get("message", "") for node in case if node.tag == "skipped"]
        skipped |= dict.fromkeys([key] if skips else [], "".join(skips))
        messages[key] = "".join(node.text or "" for node in bad)
    return Run(done.returncode, done.stdout + done.stderr, messages, skipped)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run over all notebooks, on two processes as the project's own."""
    folder = tmp_path_factory.mktemp("book")
    chapters = folder / "chapters"
    (chapters / ".ipynb_checkpoints").mkdir(parents=True)
    for name, (cells, _) in NOTEBOOKS.items():
        write(chapters, name, cells)
    write(chapters / ".ipynb_checkpoints", "checkpoint", [GOOD])
    write(folder, "elsewhere", [GOOD])
    return run_pytest(folder, "-n", "2", "--dist", "loadscope", "-v")


@pytest.mark.parametrize("name", [name for name, (_, message) in NOTEBOOKS.items() if not message])
def test_a_right_notebook_passes(run: Run, name: str) -> None:
    """Oracle: every cell is reported, and none with a message."""
    assert list(run.of(name).values()) == [""] * len(NOTEBOOKS[name][0]), run.output


@pytest.mark.parametrize("name", [name for name, (_, message) in NOTEBOOKS.items() if message])
def test_a_wrong_notebook_fails_and_says_why(run: Run, name: str) -> None:
    """Oracle: the sentence that belongs to the one thing wrong with it."""
    bad = [message for message in run.of(name).values() if message]
    assert bad, run.output
    assert str(NOTEBOOKS[name][1]) in bad[0]


def test_the_run_fails_and_nothing_warns(run: Run) -> None:
    """Oracle: pytest's own summary."""
    assert run.code == 1
    assert "warning" not in run.output.splitlines()[-1]


def test_a_notebook_runs_on_one_process_and_two_notebooks_side_by_side(run: Run) -> None:
    """Oracle: the process that pytest names beside every test."""
    found = re.findall(r"\[(gw\d)\] .* chapters/(\w+)\.ipynb::", run.output)
    workers: dict[str, set[str]] = {}
    for worker, notebook in found:
        workers.setdefault(notebook, set()).add(worker)
    assert set(workers) == set(NOTEBOOKS)
    assert all(len(used) == 1 for used in workers.values())
    assert set.union(*workers.values()) == {"gw0", "gw1"}


def test_a_wrong_output_is_shown_beside_the_stored_one_and_the_repair(run: Run) -> None:
    """Oracle: what a person needs to fix it."""
    (message,) = run.of("number").values()
    for part in ("number.ipynb, Cell 0", "stored:", "0.8", "got:", "0.5", "print(0.5)", "refresh"):
        assert part in message


@pytest.mark.parametrize("name", ["exception", "endless", "killed"])
def test_what_follows_from_a_failure_says_so_in_short(run: Run, name: str) -> None:
    """Oracle: the second cell, which cannot work without the first."""
    expected = "not run: follows from Cell 0" if name == "killed" else "Cell 0"
    later = run.of(name)["Cell 1"]
    if name == "endless":  # interrupted, the kernel lives on, and the second cell needs nothing
        assert not later
    else:
        assert expected in later
        assert "Traceback" not in later


def test_checkpoints_and_other_folders_are_not_collected(run: Run) -> None:
    """Oracle: the names of the collected notebooks."""
    assert {name for name, _ in run.messages} == set(NOTEBOOKS)


def test_cells_go_unchecked_within_the_budget(tmp_path: Path) -> None:
    """Oracle: two cells with reasons and a budget of two; one of them is skipped."""
    names = ("ignored", "skipped")
    paths = [str(write(tmp_path, name, NOTEBOOKS[name][0])) for name in names]
    done = run_pytest(tmp_path, *paths, "-o", "notebook_ignored_cells=2")
    assert done.code == 0, done.output
    assert done.skipped == {("skipped", "Cell 0"): "x"}
    assert not any(done.messages.values())


def test_a_notebook_named_on_the_command_line_is_collected_anywhere(tmp_path: Path) -> None:
    """Oracle: the number of tests."""
    done = run_pytest(tmp_path, str(write(tmp_path, "elsewhere", [GOOD, GOOD])))
    assert done.code == 0, done.output
    assert len(done.messages) == 2


def test_what_is_no_notebook_is_an_error(tmp_path: Path) -> None:
    """Oracle: pytest's code for interrupted collection."""
    (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
    done = run_pytest(tmp_path, "broken.ipynb")
    assert done.code == 2
    assert "broken.ipynb" in done.output
