"""Thresholds against brute force and the lasso; schedules against their ends and recursions."""

import numpy as np
import pytest
import torch
import torch.nn.utils.prune as torch_prune
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from reference_impl.pruning.sparsity import (
    cubic_sparsity,
    hard_threshold,
    keep_highest_of_each,
    proximal_step,
    rounds_to,
    soft_threshold,
)

shares = st.floats(0, 0.999)


@given(st.floats(-5, 5), st.floats(0, 3))
def test_the_soft_threshold_minimises_its_objective(x, tau):
    """Oracle: brute force over a fine grid of w that holds 0."""
    w = torch.linspace(-6, 6, 24_001, dtype=torch.float64)
    objective = lambda v: 0.5 * (v - x) ** 2 + tau * v.abs()  # noqa: E731
    found = soft_threshold(torch.tensor([x], dtype=torch.float64), tau)
    assert float(objective(found)) <= float(objective(w).min()) + 1e-12


@given(st.floats(-5, 5), st.floats(0, 3))
def test_the_hard_threshold_minimises_its_objective(x, tau):
    """Oracle: the two candidates, w = 0 and w = x."""
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
    """Oracle: torch's softshrink and hardshrink, ties with the threshold included."""
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    x[0] = tau
    x[1] = -tau
    assert torch.equal(ours(x, tau) + 0.0, theirs(x, tau) + 0.0)


@pytest.mark.parametrize("penalty", [0.01, 0.1, 0.5])
def test_proximal_steps_end_at_the_lasso(penalty):
    """Oracle: scikit-learn's coordinate descent on (1/2n)‖y − Xw‖² + λ‖w‖₁."""
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
    """Oracle: its ends, monotony, concavity."""
    first, last = min(a, b), max(a, b)
    s = [cubic_sparsity(t, n, final=last, initial=first) for t in range(n + 3)]
    assert s[0] == pytest.approx(first, abs=1e-12)
    assert s[n:] == [last] * 3
    rises = np.diff(s)
    assert (rises >= -1e-12).all()
    assert (np.diff(rises) <= 1e-12).all()


def test_the_cubic_schedule_solves_its_differential_equation():
    """Oracle: ds/dt = 3 (s_f − s) / (n − t), by central differences."""
    n, h = 10**6, 10
    for t in (10_000, 500_000, 900_000):
        low, at, high = (cubic_sparsity(k, n, final=0.9, initial=0.2) for k in (t - h, t, t + h))
        assert (high - low) / (2 * h) == pytest.approx(3 * (0.9 - at) / (n - t), rel=1e-6)


@given(shares, st.floats(0.01, 0.95))
def test_rounds_are_the_fewest_that_reach_the_sparsity(sparsity, share):
    """Oracle: dropping round after round."""
    left, r = 1.0, 0
    while 1 - left < sparsity - 1e-12:
        left *= 1 - share
        r += 1
    assert rounds_to(sparsity, share) == r


def test_layerwise_pruning_is_torchs_layer_by_layer():
    """Oracle: torch.nn.utils.prune.l1_unstructured on each layer."""
    layers = {"a": torch.nn.Linear(30, 20), "b": torch.nn.Conv2d(3, 5, 3)}
    masks = keep_highest_of_each({name: x.weight.abs() for name, x in layers.items()}, 0.7)
    for name, layer in layers.items():
        torch_prune.l1_unstructured(layer, "weight", amount=0.7)
        assert torch.equal(masks[name], layer.weight_mask.bool())
    with pytest.raises(ValueError, match="scores must hold"):
        keep_highest_of_each({}, 0.5)


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
