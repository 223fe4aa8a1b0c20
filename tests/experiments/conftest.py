"""What tests of experiments share: one thread, and some of the data."""

import pytest

from reference_impl.data import Dataset, load_dataset

collect_ignore = ["conftest.py"]  # has no doctests, and a name that other folders have


@pytest.fixture(autouse=True)
def as_a_worker(one_thread):
    """Compute with one thread, as workers do."""


@pytest.fixture(scope="package")
def small():
    whole = load_dataset()
    return Dataset(whole.train[:640], whole.validation[:200], whole.test[:500])
