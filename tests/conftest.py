"""Settings of every test."""

import os
from unittest import mock

import pytest
import torch
from hypothesis import settings

# On small tensors a second thread costs more than it brings; `make portability` tries two.
torch.set_num_threads(int(os.environ.get("REFERENCE_IMPL_THREADS", "1")))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the programs that tests start

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
