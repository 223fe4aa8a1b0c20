"""Editions to hand out: they run without the repository, and the chapter prints what is stored."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest

from book_tools.comparing.outputs import outputs_difference
from book_tools.comparing.rules import code_cells
from book_tools.editions import archives
from book_tools.editions.archives import chapter_archive, main, student_edition
from book_tools.editions.folder import imported, modules_of, requirements_of
from book_tools.files import ROOT
from book_tools.notebooks import chosen, read

RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
client = NotebookClient(notebook, timeout=400, kernel_name="bare")
client.execute(cwd=sys.argv[2])
nbformat.write(notebook, sys.argv[1])
"""
KERNEL = """
import sys
sys.path.append({packages!r})
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""


def executed(archive, folder):
    """Unzip an archive and run its notebook where the course is not installed; return it.

    A Python with -S reads no .pth file, so that it does not know the folder of the repository.
    """
    zipfile.ZipFile(archive).extractall(folder)
    (path,) = folder.glob("*/*.ipynb")
    kernel = folder / "kernels" / "bare" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    start = KERNEL.format(packages=sysconfig.get_path("purelib"))
    argv = [sys.executable, "-S", "-c", start, "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "bare", "language": "python"}))
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    bare["JUPYTER_PATH"] = str(folder)
    command = [sys.executable, "-c", RUN, str(path), str(path.parent)]
    done = subprocess.run(
        command, env=bare, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return read(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the archive of chapter 02, and its students' edition."""
    (path,), folder = chosen(["02"]), tmp_path_factory.mktemp("made")
    return chapter_archive(path, folder / path.stem), student_edition([path], folder / "student")


def test_the_students_edition_runs_and_prints_what_the_chapter_stores(made, tmp_path):
    """Oracle: the chapter's stored outputs, compared as its tests do; dots stand for no answer."""
    (path,) = chosen(["02"])
    stored = {cell.id: cell for cell in code_cells(read(path))}
    fresh = executed(made[1], tmp_path)
    for cell in code_cells(fresh):
        old = stored.pop(cell.id)
        assert cell.source == old.source
        tolerance = old.metadata.get("tolerance")
        assert outputs_difference(old.outputs, cell.outputs, tolerance) is None
    asked = [str(cell.outputs) for cell in code_cells(fresh) if "check(" in cell.source]
    assert len(asked) == 5
    assert all("No answer yet" in text for text in asked)
    assert all("check(" in cell.source for cell in stored.values()), "only solutions are left out"
    assert "solution-start" not in "".join(cell.source for cell in fresh.cells)


def files(archive):
    """Return the files of an archive below its one folder, by name."""
    with zipfile.ZipFile(archive) as zipped:
        return {name.partition("/")[2]: zipped.read(name) for name in zipped.namelist()}


def test_a_chapter_alone_is_whole(made):
    """Oracle: the students' files, which run; the chapter's cells; what any of its code imports."""
    (path,), found = chosen(["02"]), files(made[0])
    assert found.keys() == files(made[1]).keys()
    lines = found["requirements.txt"].decode().splitlines()
    assert len(lines) <= 10
    assert not [line for line in lines if line.startswith(("torch>", "torchvision"))]
    cells = code_cells(nbformat.reads(found[path.name].decode(), 4))
    stored = code_cells(read(path))
    assert [(c.source, c.outputs) for c in cells] == [(c.source, c.outputs) for c in stored]
    codes = [cell.source for cell in cells]
    codes += [text.decode() for name, text in found.items() if name.endswith(".py")]
    for name in {name for code in codes for name in imported(code)}:
        module = f"{name.replace('.', '/')}.py"
        assert module in found or not (ROOT / module).is_file()


@pytest.mark.parametrize("path", [p for p in chosen() if p.name[0].isdigit()], ids=str)
def test_every_chapter_names_at_most_ten_requirements(path):
    """Oracle: the count."""
    code = "\n".join(cell["source"] for cell in code_cells(read(path)))
    texts = [code, *(module.read_text("utf-8") for module in modules_of(code))]
    assert 5 <= len(requirements_of({name for text in texts for name in imported(text)})) <= 10


def test_the_modules_that_a_chapter_needs_are_found():
    """Oracle: the modules and packages, named by hand."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in modules_of("from experiments.deployed import load_deployed")
    }
    assert {"experiments/deployed.py", "experiments/measures.py", "experiments/workers.py"} <= found
    assert not any(name.startswith("reference_impl") for name in found)
    lines = requirements_of({"sklearn.cluster", "torch", "json", "ml_dtypes"})
    assert {line.partition(">")[0] for line in lines} > {"scikit-learn", "ml-dtypes", "numpy"}


def test_the_command_names_what_it_made_and_its_size(monkeypatch, capsys):
    """Oracle: the lines that it prints; an unknown chapter is answered with the list."""
    monkeypatch.setattr(archives, "zipped", lambda folder: ROOT / "LICENSE")
    monkeypatch.setattr(archives, "lay", lambda folder, notebooks: None)
    assert main(["chapter", "2", "15"]) == 0
    assert capsys.readouterr().out == "LICENSE: 0.0 MB\nLICENSE: 0.0 MB\n"
    asked: list[list[Path]] = []
    monkeypatch.setattr(
        archives, "student_edition", lambda paths, _: asked.append(paths) or ROOT / "LICENSE"
    )
    assert main(["student"]) == main(["student", "2"]) == 0
    assert asked == [chosen(), chosen(["02"])]
    assert main(["chapter", "99"]) == 1
    assert "there is no chapter 99; there are" in capsys.readouterr().err
