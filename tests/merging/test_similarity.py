"""All-pairs cosines against scikit-learn, and refused input."""

import pytest
import torch
from sklearn.metrics import pairwise

from reference_impl.compress import incoming_rows
from reference_impl.merging import cosine_similarity
from reference_impl.models import MODELS
from reference_impl.training import load_checkpoint


def test_cosines_are_scikit_learns() -> None:
    """Oracle: ``sklearn.metrics.pairwise.cosine_similarity``.

    Equation: eq-merge-similarity.
    """
    rows = torch.randn(30, 7, dtype=torch.float64)
    theirs = torch.from_numpy(pairwise.cosine_similarity(rows.numpy()))
    torch.testing.assert_close(cosine_similarity(rows), theirs)


@pytest.mark.parametrize("shape", [(1, 1), (8, 10), (255, 3), (600, 37)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_cosines_are_exactly_symmetric_and_at_most_one(shape, dtype) -> None:
    """Oracle: the transpose; scikit-learn within the dtype's rounding.

    Equation: eq-merge-product.
    """
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    cosine = cosine_similarity(rows)
    assert cosine.dtype == dtype
    assert torch.equal(cosine, cosine.T)
    assert cosine.abs().max() <= 1
    theirs = torch.from_numpy(pairwise.cosine_similarity(rows.double().numpy()))
    torch.testing.assert_close(cosine, theirs.to(dtype), atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_cosines_of_the_shipped_networks_are_exactly_symmetric(name: str) -> None:
    """Oracle: the transpose, for every width."""
    network = load_checkpoint(name)
    for label in network.widths:
        cosine = cosine_similarity(incoming_rows(network, label))
        assert torch.equal(cosine, cosine.T)


@pytest.mark.parametrize("factor", [1e-15, 1e15])
def test_scale_does_not_matter(factor: float) -> None:
    """Oracle: the definition is homogeneous of degree 0."""
    rows = torch.randn(5, 4)
    torch.testing.assert_close(cosine_similarity(factor * rows), cosine_similarity(rows))


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        (torch.tensor([[1.0], [0.0]]), ValueError, "rows must not be zero, .* got row 1 of 0"),
        (torch.ones(3), ValueError, r"rows must be \(n, d\), got shape \(3,\)"),
        (torch.ones(3, 2).int(), TypeError, "rows must hold floating-point numbers"),
        (torch.full((2, 2), torch.nan), ValueError, "rows must be finite"),
    ],
)
def test_bad_rows_are_refused(rows, error, text) -> None:
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        cosine_similarity(rows)
