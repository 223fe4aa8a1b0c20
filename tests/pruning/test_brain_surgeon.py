"""Optimal brain surgeon against constrained least squares, autograd and explicit inverses."""

from functools import partial

import draws
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from reference_impl import pruning
from reference_impl.pruning.brain_surgeon import without_weight

SEEDS = st.integers(0, 1000)
normal = partial(draws.normal, dtype=torch.float64)


def correlated(d, seed=0):
    """Return a Hessian whose weights interact."""
    return pruning.input_hessian(normal(3 * d, d, seed=seed) + normal(3 * d, 1, seed=seed + 1))


def cost(delta, hessian):
    return 0.5 * delta @ hessian @ delta


def best_without(weight, hessian, gone):
    """Return the least-squares weights with some entries 0, by torch.linalg.lstsq on H's root."""
    root = torch.linalg.cholesky(hessian).T  # δᵀ H δ = |root δ|²
    kept = [j for j in range(len(weight)) if j not in gone]
    answer = torch.zeros_like(weight)
    answer[kept] = torch.linalg.lstsq(root[:, kept], (root @ weight)[:, None]).solution[:, 0]
    return answer


@pytest.mark.equation("eq-importance-layer")
def test_input_hessian_is_autograds():
    """Oracle: torch.autograd.functional.hessian of a row's squared error; damping by hand."""
    x, w = normal(9, 4), normal(4, seed=1)
    found = torch.autograd.functional.hessian(lambda v: (x @ (w - v)).square().sum(), w)
    assert torch.allclose(pruning.input_hessian(x), found)
    x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    assert pruning.input_hessian(x, 0.1).tolist() == [[2 + 1, 0], [0, 18 + 1]]


@pytest.mark.equation("eq-importance-update", "eq-importance-surgeon")
@given(SEEDS)
def test_saliency_and_update_are_the_constrained_minimum(seed):
    """Oracle: least squares with one entry held at 0; no multiplier of Lagrange in it.

    The others' help never costs: damage is the same where no two weights interact. Rows share H.
    """
    h, w = correlated(5, seed), normal(5, seed=seed + 2)
    inverse = pruning.inverse_hessian(h)
    saliency = pruning.optimal_brain_surgeon(w, inverse)
    for q in range(5):
        delta = best_without(w, h, [q]) - w
        assert torch.allclose(pruning.surgeon_update(w, inverse, q), delta, rtol=1e-6, atol=1e-9)
        assert torch.isclose(saliency[q], cost(delta, h))
    damage = pruning.optimal_brain_damage(w, h.diagonal())
    assert (saliency <= damage * (1 + 1e-9)).all()
    alone = pruning.inverse_hessian(torch.diag(h.diagonal()))
    assert torch.allclose(pruning.optimal_brain_surgeon(w, alone), damage)
    rows = pruning.optimal_brain_surgeon(torch.stack([w, 2 * w]), inverse)
    assert torch.allclose(rows, torch.stack([saliency, 4 * saliency]))


@pytest.mark.equation("eq-importance-problem")
def test_scipy_finds_the_same_minimum():
    """Oracle: SciPy's SLSQP with the constraint e_qᵀ δ + w_q = 0."""
    h, w = correlated(4), normal(4, seed=2)
    a, v, inverse = h.numpy(), w.numpy(), pruning.inverse_hessian(h)
    quadratic = {"fun": lambda d: 0.5 * d @ a @ d, "jac": lambda d: a @ d}
    for q in range(4):
        held = {"type": "eq", "fun": lambda d, q=q: (d[q] + v[q]).reshape(1)}
        found = minimize(**quadratic, x0=-v, constraints=held, options={"ftol": 1e-14})
        assert found.fun == pytest.approx(float(pruning.optimal_brain_surgeon(w, inverse)[q]))
        assert found.x == pytest.approx(pruning.surgeon_update(w, inverse, q).numpy(), abs=1e-6)


@given(SEEDS, st.integers(0, 4))
def test_inverses_are_torchs_also_without_a_weight(seed, q):
    """Oracle: torch.linalg.inv of the Hessian, and of that without its row and column."""
    h = correlated(5, seed)
    rest = [j for j in range(5) if j != q]
    inverse = pruning.inverse_hessian(h.requires_grad_())
    assert torch.allclose(inverse, torch.linalg.inv(h), rtol=1e-6)
    assert pruning.inverse_hessian(h.float()).dtype == torch.float64
    found = without_weight(inverse, q)
    assert torch.allclose(found[rest][:, rest], torch.linalg.inv(h[rest][:, rest]), rtol=1e-6)
    assert not torch.cat([found[q], found[:, q]]).any()


@given(SEEDS, st.integers(0, 5))
def test_what_the_surgeon_leaves_is_least_squares(seed, count):
    """Oracle: torch.linalg.lstsq with the same weights gone; the costs add up."""
    h, w = correlated(6, seed), normal(6, seed=seed + 2)
    left = pruning.remove_by_surgeon(w, h, count)
    gone = left.removed.tolist()
    assert len(set(gone)) == count
    assert (left.weight == 0).sum() == count
    assert torch.allclose(left.weight, best_without(w, h, gone), rtol=1e-5, atol=1e-8)
    assert torch.isclose(left.cost.sum(), cost(left.weight - w, h), rtol=1e-6, atol=1e-10)


def test_each_step_of_the_surgeon_is_the_best_of_all():
    """Oracle: least squares without each of the weights in turn."""
    h, w = correlated(6), normal(6, seed=2)
    gone = pruning.remove_by_surgeon(w, h, 3).removed.tolist()
    for step in range(3):
        sets = [[*gone[:step], q] for q in range(6) if q not in gone[:step]]
        costs = [float(cost(best_without(w, h, one) - w, h)) for one in sets]
        assert gone[: step + 1] == sets[np.argmin(costs)]


@pytest.mark.parametrize("seed", range(20))
def test_an_input_that_is_the_sum_of_others_is_refused(seed):
    """Oracle: the rank of X; rounding may leave Cholesky a tiny positive pivot."""
    x = normal(50, 5, seed=seed)
    x[:, 4] = x[:, 0] + x[:, 1]
    with pytest.raises(ValueError, match="add damping"):
        pruning.inverse_hessian(pruning.input_hessian(x))
