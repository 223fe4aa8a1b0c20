"""What several tests of trainings use."""

import pytest
import torch

from reference_impl.data import load_dataset

collect_ignore = ["conftest.py"]  # has no doctests, and a name that other folders have


@pytest.fixture(scope="package")
def few():
    """Return the first 640 training images: ten steps an epoch, with 64 a step."""
    return load_dataset().train.subset(640)


@pytest.fixture
def unmoved():
    """Require that nothing is drawn from torch's global generator."""
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)
