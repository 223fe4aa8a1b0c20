"""Scores of single weights against autograd, SciPy, closed forms and measured losses."""

from functools import partial

import draws
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from reference_impl import pruning

normal = partial(draws.normal, dtype=torch.float64)


def each_removed(weight):
    """Return the weights with one put to 0, for each in turn."""
    flat = weight.flatten()
    return [flat.index_fill(0, torch.tensor(i), 0).view_as(weight) for i in range(len(flat))]


@pytest.mark.equation("eq-importance-magnitude")
def test_magnitude_is_the_loss_of_a_round_quadratic():
    """Oracle: the loss ½ Σ (v − w)² at v = w with one entry put to 0, half the square."""
    weight = normal(4, 5)
    for score, without in zip(
        pruning.magnitude(weight).flatten(), each_removed(weight), strict=True
    ):
        assert torch.isclose(0.5 * (without - weight).square().sum(), 0.5 * score**2)
    assert (pruning.magnitude(weight) >= 0).all()


@pytest.mark.equation("eq-importance-taylor")
@given(st.integers(0, 1000))
def test_taylor_is_the_squared_change_of_a_linear_loss(seed):
    """Oracle: a loss that is linear in w, with one weight removed."""
    weight, slope = normal(2, 6, seed=seed)
    for score, without in zip(pruning.taylor(weight, slope), each_removed(weight), strict=True):
        assert torch.isclose(score, (slope @ without - slope @ weight) ** 2)


@pytest.mark.equation("eq-importance-mean-square")
@given(st.integers(0, 1000), st.integers(2, 9))
def test_mean_square_taylor_is_the_mean_over_examples_of_their_own_changes(seed, n):
    """Oracle: each example's linear loss, each weight removed; torch.var of the gradients' rest."""
    weight, gradients = normal(5, seed=seed), normal(n, 5, seed=seed + 1)
    found = pruning.mean_square_taylor(weight, gradients.square().mean(dim=0))
    assert torch.allclose(found, (gradients * -weight).square().mean(dim=0))
    more = found - pruning.taylor(weight, gradients.mean(dim=0))
    assert torch.allclose(more, weight**2 * gradients.var(dim=0, correction=0))


@pytest.mark.equation("eq-importance-snip")
def test_snip_is_the_gradient_by_a_connection():
    """Oracle: autograd by the connections c of a two-layer network at c = 1."""
    weights = {"a": normal(4, 3), "b": normal(2, 4, seed=1)}
    x, y = normal(9, 3, seed=2), normal(9, 2, seed=3)

    def loss(first, second):
        return ((x @ first.T).tanh() @ second.T - y).square().mean()

    ones = [torch.ones_like(w, requires_grad=True) for w in weights.values()]
    value = loss(*(w * c for w, c in zip(weights.values(), ones, strict=True)))
    by_connection = torch.autograd.grad(value, ones)
    leaves = [w.clone().requires_grad_() for w in weights.values()]
    gradients = torch.autograd.grad(loss(*leaves), leaves)
    found = pruning.snip(weights, dict(zip(weights, gradients, strict=True)))
    total = sum(g.abs().sum() for g in by_connection)
    for score, g in zip(found.values(), by_connection, strict=True):
        assert torch.allclose(score, g.abs() / total)


@pytest.mark.equation("eq-importance-damage")
def test_brain_damage_is_exact_for_one_weight_of_a_quadratic():
    """Oracle: the quadratic itself, with interactions, one weight at a time."""
    weight, root = normal(6), normal(6, 6, seed=1)
    hessian = root.T @ root
    found = pruning.optimal_brain_damage(weight, hessian.diagonal())
    for score, without in zip(found, each_removed(weight), strict=True):
        step = without - weight
        assert torch.isclose(score, 0.5 * step @ hessian @ step)


@pytest.mark.equation("eq-importance-expansion")
@given(st.integers(0, 1000))
def test_second_order_is_exact_for_one_weight_of_any_quadratic(seed):
    """Oracle: a quadratic away from its minimum; autograd gives its gradient."""
    weight, centre = normal(2, 6, seed=seed)
    root = normal(6, 6, seed=seed + 1)

    def loss(w):
        return 0.5 * (root @ (w - centre)).square().sum()

    gradient = torch.func.grad(loss)(weight)
    found = pruning.second_order(weight, gradient, (root.T @ root).diagonal())
    for score, without in zip(found, each_removed(weight), strict=True):
        assert torch.isclose(score, loss(without) - loss(weight))


@pytest.mark.equation("eq-importance-wanda")
def test_wanda_is_how_far_an_output_moves():
    """Oracle: the layer's outputs with one weight put to 0."""
    weight, inputs = normal(3, 5), normal(20, 5, seed=1)
    score = pruning.wanda(weight, torch.linalg.vector_norm(inputs, dim=0))
    for one, without in zip(score.flatten(), each_removed(weight), strict=True):
        assert torch.isclose(one, (inputs @ without.T - inputs @ weight.T).norm())


def test_shares_of_snip_survive_a_large_sum_and_rank_as_taylor():
    """Oracle: 10⁵ is above float16's range; SciPy's rank correlation; the mapping's own order."""
    weight = torch.full((1000,), 100.0, dtype=torch.float16)
    found = pruning.snip({"w": weight}, {"w": torch.ones_like(weight)})["w"]
    assert torch.allclose(found, torch.full((1000,), 0.001))
    weight, gradient = normal(50), normal(50, seed=1)
    score = pruning.snip({"w": weight}, {"w": gradient})["w"]
    assert spearmanr(score, pruning.taylor(weight, gradient)).statistic == pytest.approx(1)
    assert list(pruning.snip({"b": weight, "a": weight}, {"a": weight, "b": weight})) == ["b", "a"]


HALVES = [
    (pruning.taylor, 0.05, 1e-3),
    (pruning.mean_square_taylor, 0.05, 1e-6),
    (pruning.optimal_brain_damage, 300.0, 2.0),
    (pruning.wanda, 300.0, 300.0),
    (lambda w, g: pruning.snip({"w": w}, {"w": g})["w"], 1e-3, 1e-5),
    (lambda w, _: pruning.row_norm(w), 3e4, 1.0),
    (lambda w, _: pruning.mean_square_gate_taylor(w), 300.0, 1.0),
    (lambda w, _: pruning.output_change(w.T, w[0]), 300.0, 1.0),
    (pruning.unit_taylor, 0.05, 1e-3),
]


@pytest.mark.parametrize(("score", "weight", "other"), HALVES)
def test_scores_of_half_precision_neither_vanish_nor_overflow(score, weight, other):
    """Oracle: the same numbers in float64; the squares lie outside float16's range."""
    w, g = (torch.full((4, 4), x, dtype=torch.float16) for x in (weight, other))
    g = g[0] if score is pruning.wanda else g
    found = score(w, g)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), score(w.double(), g.double()), rtol=1e-5, atol=0)
