"""Exact one-dimensional k-means against brute force, and kmeans1d (C++)."""

import itertools
import math

import kmeans1d
import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl.measuring import mean_squared_error
from reference_impl.quantization import (
    CodebookQuantizer,
    Intervals,
    optimal_codebook,
    optimal_splits,
    recursive_splits,
    row_minima,
)
from reference_impl.training import load_checkpoint

DRAWS = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy tails": lambda rng, n: rng.standard_t(1, n),
    "one-sided": lambda rng, n: np.exp(3 * rng.standard_normal(n)),
    "ties": lambda rng, n: rng.integers(0, 12, n).astype(float),
    "clumps": lambda rng, n: rng.integers(0, 3, n) * 100 + 0.01 * rng.standard_normal(n),
    "outlier": lambda rng, n: np.append(rng.standard_normal(n - 1), 1e7),
    "far away": lambda rng, n: 1e8 + rng.standard_normal(n),
}
SEEDS, KINDS = st.integers(0, 2**31), st.sampled_from(sorted(DRAWS))


def squared_error(x, quantizer):
    values = torch.from_numpy(x)
    return mean_squared_error(values, quantizer.round_trip(values)) * len(x)


def kmeans1d_codebook(x, size):
    return CodebookQuantizer(tuple(np.unique(kmeans1d.cluster(x, size).centroids).tolist()))


def assert_least(x, size):
    """Compare with kmeans1d, C++ by SMAWK, up to what float64 leaves of sums of squares."""
    ours = squared_error(x, optimal_codebook(torch.from_numpy(x), size))
    theirs = squared_error(x, kmeans1d_codebook(x, size))
    assert ours <= theirs * (1 + 1e-9) + 1e-13 * np.square(x - np.median(x)).sum()


@given(x=st.lists(st.integers(-20, 20), min_size=1, max_size=9), centre=st.integers(-9, 9))
def test_the_cost_about_any_centre_is_the_sum_of_squared_distances(x, centre):
    """Oracle: NumPy, over the values between two places."""
    values = np.unique(x)
    intervals = Intervals.of(torch.tensor(x, dtype=torch.float64))
    for start, end in itertools.combinations(range(len(values) + 1), 2):
        about = intervals.cost_about(start, end, centre - intervals.origin)
        inside = np.array([one for one in x if one in values[start:end]])
        assert about == pytest.approx(np.square(inside - centre).sum(), abs=1e-9)


@pytest.mark.equation("eq-codebook-error", "eq-codebook-recursion")
@settings(max_examples=30)
@given(x=st.lists(st.integers(-20, 20), min_size=1, max_size=6), size=st.integers(1, 3))
def test_no_partition_into_clusters_is_better(x, size):
    """Oracle: every assignment of every value, not only intervals, tried one by one."""
    values = np.array(x, dtype=float)
    least = math.inf
    for labels in itertools.product(range(size), repeat=len(values)):
        groups = [values[np.array(labels) == k] for k in set(labels)]
        least = min(least, sum(((group - group.mean()) ** 2).sum() for group in groups))
    found = squared_error(values, optimal_codebook(torch.from_numpy(values), size))
    intervals = Intervals.of(torch.from_numpy(values))
    plain = intervals.error(recursive_splits(intervals, size))
    assert (found, plain) == pytest.approx((least, least), abs=1e-9)


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize(("count", "size"), [(500, 16), (5000, 3), (5000, 16), (2000, 64)])
def test_the_error_of_long_lists_is_that_of_another_exact_solver(kind, count, size):
    """Oracle: kmeans1d."""
    assert_least(DRAWS[kind](np.random.default_rng(count + size), count), size)


def test_weights_of_a_network_have_the_codebook_of_another_exact_solver():
    """Oracle: kmeans1d, which finds the same values; ties in 16 bits too."""
    state = load_checkpoint("lenet300").state_dict()
    weights = torch.cat([value.flatten() for value in state.values()])
    x = weights.double().numpy()
    ours = optimal_codebook(weights, 16)
    assert ours.values == pytest.approx(kmeans1d_codebook(x, 16).values, abs=1e-9)
    few = weights[:50_000].bfloat16()
    assert len(few.unique()) < 5000
    assert optimal_codebook(few, 32) == optimal_codebook(few.double(), 32)
    assert_least(few.double().numpy(), 32)


def test_codebooks_by_hand():
    """Oracle: as many centroids as values, the mean for K = 1, a constant, symmetry of a grid."""
    x = torch.tensor([3.0, -1.0, 3.0, 0.5, -1.0])
    for size in (3, 4, 5, 100):
        assert optimal_codebook(x, size).values == (-1.0, 0.5, 3.0)
    assert optimal_codebook(torch.tensor([1.0, 2.0, 2.0, 7.0]), 1).values == (3.0,)
    assert optimal_codebook(torch.full((5,), 0.1), 4).values == (float(torch.tensor(0.1)),)
    even = optimal_codebook(torch.arange(64.0), 16).values
    assert even == tuple(1.5 + 4.0 * k for k in range(16))


@pytest.mark.parametrize("low", [[-1e30], [-1e100], [-1e30, -2e25]])
@pytest.mark.parametrize("high", [[], [1e30]])
def test_values_far_outside_get_centroids_of_their_own(low, high):
    """Oracle: the values inside alone; beside 1e30 their gaps vanish from a running sum."""
    inside = normal(1000).double()
    alone = optimal_codebook(inside, 6)
    outside = inside.new_tensor([*low, *high])
    found = optimal_codebook(torch.cat([inside, outside]), 6 + len(outside))
    expected = [*sorted(low), *alone.values, *high]
    assert found.values == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.equation("eq-codebook-recursion", "eq-codebook-loss")
@settings(max_examples=40)
@given(seed=SEEDS, kind=KINDS, count=st.integers(100, 800), size=st.integers(2, 12))
def test_the_fast_splits_cost_what_those_of_the_recursion_cost(seed, kind, count, size):
    """Oracle: the recursion over all places, without any bound; of ties only the cost counts."""
    intervals = Intervals.of(torch.from_numpy(DRAWS[kind](np.random.default_rng(seed), count)))
    found = intervals.error(optimal_splits(intervals, size))
    least = intervals.error(recursive_splits(intervals, size))
    total = intervals.squares[-1] - intervals.squares[0]
    assert found == pytest.approx(least, rel=1e-12, abs=1e-14 * total)


@pytest.mark.equation("eq-codebook-monge")
@given(seed=SEEDS, columns=st.integers(1, 40), rows=st.integers(1, 40))
def test_row_minima_are_those_of_the_whole_matrix(seed, columns, rows):
    """Oracle: NumPy's minimum over every allowed column, and the value at the place."""
    rng = np.random.default_rng(seed)
    intervals = Intervals.of(torch.from_numpy(rng.standard_normal(100)))
    c = np.sort(rng.choice(101, columns, replace=False))
    r = np.sort(rng.choice(np.arange(c[0], 101), rows))
    base = rng.standard_normal(columns) * 10
    row = r[:, None]
    matrix = base + np.where(c <= row, intervals.cost(np.minimum(c, row), row), np.inf)
    least, choice = row_minima(base, c, r, intervals.cost)
    np.testing.assert_allclose(least, matrix.min(axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(matrix[np.arange(len(r)), choice], least, rtol=1e-12, atol=1e-12)


def test_of_equal_minima_the_first_place_is_taken():
    """Oracle: by hand; columns 1 and 3 are both 2."""
    base, columns = np.array([5.0, 2.0, 4.0, 2.0]), np.arange(4)
    least, choice = row_minima(base, columns, np.array([3, 4]), lambda i, j: 0.0 * (i + j))
    assert least.tolist() == [2.0, 2.0]
    assert choice.tolist() == [1, 1]


@pytest.mark.equation("eq-codebook-cost")
@given(seed=SEEDS, kind=st.sampled_from(["normal", "ties", "clumps"]))
def test_interval_costs_are_the_squared_errors_about_the_mean(seed, kind):
    """Oracle: NumPy's mean and sum over the values themselves."""
    rng = np.random.default_rng(seed)
    x = np.sort(DRAWS[kind](rng, 50))
    intervals = Intervals.of(torch.from_numpy(x))
    i, j = np.sort(rng.choice(len(intervals) + 1, 2, replace=False))
    distinct = np.unique(x)
    members = x[(x >= distinct[i]) & (x <= distinct[j - 1])]
    assert intervals.cost(i, j) == pytest.approx(((members - members.mean()) ** 2).sum(), abs=1e-8)
    mean = intervals.means(np.array([i, j]))[1] + intervals.origin
    assert mean == pytest.approx(members.mean(), abs=1e-12)
    assert intervals.cost(i, i) == 0
    parts = [intervals.cost(a, b) for a, b in ((0, i), (i, j), (j, len(intervals)))]
    assert intervals.error(np.array([i, j])) == pytest.approx(sum(parts))


def test_the_input_is_left_as_it_was_and_may_need_a_gradient():
    """Oracle: a copy made before."""
    weight = torch.nn.Parameter(normal(100))
    before = weight.detach().clone()
    assert optimal_codebook(weight, 4) == optimal_codebook(before, 4)
    assert torch.equal(weight, before)
