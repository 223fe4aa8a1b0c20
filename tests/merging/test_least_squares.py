"""Least-squares merging against NumPy's and scikit-learn's solvers, brute force, bad input."""

import numpy as np
import pytest
import torch
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from reference_impl.merging import greedy_keep, reproduce, selection

KEEP = torch.tensor([True, False, True, True, False, False])


def drawn(m=40, n=6):
    """Return values of units that are not independent, and not centred."""
    mixed = normal(n, n, seed=1, dtype=torch.float64)
    return torch.rand(m, n, generator=generator(), dtype=torch.float64) @ mixed + 1


@pytest.mark.equation("eq-merge-solution", "eq-merge-least-squares")
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_ridge_is_scikit_learns_pulling_towards_the_start(intercept, ridge):
    """Oracle: ``sklearn.linear_model.Ridge`` of h − U_0 h_k, its α = λ m d; least squares if 0."""
    h, start = drawn(), normal(6, 3, dtype=torch.float64)
    kept = h[:, KEEP]
    found = reproduce(h, kept, start, ridge=ridge, intercept=intercept)
    squares = kept.var(dim=0, correction=0) if intercept else kept.square().mean(dim=0)
    theirs = Ridge(alpha=ridge * len(h) * squares.mean().item(), fit_intercept=intercept)
    theirs.fit(kept.numpy(), (h - kept @ start.T).numpy())
    np.testing.assert_allclose(found.unmerge - start, theirs.coef_, atol=1e-9)
    np.testing.assert_allclose(found.offset, theirs.intercept_, atol=1e-9)


def test_kept_units_are_themselves_a_strong_ridge_keeps_the_start_and_no_order_matters():
    """Oracle: their residual is 0; the limit λ → ∞ is U_0; permutation."""
    h, start = drawn(), selection(KEEP).unmerge.double()
    found = reproduce(h, h[:, KEEP], start, ridge=0.1)
    torch.testing.assert_close(found.unmerge[KEEP], torch.eye(3).double())
    torch.testing.assert_close(found.offset[KEEP], torch.zeros(3).double())
    torch.testing.assert_close(reproduce(h, h[:, KEEP], start, ridge=1e12).unmerge, start)
    order = torch.tensor([2, 0, 1])
    permuted = reproduce(h, h[:, KEEP][:, order], start[:, order], ridge=0.1)
    torch.testing.assert_close(permuted.unmerge, found.unmerge[:, order])


def test_of_several_solutions_the_nearest_to_the_start_is_returned():
    """Oracle: two equal units share; so do more units than images."""
    h = drawn()[:, :1].repeat(1, 3)
    start = torch.zeros(3, 2)
    found = reproduce(h, h[:, :2], start, ridge=0)
    torch.testing.assert_close(found.unmerge, torch.full((3, 2), 0.5, dtype=torch.float64))
    few = drawn()[:2]
    exact = reproduce(few, few[:, KEEP], torch.zeros(6, 3), ridge=0)
    torch.testing.assert_close(few[:, KEEP] @ exact.unmerge.T + exact.offset, few)


def test_a_unit_that_others_reproduce_comes_last():
    """Oracle: by eye: the third is the sum of the first two, the fourth never varies."""
    x = normal(50, 2, dtype=torch.float64)
    h = torch.cat([x, x.sum(dim=1, keepdim=True), torch.ones(50, 1)], dim=1)
    assert not greedy_keep(h, torch.eye(4), 2, ridge=0)[3]
    assert greedy_keep(h, torch.eye(4), 4, ridge=0).all()


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("intercept", [True, False])
def test_each_unit_chosen_is_the_best_next_one(intercept, ridge):
    """Oracle: brute force: what each set of units loses, C − C_{:S} (C_SS + λ d I)⁻¹ C_{S:}."""
    h = drawn(60, 7).numpy()
    reads = np.random.default_rng(5).normal(size=(7, 4))
    centred = h - h.mean(axis=0) if intercept else h
    c = centred.T @ centred / 60
    damping = ridge * np.trace(c) / 7

    def lost(units):
        block = c[np.ix_(units, units)] + damping * np.eye(len(units))
        return np.trace(reads.T @ (c - c[:, units] @ np.linalg.solve(block, c[units])) @ reads)

    chosen = []
    for n_kept in range(1, 7):
        chosen = min(([*chosen, i] for i in range(7) if i not in chosen), key=lost)
        given = torch.from_numpy(h), torch.from_numpy(reads), n_kept
        keep = greedy_keep(*given, ridge=ridge, intercept=intercept)
        assert sorted(chosen) == keep.nonzero().flatten().tolist()


@given(factor=st.floats(1e-6, 1e6))
def test_the_ridge_has_no_unit(factor):
    """Oracle: the definition is homogeneous: U and the units kept are the same, e scales."""
    h, start, reads = drawn(), selection(KEEP).unmerge, normal(6, 4, dtype=torch.float64)
    small, large = (reproduce(x, x[:, KEEP], start, ridge=0.2) for x in (h, factor * h))
    assert not torch.equal(small.unmerge, start)
    torch.testing.assert_close(small.unmerge, large.unmerge)
    torch.testing.assert_close(small.offset, large.offset / factor)
    expected = greedy_keep(h, reads, 3, ridge=0.01)
    assert torch.equal(greedy_keep(factor * h, reads, 3, ridge=0.01), expected)
    assert torch.equal(greedy_keep(h, factor * reads, 3, ridge=0.01), expected)


@given(seed=st.integers(0, 1000))
def test_what_rounding_leaves_of_a_unit_does_not_count(seed):
    """Oracle: by eye: the last unit is hardly read, but only it has a value of its own."""
    x = normal(50, 3, seed=seed, dtype=torch.float64)
    h = torch.cat([x[:, :2], x[:, :2].sum(dim=1, keepdim=True) / 3, x[:, 2:]], dim=1)
    reads = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1e-12], dtype=torch.float64))
    assert greedy_keep(h, reads, 3, ridge=0)[3]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_values_of_other_dtypes_are_solved_in_float64(dtype):
    """Oracle: the same rounded values, given as float64; a view and a gradient change nothing."""
    h, start = drawn().to(dtype), selection(KEEP).unmerge
    ours = reproduce(h, h[:, KEEP], start.to(dtype), ridge=0.1)
    exact = reproduce(h.double(), h[:, KEEP].double(), start.double(), ridge=0.1)
    strided = h.T.contiguous().T.requires_grad_()
    assert torch.equal(reproduce(strided, strided[:, KEEP], start, ridge=0.1).unmerge, ours.unmerge)
    assert torch.equal(ours.unmerge, exact.unmerge)
    assert torch.equal(ours.offset, exact.offset)
    assert not ours.unmerge.requires_grad


def test_of_values_that_never_vary_the_mean_is_all_there_is():
    """Oracle: by eye: one image, or the same one again: U is the start, e is the rest."""
    for rows in (1, 4):
        h = torch.tensor([[2.0, 3.0, 0.0]] * rows)
        found = reproduce(h, h[:, :1], torch.tensor([[1.0], [0.0], [0.0]]), ridge=0)
        assert found.unmerge.tolist() == [[1.0], [0.0], [0.0]]
        assert found.offset.tolist() == [0.0, 3.0, 0.0]
    assert greedy_keep(torch.zeros(4, 3), torch.ones(3, 2), 2, ridge=0).tolist() == [1, 1, 0]
