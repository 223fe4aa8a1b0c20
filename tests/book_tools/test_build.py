"""``make book``: what is executed again, what is not, and what is said when something is wrong."""

import errno
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book_tools.comparing.failures import (
    BookError,
    BuildFailed,
    NotebookFailed,
    explained,
    is_full_disk,
)
from book_tools.site import build
from book_tools.site.build import build_book, drop_stale_outputs, main, notebooks
from book_tools.site.execute import execute_into_cache
from book_tools.site.fingerprint import digest, files_below

CONFIG = """\
title: A small book
execute: {execute_notebooks: cache, stderr_output: error}
only_build_toc_files: true
"""
TOC = "format: jb-book\nroot: intro\nparts:\n- chapters:\n  - file: chapters/one\n"


def write_notebook(path: Path, *sources: str) -> Path:
    """Write a notebook with a title and these code cells."""
    cells = [new_markdown_cell(f"# {path.stem}"), *map(new_code_cell, sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book of one chapter, which prints a file of its own folder, and one module."""
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "intro.md").write_text("# Hello\n")
    (tmp_path / "reference_impl").mkdir()
    (tmp_path / "reference_impl" / "answer.py").write_text("ANSWER = 41\n")
    source = "exec(open('../reference_impl/answer.py').read()); print('answer', ANSWER)"
    write_notebook(tmp_path / "chapters" / "one.ipynb", source)
    return tmp_path


def shown(book: Path) -> str:
    return (book / "_build" / "html" / "chapters" / "one.html").read_text("utf-8")


def test_a_change_of_the_package_reaches_the_page_and_no_change_does_nothing(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the page, which shows what the module holds; modification times of the files."""
    assert "is built" in build_book(book)
    assert "answer 41" in shown(book)

    page = book / "_build" / "html" / "chapters" / "one.html"
    written = page.stat().st_mtime_ns
    assert "up to date" in build_book(book)
    assert page.stat().st_mtime_ns == written

    (book / "intro.md").write_text("# Hello again\n")
    capsys.readouterr()
    build_book(book)
    assert "0 of 1 notebooks executed" in capsys.readouterr().out
    assert "Hello again" in (book / "_build" / "html" / "intro.html").read_text("utf-8")

    (book / "reference_impl" / "answer.py").write_text("ANSWER = 42\n")
    build_book(book)
    assert "answer 42" in shown(book)


def test_a_warning_fails_and_the_next_build_is_done_in_full(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: a link to a label that does not exist, then the same page without it."""
    (book / "intro.md").write_text("# Hello\n\n{ref}`nowhere`\n")
    assert main([str(book)]) == 1
    told = capsys.readouterr()
    assert "undefined label: 'nowhere'" in told.out
    assert told.err.splitlines()[-1].startswith("make book: the pages have errors")
    assert not (book / "_build" / "built.json").exists()
    (book / "intro.md").write_text("# Hello\n")
    assert main([str(book)]) == 0


def test_an_interrupted_build_leaves_no_stamp(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the stamp of an earlier build, which must not outlive the start of the next."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    stamp = book / "_build" / "built.json"
    stamp.parent.mkdir()
    stamp.write_text("{}")
    monkeypatch.setattr(build, "run_sphinx", interrupted)
    monkeypatch.setattr(build, "notebooks", lambda _: [])
    assert main([str(book)]) == 130
    assert not stamp.exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("import warnings; warnings.warn('old')", "wrote to stderr"),
        ("import os; os._exit(3)", "ended the kernel"),
        ("x = (1", "SyntaxError"),
    ],
)
def test_a_failing_cell_is_named_with_its_error(tmp_path: Path, source: str, told: str) -> None:
    """Oracle: Python's own message."""
    path = write_notebook(tmp_path / "chapters" / "two.ipynb", "a = 1", source)
    with pytest.raises(NotebookFailed) as failure:
        execute_into_cache([path], tmp_path / "cache")
    message = str(failure.value)
    assert message.startswith("two.ipynb, cell 3:")
    assert source in message
    assert told in message


def test_notebooks_run_in_their_folder_in_this_environment_with_one_thread(tmp_path: Path) -> None:
    """Oracle: this very process's interpreter; the kernel's own account of itself."""
    source = (
        "import os, pathlib, sys; pathlib.Path('said.txt').write_text("
        "chr(10).join([sys.executable, os.environ['OMP_NUM_THREADS']]))"
    )
    paths = [write_notebook(tmp_path / n / f"{n}.ipynb", source) for n in ("one", "two")]
    assert execute_into_cache(paths, tmp_path / "cache") == 2
    for path in paths:
        said = (path.parent / "said.txt").read_text().splitlines()
        assert said == [sys.executable, "1"]


def test_a_foreign_kernel_of_the_same_name_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: a kernelspec named python3 on JUPYTER_PATH whose command cannot run."""
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = {"argv": ["/nowhere/python"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(command))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    path = write_notebook(tmp_path / "chapters" / "one.ipynb", "print(1)")
    assert execute_into_cache([path], tmp_path / "cache") == 1
    assert execute_into_cache([path], tmp_path / "cache") == 0


def test_the_table_of_contents_gives_the_notebooks_in_reading_order(tmp_path: Path) -> None:
    """Oracle: by hand."""
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nparts:\n"
        "- chapters:\n  - file: b\n    sections:\n    - file: c\n- chapters:\n  - file: a.ipynb\n"
    )
    for name in ("a.ipynb", "b.ipynb", "c.md", "intro.md", "unlisted.ipynb"):
        (tmp_path / name).write_text("")
    assert [path.name for path in notebooks(tmp_path)] == ["b.ipynb", "a.ipynb"]
    (tmp_path / "c.md").unlink()
    with pytest.raises(BuildFailed, match=r"_toc.yml names c, and there is no c.ipynb or c.md"):
        notebooks(tmp_path)
    (tmp_path / "_toc.yml").unlink()
    with pytest.raises(BuildFailed, match="is missing"):
        notebooks(tmp_path)


def test_a_digest_changes_with_names_and_contents_and_nothing_else(tmp_path: Path) -> None:
    """Oracle: the list of changes that matter, and of those that do not."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("1")
    first = digest(tmp_path, ["code", "absent"])
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "a.pyc").write_text("x")
    (code / "half.part").write_text("x")
    os.utime(code / "a.py", (0, 0))
    assert digest(tmp_path, ["code", "absent"]) == first
    seen = {first}
    (code / "a.py").write_text("2")
    seen.add(digest(tmp_path, ["code", "absent"]))
    (code / "a.py").rename(code / "b.py")
    seen.add(digest(tmp_path, ["code", "absent"]))
    (tmp_path / "absent").write_text("")
    seen.add(digest(tmp_path, ["code", "absent"]))
    assert len(seen) == 4
    assert [p.name for p in files_below(tmp_path / "code")] == ["b.py"]


def test_stale_outputs_go_and_fresh_ones_stay(tmp_path: Path) -> None:
    """Oracle: a file in the cache."""
    cached = tmp_path / ".jupyter_cache" / "global.db"
    assert drop_stale_outputs(tmp_path, "one") is False
    cached.write_text("")
    assert drop_stale_outputs(tmp_path, "one") is False
    assert cached.exists()
    assert drop_stale_outputs(tmp_path, "two") is True
    assert not cached.exists()


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free 1 GB"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (chained(RuntimeError("x"), OSError(errno.ENOSPC, "x")), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied: /x"),
        (ModuleNotFoundError("no", name="yaml"), "yaml is not installed; run `make env`"),
        (KeyboardInterrupt(), "interrupted; run `make book` again"),
        (BookError("say this"), "make book: say this"),
        (NotebookFailed("a.ipynb, cell 3:\n1 / 0"), "make book: a.ipynb, cell 3 failed"),
    ],
)
def test_what_a_user_can_fix_is_one_last_line_without_a_traceback(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the line itself."""

    def work() -> str:
        raise error

    assert explained(work, "make book") > 0
    told = capsys.readouterr().err
    assert line in told.splitlines()[-1]
    assert "Traceback" not in told


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    """Oracle: an error that no input causes."""

    def work() -> str:
        raise AttributeError("bug")

    assert not is_full_disk(AttributeError("bug"))
    with pytest.raises(AttributeError, match="bug"):
        explained(work, "make book")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_while_pages_are_written_is_told_so(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the words of Python's OSError in Sphinx's log."""
    call = [sys.executable, "-c", "open('/dev/full', 'w').write('x' * 100_000)"]
    run = subprocess.run
    monkeypatch.setattr(build.subprocess, "run", lambda _, **options: run(call, **options))
    (book / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    assert main([str(book)]) == 1
    told = capsys.readouterr().err
    assert told == "make book: the disk is full; free 1 GB and run `make book` again\n"
