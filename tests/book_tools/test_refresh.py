"""Refreshing notebooks: what is written, what is left alone."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book_tools.comparing.rules import code_cells, structure_problems
from book_tools.refresh import merged, tidied
from reference_impl.files import ROOT


def write(path: Path, *sources: str, tags: tuple[str, ...] = ()) -> Path:
    cells = [new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    notebook = new_notebook(cells=cells)
    notebook.cells[-1].metadata["tags"] = list(tags)
    nbformat.write(notebook, path)
    return path


def run_refresh(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "book_tools.refresh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """Refresh good and bad notebooks at once; return the run, the folder and the bytes before."""
    folder = tmp_path_factory.mktemp("refresh")
    write(folder / "good.ipynb", "import os; print(os.path.basename(os.getcwd()))", "print(0.5)")
    raising = "from book_tools.notebooks import chosen\nchosen(['99'])"
    write(folder / "raising.ipynb", raising, tags=("raises-exception",))
    write(folder / "failing.ipynb", "1 / 0")
    write(folder / "noisy.ipynb", "import warnings; warnings.warn('old')")
    write(folder / "calm.ipynb", "1;", tags=("raises-exception",))
    write(folder / "empty.ipynb", " ")
    paths = sorted(folder.glob("*.ipynb"))
    before = {path.stem: path.read_bytes() for path in paths}
    return run_refresh(*paths), folder, before


def test_good_notebooks_are_stored_as_tests_in_their_own_folder(first_run):
    """Oracle: what the cells print, and the rules of a stored notebook."""
    _, folder, _ = first_run
    notebook = nbformat.read(folder / "good.ipynb", as_version=4)
    assert not structure_problems(notebook)
    texts = [cell["outputs"][0]["text"] for cell in code_cells(notebook)]
    assert texts == [f"{folder.name}\n", "0.5\n"]
    assert [cell["id"] for cell in notebook.cells] == ["c0", "c1"]
    assert "execution" not in notebook.cells[0].metadata


def test_an_expected_exception_is_stored_without_this_machines_folders(first_run):
    """Oracle: the folder of the project, which a traceback names otherwise."""
    _, folder, _ = first_run
    text = (folder / "raising.ipynb").read_text("utf-8")
    assert "there is no chapter 99" in text
    assert "book_tools/notebooks.py" in text
    assert str(ROOT) not in text


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("failing", "ZeroDivisionError"),
        ("noisy", "stderr"),
        ("calm", "no stored exception"),
        ("empty", "is empty"),
    ],
)
def test_a_notebook_that_cannot_be_a_test_is_left_as_it_was(first_run, name, why):
    """Oracle: the bytes from before, and the reason on stderr."""
    done, folder, before = first_run
    assert done.returncode == 1
    assert why in done.stderr
    assert (folder / f"{name}.ipynb").read_bytes() == before[name]


def test_the_second_refresh_writes_nothing(first_run):
    """Oracle: the file's number on the disk, which an atomic write changes."""
    _, folder, _ = first_run
    path = folder / "good.ipynb"
    number = path.stat().st_ino
    done = run_refresh(path)
    assert (done.returncode, path.stat().st_ino) == (0, number), done.stderr
    assert "good: unchanged" in done.stdout
    assert not list(folder.glob("*.part"))


def stored_notebook(text: str) -> nbformat.NotebookNode:
    output = new_output("stream", name="stdout", text=text)
    return new_notebook(cells=[new_code_cell("f()", id="c0", execution_count=1, outputs=[output])])


def test_outputs_that_agree_are_kept_and_others_replaced():
    """Oracle: one number moved within, and one beyond, its last digit."""
    stored, near, far = (stored_notebook(text) for text in ("-0.4931", "-0.4932", "-0.4939"))
    assert merged(stored, near) == (stored, 0)
    assert merged(stored, far) == (far, 1)
    far.cells[0] |= {"outputs": stored.cells[0].outputs, "execution_count": 2}
    assert merged(stored, far) == (far, 1)


def test_times_and_versions_are_not_stored():
    """Oracle: metadata as JupyterLab writes them."""
    notebook = tidied(stored_notebook("1"))
    noisy = tidied(notebook)
    noisy.metadata["language_info"]["version"] = "3.11.99"
    noisy.cells[0].metadata["execution"] = {"iopub.execute_input": "2024-01-01"}
    assert noisy != notebook
    assert tidied(noisy) == notebook
