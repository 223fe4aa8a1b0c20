"""Least-squares merging against NumPy's and scikit-learn's solvers, brute force, bad input."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from reference_impl.merging import greedy_keep, reproduce, selection

KEEP = torch.tensor([True, False, True, True, False, False])


def drawn(m: int = 40, n: int = 6) -> torch.Tensor:
    """Return values of units that are not independent, and not centred."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return torch.rand(m, n, generator=generator, dtype=torch.float64) @ mixed + 1


@pytest.mark.parametrize("intercept", [True, False])
def test_without_a_ridge_it_is_ordinary_least_squares(intercept):
    """Oracle: ``numpy.linalg.lstsq`` with a column of ones, or without."""
    h, start = drawn(), selection(KEEP).unmerge
    found = reproduce(h, h[:, KEEP], start, ridge=0, intercept=intercept)
    columns = [h[:, KEEP], torch.ones(len(h), 1, dtype=h.dtype)][: 2 if intercept else 1]
    theirs, *_ = np.linalg.lstsq(torch.cat(columns, dim=1).numpy(), h.numpy(), rcond=None)
    np.testing.assert_allclose(found.unmerge.T, theirs[:3], atol=1e-9)
    np.testing.assert_allclose(found.offset, theirs[3] if intercept else 0, atol=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
def test_the_ridge_is_scikit_learns_pulling_towards_the_start(intercept):
    """Oracle: ``sklearn.linear_model.Ridge`` of h − U_0 h_k, its α = λ m d.

    Equation: eq-merge-solution.
    """
    h, start = drawn(), torch.randn(6, 3, dtype=torch.float64)
    kept, ridge = h[:, KEEP], 0.3
    found = reproduce(h, kept, start, ridge=ridge, intercept=intercept)
    squares = kept.var(dim=0, correction=0) if intercept else kept.square().mean(dim=0)
    theirs = Ridge(alpha=ridge * len(h) * squares.mean().item(), fit_intercept=intercept)
    theirs.fit(kept.numpy(), (h - kept @ start.T).numpy())
    np.testing.assert_allclose(found.unmerge - start, theirs.coef_, atol=1e-9)
    np.testing.assert_allclose(found.offset, theirs.intercept_, atol=1e-9)


def test_no_other_map_has_a_lower_objective():
    """Oracle: 200 random changes of U and e.

    Equation: eq-merge-least-squares.
    """
    h, start, ridge = drawn(), selection(KEEP).unmerge.double(), 0.1
    kept = h[:, KEEP]
    scale = kept.var(dim=0, correction=0).mean()

    def objective(u, e):
        lost = (h - kept @ u.T - e).square().sum(dim=1).mean()
        return lost + ridge * scale * (u - start).square().sum()

    found = reproduce(h, kept, start, ridge=ridge)
    least = objective(found.unmerge, found.offset)
    draws = torch.Generator().manual_seed(1)
    for size in (1e-3, 0.1):
        for _ in range(100):
            u = found.unmerge + size * torch.randn(6, 3, generator=draws, dtype=torch.float64)
            e = found.offset + size * torch.randn(6, generator=draws, dtype=torch.float64)
            assert objective(u, e) > least


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_ridge_has_no_unit(factor):
    """Oracle: the definition is homogeneous: U is the same, e scales."""
    h, start = drawn(), selection(KEEP).unmerge
    small, large = (reproduce(x, x[:, KEEP], start, ridge=0.2) for x in (h, factor * h))
    assert not torch.equal(small.unmerge, start)
    torch.testing.assert_close(small.unmerge, large.unmerge)
    torch.testing.assert_close(small.offset, large.offset / factor)


def test_kept_units_are_themselves_and_a_strong_ridge_keeps_the_start():
    """Oracle: their residual is 0; the limit λ → ∞ is U_0."""
    h, start = drawn(), selection(KEEP).unmerge.double()
    found = reproduce(h, h[:, KEEP], start, ridge=0.1)
    torch.testing.assert_close(found.unmerge[KEEP], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(found.offset[KEEP], torch.zeros(3, dtype=torch.float64))
    stiff = reproduce(h, h[:, KEEP], start, ridge=1e12)
    torch.testing.assert_close(stiff.unmerge, start)


def test_of_several_solutions_the_nearest_to_the_start_is_returned():
    """Oracle: two equal units share; so do more units than images."""
    h = drawn()[:, :1].repeat(1, 3)
    start = torch.zeros(3, 2)
    found = reproduce(h, h[:, :2], start, ridge=0)
    torch.testing.assert_close(found.unmerge, torch.full((3, 2), 0.5, dtype=torch.float64))
    few = drawn()[:2]
    exact = reproduce(few, few[:, KEEP], torch.zeros(6, 3), ridge=0)
    torch.testing.assert_close(few[:, KEEP] @ exact.unmerge.T + exact.offset, few)


def test_units_do_not_depend_on_their_order():
    """Oracle: permutation."""
    h, order = drawn(), torch.tensor([2, 0, 1])
    kept = h[:, KEEP]
    start = torch.zeros(6, 3)
    straight = reproduce(h, kept, start, ridge=0.1)
    permuted = reproduce(h, kept[:, order], start, ridge=0.1)
    torch.testing.assert_close(permuted.unmerge, straight.unmerge[:, order])


def lost(h: torch.Tensor, reads: torch.Tensor, chosen: tuple[int, ...]) -> float:
    keep = torch.zeros(h.shape[1], dtype=torch.bool)
    keep[list(chosen)] = True
    found = reproduce(h, h[:, keep], selection(keep).unmerge, ridge=0)
    error = (h - h[:, keep] @ found.unmerge.T - found.offset) @ reads
    return error.square().sum(dim=1).mean().item()


def test_each_unit_chosen_is_the_best_next_one():
    """Oracle: brute force: least squares once for each unit that could be added."""
    h = drawn(60, 7)
    reads = torch.randn(7, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    chosen: tuple[int, ...] = ()
    for n_kept in range(1, 6):
        rest = [i for i in range(7) if i not in chosen]
        best = min(rest, key=lambda i: lost(h, reads, (*chosen, i)))
        chosen = (*chosen, best)
        keep = greedy_keep(h, reads, n_kept, ridge=0)
        assert sorted(chosen) == keep.nonzero().flatten().tolist()


def test_greedy_units_lose_hardly_more_than_the_best_ones():
    """Oracle: brute force over all subsets."""
    h = drawn(60, 7)
    reads = torch.randn(7, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    losses = [lost(h, reads, c) for c in itertools.combinations(range(7), 3)]
    greedy = lost(h, reads, tuple(greedy_keep(h, reads, 3, ridge=0).nonzero().flatten().tolist()))
    assert min(losses) <= greedy < np.median(losses)


def test_a_unit_that_others_reproduce_comes_last():
    """Oracle: by eye: the third is the sum of the first two, the fourth never varies."""
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h = torch.cat([x, x.sum(dim=1, keepdim=True), torch.ones(50, 1)], dim=1)
    keep = greedy_keep(h, torch.eye(4, dtype=torch.float64), 2, ridge=0)
    assert not keep[3]
    everything = greedy_keep(h, torch.eye(4, dtype=torch.float64), 4, ridge=0)
    assert everything.all()


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("intercept", [True, False])
def test_greedy_units_are_those_of_the_schur_complements(intercept, ridge):
    """Oracle: NumPy's solve: R = C − C_{:S} (C_SS + λ d I)⁻¹ C_{S:} anew for each unit."""
    h = drawn(60, 7).numpy()
    reads = np.random.default_rng(5).normal(size=(7, 4))
    centred = h - h.mean(axis=0) if intercept else h
    c = centred.T @ centred / 60
    damping = ridge * np.trace(c) / 7
    chosen: list[int] = []
    for n_kept in range(1, 7):
        block = c[np.ix_(chosen, chosen)] + damping * np.eye(len(chosen))
        r = c - c[:, chosen] @ np.linalg.solve(block, c[chosen]) if chosen else c
        seen = np.diag(r @ reads @ reads.T @ r)
        gain = {i: seen[i] / (r[i, i] + damping) for i in range(7) if i not in chosen}
        chosen.append(max(gain, key=gain.__getitem__))
        keep = greedy_keep(
            torch.from_numpy(h), torch.from_numpy(reads), n_kept, ridge=ridge, intercept=intercept
        )
        assert sorted(chosen) == keep.nonzero().flatten().tolist()


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_greedy_units_do_not_depend_on_the_unit(size):
    """Oracle: the same values and weights without the factor."""
    h, reads = drawn(60, 7), torch.randn(7, 4, dtype=torch.float64)
    expected = greedy_keep(h, reads, 3, ridge=0.01)
    assert torch.equal(greedy_keep(size * h, reads, 3, ridge=0.01), expected)
    assert torch.equal(greedy_keep(h, size * reads, 3, ridge=0.01), expected)


@pytest.mark.parametrize("seed", range(5))
def test_what_rounding_leaves_of_a_unit_does_not_count(seed):
    """Oracle: by eye: the last unit is hardly read, but only it has a value of its own."""
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    h = torch.cat([x[:, :2], x[:, :2].sum(dim=1, keepdim=True) / 3, x[:, 2:]], dim=1)
    reads = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1e-12], dtype=torch.float64))
    keep = greedy_keep(h, reads, 3, ridge=0)
    assert keep[3]


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
        h = torch.tensor([[2.0, 3.0, 0.0]]).repeat(rows, 1)
        found = reproduce(h, h[:, :1], torch.tensor([[1.0], [0.0], [0.0]]), ridge=0)
        assert found.unmerge.tolist() == [[1.0], [0.0], [0.0]]
        assert found.offset.tolist() == [0.0, 3.0, 0.0]
    assert greedy_keep(torch.zeros(4, 3), torch.ones(3, 2), 2, ridge=0).tolist() == [1, 1, 0]


H, START = drawn(), selection(KEEP).unmerge
HELD, READS = H[:, KEEP], torch.ones(6, 2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: reproduce(H, HELD[:-1], START, ridge=0.1),
            ValueError,
            "must have the m = .* of regressors, got 40",
        ),
        (
            lambda: reproduce(H, HELD, START.T, ridge=0.1),
            ValueError,
            "targets must have the n = 3 of towards",
        ),
        (lambda: reproduce(H[0], HELD, START, ridge=0.1), ValueError, r"targets must be \(m, n\)"),
        (
            lambda: reproduce(H, HELD, START, ridge=-1),
            ValueError,
            "ridge must be at least 0, got -1",
        ),
        (lambda: reproduce(H / 0, HELD, START, ridge=1), ValueError, "targets must be finite"),
        (
            lambda: reproduce(H, HELD, START, ridge=1, intercept="no"),
            TypeError,
            "intercept must be bool, got str 'no'",
        ),
        (
            lambda: greedy_keep(H, READS[:5], 2, ridge=0),
            ValueError,
            "values must have the n = 5 of outgoing",
        ),
        (
            lambda: greedy_keep(H, READS, 7, ridge=0),
            ValueError,
            r"n_kept must be in \[1, 6\], got 7",
        ),
        (lambda: greedy_keep(H, READS, 0, ridge=0), ValueError, "n_kept must be at least 1"),
        (
            lambda: greedy_keep(H, READS.long(), 2, ridge=0),
            TypeError,
            "outgoing must hold floating",
        ),
    ],
)
def test_bad_input_is_refused(call, error, text):
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call()
