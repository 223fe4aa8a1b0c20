"""Settings of every test."""

import os
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import settings

# On small tensors a second thread costs more than it brings; `make portability` tries two.
torch.set_num_threads(int(os.environ.get("REFERENCE_IMPL_THREADS", "1")))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the programs that tests start

collect_ignore = ["conftest.py"]  # has no doctests, and a name that other folders have

pytest.register_assert_rewrite("contracts")  # so that a failure shows what was found

settings.register_profile("here", deadline=None)  # a busy machine is no failure
settings.register_profile("ci", deadline=None, derandomize=True)  # the same examples each time
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def environment():
    """Give the environment back as it was: each notebook's kernel inherits it.

    A cluster of `distributed` sets MALLOC_TRIM_THRESHOLD_, and large tensors are slow with it.
    """
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture
def one_thread():
    """Compute with one torch thread; what a command sets ends with the test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def git():
    """Return a function that asks git about this folder; skip where git knows nothing of it."""
    root = Path(__file__).parents[1]
    if not shutil.which("git") or not (root / ".git").exists():
        pytest.skip("needs git, and a clone of the repository")

    def answer(*arguments):
        command = ["git", *arguments]
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout

    return answer
