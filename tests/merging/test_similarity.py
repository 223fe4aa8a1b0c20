"""All-pairs cosines against scikit-learn, and refused input."""

import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pairwise

from reference_impl.merging import cosine_similarity


@pytest.mark.equation("eq-merge-similarity", "eq-merge-product")
@pytest.mark.parametrize("shape", [(1, 1), (8, 10), (255, 3), (600, 37), (300, 785)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_cosines_are_scikit_learns_exactly_symmetric_and_at_most_one(shape, dtype):
    """Oracle: ``sklearn.metrics.pairwise``, to the dtype's rounding; the transpose."""
    rows = normal(*shape, dtype=torch.float64).to(dtype)
    cosine = cosine_similarity(rows)
    assert cosine.dtype == dtype
    assert torch.equal(cosine, cosine.T)
    assert cosine.abs().max() <= 1
    theirs = torch.from_numpy(pairwise.cosine_similarity(rows.double().numpy()))
    torch.testing.assert_close(cosine.double(), theirs, atol=8 * torch.finfo(dtype).eps, rtol=0)


@given(factor=st.floats(1e-15, 1e15))
def test_scale_does_not_matter(factor):
    """Oracle: the definition is homogeneous of degree 0."""
    rows = normal(5, 4)
    torch.testing.assert_close(cosine_similarity(factor * rows), cosine_similarity(rows))


def test_a_row_is_as_like_its_copy_as_can_be():
    """Oracle: a cosine of exactly 1, also where rounding alone makes it less."""
    rows = torch.randn(20, 37, generator=torch.Generator().manual_seed(1))
    both = cosine_similarity(torch.cat([rows, rows, 3 * rows]))
    assert (both.diagonal() == 1).all()
    assert (both[:20, 20:40].diagonal() == 1).all()
    assert (both[:20, 40:].diagonal() == 1).all()
    assert int((both == 1).sum()) == 9 * 20
