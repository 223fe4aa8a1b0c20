"""Thresholds against brute force and the lasso; schedules against their ends and recursions."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
import torch.nn.utils.prune as torch_prune
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from reference_impl.pruning import (
    cubic_sparsity,
    hard_threshold,
    keep_highest,
    keep_highest_of_all,
    keep_highest_of_each,
    keep_n_of_m,
    proximal_step,
    rounds_to,
    soft_threshold,
)

shares = st.floats(0, 0.999)


@given(st.floats(-5, 5), st.floats(0, 3))
def test_the_soft_threshold_minimises_its_objective(x, tau):
    """Oracle: brute force over a fine grid of w that holds 0.

    Equation: eq-sparse-scalar.
    """
    w = torch.linspace(-6, 6, 24_001, dtype=torch.float64)
    objective = lambda v: 0.5 * (v - x) ** 2 + tau * v.abs()  # noqa: E731
    found = soft_threshold(torch.tensor([x], dtype=torch.float64), tau)
    assert float(objective(found)) <= float(objective(w).min()) + 1e-12


@given(st.floats(-5, 5), st.floats(0, 3))
def test_the_hard_threshold_minimises_its_objective(x, tau):
    """Oracle: the two candidates, w = 0 and w = x.

    Equation: eq-sparse-hard.
    """
    found = float(hard_threshold(torch.tensor([x], dtype=torch.float64), tau))
    cost = 0.5 * (found - x) ** 2 + 0.5 * tau**2 * (found != 0)
    assert cost <= min(0.5 * x**2, 0.5 * tau**2 * (x != 0)) + 1e-12


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (soft_threshold, torch.nn.functional.softshrink),
        (hard_threshold, torch.nn.functional.hardshrink),
    ],
)
def test_thresholds_are_torchs(ours, theirs, tau):
    """Oracle: torch's softshrink and hardshrink, ties with the threshold included.

    Equation: eq-sparse-soft.
    """
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    x[0] = tau
    x[1] = -tau
    assert torch.equal(ours(x, tau) + 0.0, theirs(x, tau) + 0.0)


@pytest.mark.parametrize("penalty", [0.01, 0.1, 0.5])
def test_proximal_steps_end_at_the_lasso(penalty):
    """Oracle: scikit-learn's coordinate descent on (1/2n)‖y − Xw‖² + λ‖w‖₁.

    Equation: eq-sparse-penalty, eq-sparse-proximal.
    """
    draws = np.random.default_rng(0)
    x = draws.normal(size=(80, 12))
    y = x @ np.where(np.arange(12) < 3, 1.0, 0.0) + 0.1 * draws.normal(size=80)
    lasso = Lasso(alpha=penalty, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y)
    a, b = torch.from_numpy(x.T @ x / 80), torch.from_numpy(x.T @ y / 80)
    rate = 1 / float(torch.linalg.eigvalsh(a)[-1])
    w = torch.zeros(12, dtype=torch.float64)
    for _ in range(2000):
        w = proximal_step(w, a @ w - b, rate=rate, penalty=penalty)
    np.testing.assert_allclose(w.numpy(), lasso.coef_, atol=1e-8)
    assert ((w == 0).numpy() == (lasso.coef_ == 0)).all()


def test_without_a_penalty_it_is_a_gradient_step():
    """Oracle: torch.optim.SGD."""
    w = torch.randn(6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    g = torch.arange(6.0)
    expected = proximal_step(w.detach(), g, rate=0.1, penalty=0.0)
    w.grad = g
    torch.optim.SGD([w], lr=0.1).step()
    torch.testing.assert_close(w.detach(), expected)


@given(shares, shares, st.integers(1, 200))
def test_the_cubic_schedule_rises_from_end_to_end_and_slows_down(a, b, n):
    """Oracle: its ends, monotony, concavity.

    Equation: eq-sparse-cubic.
    """
    first, last = min(a, b), max(a, b)
    s = [cubic_sparsity(t, n, final=last, initial=first) for t in range(n + 3)]
    assert s[0] == pytest.approx(first, abs=1e-12)
    assert s[n:] == [last] * 3
    rises = np.diff(s)
    assert (rises >= -1e-12).all()
    assert (np.diff(rises) <= 1e-12).all()


def test_the_cubic_schedule_solves_its_differential_equation():
    """Oracle: ds/dt = 3 (s_f − s) / (n − t), by central differences.

    Equation: eq-sparse-rate.
    """
    n, h = 10**6, 10
    for t in (10_000, 500_000, 900_000):
        low, at, high = (cubic_sparsity(k, n, final=0.9, initial=0.2) for k in (t - h, t, t + h))
        assert (high - low) / (2 * h) == pytest.approx(3 * (0.9 - at) / (n - t), rel=1e-6)


@given(shares, st.floats(0.01, 0.95))
def test_rounds_are_the_fewest_that_reach_the_sparsity(sparsity, share):
    """Oracle: dropping round after round.

    Equation: eq-sparse-rounds.
    """
    left, r = 1.0, 0
    while 1 - left < sparsity - 1e-12:
        left *= 1 - share
        r += 1
    assert rounds_to(sparsity, share) == r


@pytest.mark.parametrize("share", [1e-9, 1e-12, 1e-17])
def test_rounds_of_a_tiny_share_are_counted_at_once(share):
    """Oracle: (1 − p)^(c / p) → e^(−c) as p → 0."""
    assert rounds_to(0.5, share) == pytest.approx(np.log(2) / share, rel=1e-8)


@given(st.integers(0, 200), st.integers(0, 8))
def test_the_largest_weights_are_the_best_approximation(seed, n_dropped):
    """Oracle: brute force over all subsets of the places that are kept.

    Equation: eq-sparse-best.
    """
    w = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    square = w.flatten() ** 2
    errors = [float(square[list(gone)].sum()) for gone in combinations(range(9), n_dropped)]
    kept = keep_highest(w.abs(), n_dropped / 9)
    assert float(((w - w * kept) ** 2).sum()) == pytest.approx(min(errors), abs=1e-12)


def test_the_proximal_step_minimises_its_model_of_the_loss():
    """Oracle: brute force over a grid, and points drawn around the step.

    Equation: eq-sparse-model.
    """
    draws = torch.Generator().manual_seed(0)
    w, g = torch.randn(2, 4, generator=draws, dtype=torch.float64)
    eta, lam = 0.3, 0.8

    def model(v):
        squares = ((v - w) ** 2).sum(dim=-1) / (2 * eta)
        return (g * (v - w)).sum(dim=-1) + squares + lam * v.abs().sum(dim=-1)

    found = proximal_step(w, g, rate=eta, penalty=lam)
    near = found + 0.1 * torch.randn(20_000, 4, generator=draws, dtype=torch.float64)
    assert float(model(found)) <= float(model(near).min())
    grid = torch.linspace(-4, 4, 41, dtype=torch.float64)
    assert float(model(found)) <= float(model(torch.cartesian_prod(*[grid] * 4)).min())


def test_a_factor_between_layers_changes_global_masks_alone():
    """Oracle: ReLU(c x) = c ReLU(x), so that both pairs of layers are one network.

    Equation: eq-sparse-scale.
    """
    draws = torch.Generator().manual_seed(0)
    first, second = torch.randn(8, 6, generator=draws), torch.randn(3, 8, generator=draws)
    x = torch.randn(5, 6, generator=draws)
    c = 64.0
    same = (x @ (c * first).T).relu() @ (second / c).T
    assert torch.equal(same, (x @ first.T).relu() @ second.T)  # c is a power of two
    one = {"first": first.abs(), "second": second.abs()}
    other = {"first": c * first.abs(), "second": second.abs() / c}
    each = keep_highest_of_each(one, 0.3)
    assert all(torch.equal(each[n], m) for n, m in keep_highest_of_each(other, 0.3).items())
    assert keep_highest_of_all(one, 0.3)["second"].any()
    assert not keep_highest_of_all(other, 0.34)["second"].any()


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (3, 6), (4, 8)])
def test_n_of_m_has_as_many_patterns_as_there_are_choices(n, m):
    """Oracle: the binomial coefficient.

    Equation: eq-sparse-patterns.
    """
    score = torch.randn(4000, m, generator=torch.Generator().manual_seed(0))
    assert len(keep_n_of_m(score, n, m).unique(dim=0)) == comb(m, n)


def test_layerwise_pruning_is_torchs_layer_by_layer():
    """Oracle: torch.nn.utils.prune.l1_unstructured on each layer."""
    layers = {"a": torch.nn.Linear(30, 20), "b": torch.nn.Conv2d(3, 5, 3)}
    masks = keep_highest_of_each({name: x.weight.abs() for name, x in layers.items()}, 0.7)
    for name, layer in layers.items():
        torch_prune.l1_unstructured(layer, "weight", amount=0.7)
        assert torch.equal(masks[name], layer.weight_mask.bool())


@pytest.mark.parametrize(
    ("scores", "error", "text"),
    [
        ({}, ValueError, "scores must hold a tensor or more, got none"),
        ([torch.ones(3)], TypeError, "scores must be Mapping, got list"),
        (None, TypeError, "scores must be Mapping, got NoneType"),
        ({"a": torch.ones(3), "b": torch.ones(3).long()}, TypeError, r"scores\['b'\] must hold"),
        ({"a": torch.tensor([torch.nan])}, ValueError, r"scores\['a'\] must be finite"),
    ],
)
def test_bad_scores_of_layers_are_refused(scores, error, text):
    """Oracle: the error's text."""
    with pytest.raises(error, match=text):
        keep_highest_of_each(scores, 0.5)


X = torch.tensor([1.0, -2.0])
NAN = torch.tensor([float("nan")])


@pytest.mark.parametrize("function", [soft_threshold, hard_threshold])
@pytest.mark.parametrize(
    ("x", "tau", "error", "text"),
    [
        ([1.0], 0.1, TypeError, "x must be a torch.Tensor"),
        (torch.tensor([1]), 0.1, TypeError, "floating-point"),
        (torch.empty(0), 0.1, ValueError, "x must not be empty"),
        (NAN, 0.1, ValueError, "x must be finite"),
        (X, "1", TypeError, "threshold must be a real number"),
        (X, -0.1, ValueError, "threshold must be in"),
    ],
)
def test_bad_thresholds_are_refused(function, x, tau, error, text):
    """Oracle: the error's text."""
    with pytest.raises(error, match=text):
        function(x, tau)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"weight": [1.0]}, TypeError, "weight must be"),
        ({"gradient": NAN}, ValueError, "gradient must be finite"),
        ({"gradient": X[:1]}, ValueError, r"shape \(2,\), got \(1,\)"),
        ({"rate": 0}, ValueError, "rate must be in"),
        ({"penalty": -1.0}, ValueError, "penalty must be in"),
        ({"penalty": None}, TypeError, "penalty must be a real"),
    ],
)
def test_bad_proximal_steps_are_refused(change, error, text):
    """Oracle: the error's text."""
    with pytest.raises(error, match=text):
        proximal_step(**({"weight": X, "gradient": X, "rate": 0.1, "penalty": 0.1} | change))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"step": -1}, ValueError, "step must be at least 0"),
        ({"step": 0.5}, TypeError, "step must be an integer"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1"),
        ({"final": 1.0}, ValueError, "final must be below 1"),
        ({"final": 1.5}, ValueError, "final must be in"),
        ({"initial": 0.95}, ValueError, "initial must be in"),
        ({"final": True}, TypeError, "final must be a real"),
    ],
)
def test_bad_schedules_are_refused(change, error, text):
    """Oracle: the error's text."""
    with pytest.raises(error, match=text):
        cubic_sparsity(**({"step": 1, "n_steps": 4, "final": 0.9} | change))


@pytest.mark.parametrize(
    ("sparsity", "share", "text"),
    [(1.0, 0.2, "sparsity must be below 1"), (-0.1, 0.2, "sparsity"), (0.5, 0.0, "above 0")],
)
def test_bad_rounds_are_refused(sparsity, share, text):
    """Oracle: the error's text."""
    with pytest.raises(ValueError, match=text):
        rounds_to(sparsity, share)
