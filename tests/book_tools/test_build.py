"""``make book``: what is executed again, what is not, and what is said when something is wrong."""

import errno
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book_tools.execute import execute_all
from book_tools.failures import BookError, explained
from book_tools.site import build
from book_tools.site.build import build_book, main, notebooks

CONFIG = """\
title: A small book
execute: {execute_notebooks: "off", stderr_output: error}
only_build_toc_files: true
sphinx: {extra_extensions: [book_tools.site.runs]}
"""
TOC = """\
format: jb-book
root: intro
parts: [{chapters: [{file: chapters/one}, {file: chapters/two}, {file: chapters/three}]}]
"""


def write_notebook(path: Path, *sources: str) -> Path:
    """Write a notebook with a title and these code cells."""
    cells = [new_markdown_cell(f"# {path.stem}"), *map(new_code_cell, sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def book(tmp_path):
    """A book of two notebooks, a text, and a module whose number the first notebook prints."""
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "intro.md").write_text("# Hello\n")
    (tmp_path / "reference_impl").mkdir()
    (tmp_path / "reference_impl" / "answer.py").write_text("ANSWER = 41\n")
    source = "exec(open('../reference_impl/answer.py').read()); print('answer', ANSWER)"
    write_notebook(tmp_path / "chapters" / "one.ipynb", source)
    write_notebook(tmp_path / "chapters" / "two.ipynb", "print('number 7')")
    (tmp_path / "chapters" / "three.md").write_text("# three\n")
    return tmp_path


def shown(book: Path, name: str = "one") -> str:
    return (book / "_build" / "html" / "chapters" / f"{name}.html").read_text("utf-8")


def edit(book: Path, name: str, old: str, new: str) -> None:
    path = book / "chapters" / f"{name}.ipynb"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def written(book: Path) -> dict[str, int]:
    """Return when each chapter's page was written."""
    return {n: (book / f"_build/html/chapters/{n}.html").stat().st_mtime_ns for n in ("one", "two")}


def test_what_has_changed_is_executed_and_written_and_nothing_else(book, capsys):
    """Oracle: the pages; when they were written; the count of executed notebooks."""
    build_book(book, execute=False)
    assert "answer 41" not in shown(book)
    build_book(book)
    assert "answer 41" in shown(book)

    before = written(book)
    assert "up to date" in build_book(book)
    assert written(book) == before

    edit(book, "two", "# two", "# two\\n\\nA typo mended.")
    capsys.readouterr()
    build_book(book)
    assert "0 of 2 notebooks executed" in capsys.readouterr().out
    assert "A typo mended." in shown(book, "two")
    after = written(book)
    assert (after["one"], after["two"] > before["two"]) == (before["one"], True)

    edit(book, "two", "number 7", "number 8")
    (book / "reference_impl" / "answer.py").write_text("ANSWER = 42\n")
    build_book(book)
    assert "2 of 2 notebooks executed" in capsys.readouterr().out
    assert "answer 42" in shown(book)

    edit(book, "two", "# two", "# Another title")
    build_book(book, execute=False)
    assert "answer 42" not in shown(book), "the stored outputs are shown again"
    assert "Another title" in shown(book, "three"), "the side bar of every page shows it"


def test_a_warning_fails_and_the_next_build_is_done_in_full(book, monkeypatch, capsys):
    """Oracle: a link to a label that does not exist; what is there when Sphinx is called again."""
    stamp = book / "_build" / "built.json"
    stamp.parent.mkdir()
    stamp.write_text('["another", "build"]')
    (book / "intro.md").write_text("# Hello\n\n{ref}`nowhere`\n")
    assert main([str(book), "--stored"]) == 1
    told = capsys.readouterr()
    assert "undefined label: 'nowhere'" in told.out
    assert told.err.splitlines()[-1].startswith("make site: the pages have errors")
    assert not stamp.exists()
    folders = [book / "_build" / name for name in ("html", ".doctrees")]
    assert all(folder.exists() for folder in folders)
    found: list[bool] = []
    monkeypatch.setattr(build, "run_sphinx", lambda *_: found.extend(f.exists() for f in folders))
    (book / "intro.md").write_text("# Hello\n")
    assert main([str(book), "--stored"]) == 0
    assert found == [False, False]


def test_a_failing_cell_is_named_with_its_error_and_the_others_go_on(tmp_path, capsys):
    """Oracle: Python's own messages."""
    failing = {
        "1 / 0": "raised ZeroDivisionError: division by zero",
        "import warnings; warnings.warn('old')": "wrote to stderr",
        "import os; os._exit(3)": "the kernel died",
        "x = (1": "SyntaxError",  # under Python 3.13 IPython's _IncompleteInputError
    }
    paths = [
        write_notebook(tmp_path / "chapters" / f"n{number}.ipynb", "a = 1", source)
        for number, source in enumerate([*failing, "a = 2"])
    ]
    with pytest.raises(BookError, match=r"n\d.*failed, see above") as failure:
        execute_all(paths, lambda *_: "done")
    output = capsys.readouterr()
    for path, (source, told) in zip(paths, failing.items(), strict=False):
        message = output.err.partition(f"{path.name}, cell 2:\n    {source}\n")[2]
        line = message.partition("\n")[0].replace("_IncompleteInputError", "SyntaxError")
        assert told in line, output.err
        assert path.name in str(failure.value)
    assert "n4: done" in output.out


def test_notebooks_run_in_their_folder_with_one_thread_in_no_foreign_kernel(tmp_path, monkeypatch):
    """Oracle: the kernel's own account; a kernelspec named python3 whose command cannot run."""
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = {"argv": ["/nowhere/python"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(command))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    source = "import os, sys; print(os.getcwd(), sys.executable, os.environ['OMP_NUM_THREADS'])"
    paths = [write_notebook(tmp_path / n / f"{n}.ipynb", source) for n in ("one", "two")]
    printed = {}
    execute_all(paths, lambda path, notebook: printed.setdefault(path, notebook.cells[1].outputs))
    for path in paths:
        (output,) = printed[path]
        assert output.text.split() == [str(path.parent), sys.executable, "1"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_work_with_one_line_and_leaves_no_kernel(tmp_path, number):
    """Oracle: the process's end; the processes that its first two notebooks name."""
    source = "import os, time; open(f'{os.getpid()}.pid', 'w').close(); time.sleep(600)"
    folder = tmp_path / "chapters"
    paths = [write_notebook(folder / f"{n}.ipynb", source) for n in ("one", "two", "three")]
    stored = [path.read_bytes() for path in paths]
    command = [sys.executable, "-m", "book_tools.refresh", *map(str, paths)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as work:
        wait_until(lambda: len(list(folder.glob("*.pid"))) == 2, 120)
        began = time.monotonic()
        work.send_signal(number)
        told = work.communicate()[1]
        took = time.monotonic() - began
    assert told == "make refresh: interrupted; run `make refresh` again\n"
    assert work.returncode == 130
    assert took < 15, "two seconds on a quiet machine"
    assert [path.read_bytes() for path in paths] == stored
    kernels = [Path("/proc") / file.stem for file in folder.glob("*.pid")]
    assert len(kernels) == 2
    wait_until(lambda: not any(kernel.exists() for kernel in kernels), 10)


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_table_of_contents_gives_the_notebooks_in_reading_order(tmp_path):
    """Oracle: by hand."""
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nparts:\n"
        "- chapters:\n  - file: b\n    sections:\n    - file: c\n- chapters:\n  - file: a.ipynb\n"
    )
    for name in ("a.ipynb", "b.ipynb", "c.md", "intro.md", "unlisted.ipynb"):
        (tmp_path / name).write_text("")
    assert [path.name for path in notebooks(tmp_path)] == ["b.ipynb", "a.ipynb"]
    (tmp_path / "_toc.yml").unlink()
    with pytest.raises(match="is missing"):
        notebooks(tmp_path)


CHAINED = RuntimeError("x")
CHAINED.__cause__ = OSError(errno.ENOSPC, "x")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free 1 GB"),
        (CHAINED, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied: /x"),
        (ModuleNotFoundError("no", name="yaml"), "yaml is not installed; run `make env`"),
        (KeyboardInterrupt(), "interrupted; run `make book` again"),
        (BookError("say this"), "make book: say this"),
    ],
)
def test_what_a_user_can_fix_is_one_last_line_without_a_traceback(error, line, capsys):
    """Oracle: the line itself."""
    assert explained(Mock(side_effect=error), "make book") > 0
    told = capsys.readouterr().err
    assert line in told.splitlines()[-1]
    assert "Traceback" not in told


def test_a_fault_of_the_program_keeps_its_traceback():
    """Oracle: an error that no input causes."""
    with pytest.raises(AttributeError, match="bug"):
        explained(Mock(side_effect=AttributeError("bug")), "make book")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_while_pages_are_written_is_reported(book, monkeypatch, capsys):
    """Oracle: the words of Python's OSError in Sphinx's log."""
    call = [sys.executable, "-c", "open('/dev/full', 'w').write('x' * 100_000)"]
    run = subprocess.run
    monkeypatch.setattr(build.subprocess, "run", lambda _, **options: run(call, **options))
    (book / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    assert main([str(book)]) == 1
    told = capsys.readouterr().err
    assert told == "make book: the disk is full; free 1 GB and run `make book` again\n"
