"""A kernel's variables and its end; test_pytest_notebooks and test_build see what it runs."""

import asyncio
import os

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from book_tools.comparing import kernels
from book_tools.comparing.kernels import KernelError, Runner, environment


def test_a_kernel_has_nothing_that_pytest_sets(monkeypatch):
    """Oracle: the variables of this process, before and after."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("REFERENCE_IMPL_THREADS", "2")
    before = dict(os.environ)
    seen = environment()
    assert not {"MPLBACKEND", "PYTEST_CURRENT_TEST"} & seen.keys()
    assert (seen["OMP_NUM_THREADS"], seen["MKL_NUM_THREADS"]) == ("2", "2")
    assert dict(os.environ) == before


def test_a_cell_that_ends_never_costs_its_kernel(tmp_path, monkeypatch):
    """Oracle: a cell that ignores the interrupt, and that there is no kernel afterwards."""
    monkeypatch.setattr(kernels, "_GRACE", 1)
    source = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    notebook = new_notebook(cells=[new_code_cell(source)])
    runner = Runner(notebook, tmp_path, 1)

    async def work() -> None:
        await runner.begin()
        with pytest.raises(KernelError, match="longer than 1 s"):
            await runner.run(notebook.cells[0])

    asyncio.run(work())
    assert runner.km is None
