"""What several tests of trainings use."""

import pytest

from reference_impl.data import Examples, load_dataset


@pytest.fixture(scope="package")
def few() -> Examples:
    """Return the first 640 training images: ten steps an epoch, with 64 a step."""
    return load_dataset().train.subset(640)
