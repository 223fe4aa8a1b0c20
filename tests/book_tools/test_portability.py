"""The portability matrix, on a notebook that prints what it sees of its setting."""

import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book_tools import portability
from book_tools.failures import BookError

SOURCE = """import os
names = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "REFERENCE_IMPL_THREADS")
print([os.environ.get(name) for name in names], os.environ["OMP_NUM_THREADS"],
      os.environ["PYTEST_XDIST_WORKER_COUNT"] == str(max(1, os.cpu_count() // 2)))"""


def test_a_setting_reaches_the_kernel(tmp_path):
    """Oracle: the variables as the notebook prints them, and one wrong letter."""
    seen = "['default', 'SSE41', 'COMPATIBLE', '2'] 2 True"
    notebook = new_notebook()
    for count, text in enumerate((seen, f"{seen}!"), start=1):
        output = new_output("stream", name="stdout", text=text)
        notebook.cells.append(new_code_cell(SOURCE, execution_count=count, outputs=[output]))
    nbformat.write(notebook, tmp_path / "a.ipynb")
    passed, lines = portability.run(
        [str(tmp_path / "a.ipynb")], portability.environment(2, "SSE4.1")
    )
    assert not passed
    assert lines[0].startswith("1 failed, 1 passed")
    assert "cell 2" in lines[1]


def test_without_a_cap_no_cap_of_the_caller_remains(monkeypatch):
    """Oracle: the caller's own variable."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert "ATEN_CPU_CAPABILITY" not in portability.environment(1, "uncapped")
    assert portability.environment(1, "AVX2")["ATEN_CPU_CAPABILITY"] == "avx2"


def test_a_failure_under_any_setting_fails_the_matrix(monkeypatch, capsys):
    """Oracle: one failure at 2 threads with AVX2, counted by hand."""
    fails = portability.environment(2, "AVX2")
    done = subprocess.CompletedProcess([], 0, "some set")
    monkeypatch.setattr(portability.subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(
        portability, "run", lambda _, variables: (variables != fails, ["3 passed in 1 s"])
    )
    with pytest.raises(BookError, match="not all passed with 2 threads, AVX2: see above"):
        portability.portability([])
    shown = capsys.readouterr().out
    assert "2 threads, AVX2, torch uses some set:\n  3 passed in 1 s\n" in shown
    assert len(shown.splitlines()) == 12
    fails = {}
    assert "all 6 settings" in portability.portability([])


def test_a_run_without_tests_does_not_pass(tmp_path, monkeypatch):
    """Oracle: a file that holds no test, and no file, in a project with nothing else."""
    monkeypatch.setattr(portability, "ROOT", tmp_path)
    monkeypatch.setattr(portability.os, "cpu_count", lambda: 1)
    settings = '[tool.pytest.ini_options]\naddopts = "-p book_tools.comparing.plugin"'
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "test_a.py").touch()
    for name in ("test_a.py", "test_b.py"):
        passed, _ = portability.run([str(tmp_path / name)], portability.environment(1, "uncapped"))
        assert not passed


def test_the_folders_of_unit_tests_exist():
    """Oracle: the file system."""
    for folder in portability.COMPUTES:
        assert list((portability.ROOT / "tests" / folder).glob("test_*.py"))
