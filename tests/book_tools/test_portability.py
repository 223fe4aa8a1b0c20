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


@pytest.fixture
def one_setting(monkeypatch):
    monkeypatch.setattr(portability, "CAPS", {"SSE4.1": portability.CAPS["SSE4.1"]})
    monkeypatch.setattr(portability, "THREADS", (2,))


@pytest.mark.usefixtures("one_setting")
def test_a_setting_reaches_the_kernel_and_a_failure_is_shown(tmp_path, capfd):
    """Oracle: the variables as the notebook prints them, and one wrong letter."""
    seen = "['default', 'SSE41', 'COMPATIBLE', '2'] 2 True"
    notebook = new_notebook()
    for count, text in enumerate((seen, f"{seen}!"), start=1):
        output = new_output("stream", name="stdout", text=text)
        notebook.cells.append(new_code_cell(SOURCE, execution_count=count, outputs=[output]))
    nbformat.write(notebook, tmp_path / "a.ipynb")
    with pytest.raises(BookError, match=r"with 2 threads, SSE4\.1: see above"):
        portability.portability([str(tmp_path / "a.ipynb")])
    first, *between, last = capfd.readouterr().out.splitlines()
    assert (first, last[:18]) == ("2 threads, SSE4.1:", "1 failed, 1 passed")
    failed = "".join(between).partition("FAILED")[2]  # with CI set over several lines
    assert "cell 2" in failed


def test_without_a_cap_no_cap_of_the_caller_remains(monkeypatch):
    """Oracle: the caller's own variable."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert "ATEN_CPU_CAPABILITY" not in portability.environment(1, "uncapped")
    assert portability.environment(1, "AVX2")["ATEN_CPU_CAPABILITY"] == "avx2"


def test_a_failure_under_any_setting_fails_the_matrix(monkeypatch, capsys):
    """Oracle: one failure at 2 threads with AVX2, counted by hand; no test is a failure too."""
    fails = portability.environment(2, "AVX2")
    code = pytest.ExitCode.NO_TESTS_COLLECTED

    def run(command, env, **_):
        return subprocess.CompletedProcess(command, code if env == fails else 0)

    monkeypatch.setattr(portability.subprocess, "run", run)
    with pytest.raises(BookError, match="not all passed with 2 threads, AVX2: see above"):
        portability.portability([])
    assert len(capsys.readouterr().out.splitlines()) == 6
    fails = {}
    assert "all 6 settings" in portability.portability([])


def test_the_folders_of_unit_tests_exist():
    """Oracle: the file system."""
    for folder in portability.COMPUTES:
        assert list((portability.ROOT / "tests" / folder).glob("test_*.py"))
