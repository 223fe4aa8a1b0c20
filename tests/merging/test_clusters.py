"""Clusters of similar units against SciPy's, and refused input."""

import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components as scipy_components
from scipy.spatial.distance import squareform

from reference_impl.merging import complete_linkage, connected_components, nearest_kept

SEEDS = st.integers(0, 2**31)


def drawn(seed):
    a = torch.rand(25, 25, dtype=torch.float64, generator=generator(seed))
    return (a + a.T - 1).fill_diagonal_(1)


def same(a, b):
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return torch.equal(a[:, None] == a, b[:, None] == b)


@given(threshold=st.floats(-0.9, 0.9), seed=SEEDS)
def test_clusters_are_scipys(threshold, seed):
    """Oracle: ``scipy.cluster.hierarchy`` and ``scipy.sparse.csgraph``."""
    s = drawn(seed)
    tree = linkage(squareform((1 - s).numpy(), checks=False), "complete")
    assert same(complete_linkage(s, threshold), fcluster(tree, 1 - threshold, "distance"))
    _, theirs = scipy_components((s >= threshold).numpy())
    assert same(connected_components(s, threshold), theirs)


def test_units_as_similar_as_the_threshold_go_together():
    """Oracle: by eye: S ≥ threshold, a number that float32 holds; 1 is met by twins only."""
    s = torch.tensor([[1.0, 0.5, 0.25], [0.5, 1.0, 0.25], [0.25, 0.25, 1.0]])
    twins = torch.tensor([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    for cluster in (connected_components, complete_linkage):
        assert cluster(s, 0.5).tolist() == [0, 0, 2]
        assert cluster(s, 0.25).tolist() == [0, 0, 0]
        assert cluster(twins, 1.0).tolist() == [0, 0, 2]
        assert cluster(twins, -1.0).tolist() == [0, 0, 0]


def test_a_kept_unit_has_itself_and_of_equals_the_first_is_nearest():
    """Oracle: by eye: two twins that are both kept; the third has the first."""
    assert nearest_kept(torch.ones(3, 3), torch.tensor([True, True, False])).tolist() == [0, 1, 0]


@given(seed=SEEDS)
def test_no_kept_unit_is_nearer(seed):
    """Oracle: a loop over the kept units."""
    s, keep = drawn(seed), torch.arange(25) % 3 == 0
    for j, i in enumerate(nearest_kept(s, keep).tolist()):
        assert i == (j if keep[j] else max(range(0, 25, 3), key=s[j].tolist().__getitem__))
