"""Clusters of similar units against SciPy's, and refused input."""

import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components as scipy_components
from scipy.spatial.distance import squareform

from reference_impl.merging import complete_linkage, connected_components, nearest_kept


def drawn(seed: int) -> torch.Tensor:
    a = torch.rand(25, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (a + a.T - 1).fill_diagonal_(1)


def same(a, b) -> bool:
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return torch.equal(a[:, None] == a, b[:, None] == b)


@pytest.mark.parametrize("threshold", [-0.5, 0.1, 0.4, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_scipys(threshold: float, seed: int) -> None:
    """Oracle: ``scipy.cluster.hierarchy`` and ``scipy.sparse.csgraph``."""
    s = drawn(seed)
    tree = linkage(squareform((1 - s).numpy(), checks=False), "complete")
    assert same(complete_linkage(s, threshold), fcluster(tree, 1 - threshold, "distance"))
    _, theirs = scipy_components((s >= threshold).numpy())
    assert same(connected_components(s, threshold), theirs)


def test_a_chain_is_one_component_and_two_clusters() -> None:
    """Oracle: by eye: A ~ B ~ C, A and C are unlike."""
    s = torch.tensor([[1.0, 0.9, 0.5], [0.9, 1.0, 0.8], [0.5, 0.8, 1.0]])
    assert connected_components(s, 0.7).tolist() == [0, 0, 0]
    assert complete_linkage(s, 0.7).tolist() == [0, 0, 2]


def test_the_nearest_kept_unit_is_found_and_of_equals_the_first() -> None:
    """Oracle: by eye."""
    s = torch.tensor([[1.0, 0.9, 0.5], [0.9, 1.0, 0.9], [0.5, 0.9, 1.0]])
    assert nearest_kept(s, torch.tensor([True, False, True])).tolist() == [0, 0, 2]


def test_units_as_similar_as_the_threshold_go_together() -> None:
    """Oracle: by eye: S ≥ threshold, a number that float32 holds; 1 is met by twins only."""
    s = torch.tensor([[1.0, 0.5, 0.25], [0.5, 1.0, 0.25], [0.25, 0.25, 1.0]])
    twins = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    for cluster in (connected_components, complete_linkage):
        assert cluster(s, 0.5).tolist() == [0, 0, 2]
        assert cluster(s, 0.25).tolist() == [0, 0, 0]
        assert cluster(twins, 1.0).tolist() == [0, 0, 2]
        assert cluster(twins, -1.0).tolist() == [0, 0, 0]


def test_a_kept_twin_has_itself() -> None:
    """Oracle: by eye: two units of S = 1 that are both kept; the third has the first."""
    twins = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert nearest_kept(twins, torch.tensor([True, True, False])).tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_no_kept_unit_is_nearer(seed: int) -> None:
    """Oracle: a loop over the kept units."""
    s, keep = drawn(seed), torch.arange(25) % 3 == 0
    for j, i in enumerate(nearest_kept(s, keep).tolist()):
        kept = [k for k in range(25) if keep[k]]
        assert i == (j if keep[j] else max(kept, key=lambda k, j=j: float(s[j, k])))


EYE = torch.eye(3)
SKEW = torch.tensor([[1.0, 0.5], [0.4, 1.0]])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: connected_components(EYE, 1.5), ValueError, r"threshold must be in \[-1, 1\]"),
        (lambda: connected_components(torch.ones(2, 3), 0.5), ValueError, r"must be \(n, n\)"),
        (lambda: complete_linkage(SKEW, 0.5), ValueError, "similarity must be symmetric"),
        (lambda: nearest_kept(EYE, EYE[0] < 0), ValueError, "keep must be true for one unit"),
        (lambda: nearest_kept(EYE, EYE[0]), TypeError, "keep must hold bool"),
        (
            lambda: nearest_kept(EYE, EYE[0, :2] > 0),
            ValueError,
            "similarity must have the n = 2 of keep",
        ),
    ],
)
def test_bad_input_is_refused(call, error, text):
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call()
