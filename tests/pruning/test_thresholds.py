"""Thresholds and proximal steps against brute force, torch and the lasso."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from reference_impl.pruning import hard_threshold, proximal_step, soft_threshold


@pytest.mark.equation("eq-sparse-scalar", "eq-sparse-hard")
@given(st.floats(-5, 5), st.floats(0, 3))
def test_thresholds_minimize_their_objectives(x, tau):
    """Oracle: brute force over a fine grid of w that holds 0; the candidates w = 0 and w = x."""
    w = torch.linspace(-6, 6, 24_001, dtype=torch.float64)
    objective = lambda v: 0.5 * (v - x) ** 2 + tau * v.abs()  # noqa: E731
    soft = soft_threshold(torch.tensor([x], dtype=torch.float64), tau)
    assert float(objective(soft)) <= float(objective(w).min()) + 1e-12
    hard = float(hard_threshold(torch.tensor([x], dtype=torch.float64), tau))
    cost = 0.5 * (hard - x) ** 2 + 0.5 * tau**2 * (hard != 0)
    assert cost <= min(0.5 * x**2, 0.5 * tau**2 * (x != 0)) + 1e-12


@pytest.mark.equation("eq-sparse-soft")
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0])
def test_thresholds_are_torchs(tau):
    """Oracle: torch's softshrink and hardshrink, ties with the threshold included."""
    x = torch.cat([normal(50), torch.tensor([tau, -tau])])
    assert torch.equal(soft_threshold(x, tau) + 0.0, F.softshrink(x, tau) + 0.0)
    assert torch.equal(hard_threshold(x, tau) + 0.0, F.hardshrink(x, tau) + 0.0)


@pytest.mark.equation("eq-sparse-penalty", "eq-sparse-proximal")
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


@pytest.mark.equation("eq-sparse-model")
def test_the_proximal_step_minimizes_its_model_of_the_loss():
    """Oracle: brute force over a grid and points around the step; by hand without penalty."""
    draws = generator()
    w, g = torch.randn(2, 4, generator=draws, dtype=torch.float64)
    eta, lam = 0.3, 0.8

    def model(v):
        squares = ((v - w) ** 2).sum(dim=-1) / (2 * eta)
        return (g * (v - w)).sum(dim=-1) + squares + lam * v.abs().sum(dim=-1)

    torch.testing.assert_close(proximal_step(w, g, rate=eta, penalty=0), w - eta * g)
    found = proximal_step(w, g, rate=eta, penalty=lam)
    near = found + 0.1 * torch.randn(20_000, 4, generator=draws, dtype=torch.float64)
    assert float(model(found)) <= float(model(near).min())
    grid = torch.linspace(-4, 4, 41, dtype=torch.float64)
    assert float(model(found)) <= float(model(torch.cartesian_prod(*[grid] * 4)).min())
