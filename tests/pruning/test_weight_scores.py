"""Scores of single weights against autograd, SciPy, closed forms and measured losses."""

from functools import partial

import draws
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from reference_impl.pruning import (
    magnitude,
    mean_square_taylor,
    optimal_brain_damage,
    second_order,
    snip,
    taylor,
    wanda,
)

ONE = torch.ones(2, 3)
PAIRED = (taylor, mean_square_taylor, optimal_brain_damage)
normal = partial(draws.normal, dtype=torch.float64)


def each_removed(weight):
    """Return the weights with one put to 0, for each in turn."""
    flat = weight.flatten()
    return [flat.index_fill(0, torch.tensor(i), 0).view_as(weight) for i in range(len(flat))]


@pytest.mark.equation("eq-importance-magnitude")
def test_magnitude_is_the_loss_of_a_round_quadratic():
    """Oracle: the loss ½ Σ (v − w)² at v = w with one entry put to 0, half the square."""
    weight = normal(4, 5)
    for score, without in zip(magnitude(weight).flatten(), each_removed(weight), strict=True):
        assert torch.isclose(0.5 * (without - weight).square().sum(), 0.5 * score**2)
    assert (magnitude(weight) >= 0).all()


@pytest.mark.equation("eq-importance-taylor")
@given(st.integers(0, 1000))
def test_taylor_is_the_squared_change_of_a_linear_loss(seed):
    """Oracle: a loss that is linear in w, with one weight removed."""
    weight, slope = normal(2, 6, seed=seed)
    for score, without in zip(taylor(weight, slope), each_removed(weight), strict=True):
        assert torch.isclose(score, (slope @ without - slope @ weight) ** 2)


@pytest.mark.equation("eq-importance-mean-square")
def test_mean_square_taylor_is_the_mean_over_examples_of_their_own_changes():
    """Oracle: each example's own linear loss, removed weight by weight, squared, then averaged."""
    weight, gradients = normal(5), normal(7, 5, seed=1)
    changes = torch.stack([g * -weight for g in gradients])
    found = mean_square_taylor(weight, gradients.square().mean(dim=0))
    assert torch.allclose(found, changes.square().mean(dim=0))


@given(st.integers(0, 1000), st.integers(2, 9))
def test_the_two_orders_differ_by_the_variance_of_the_gradients(seed, n):
    """Oracle: torch.var, the whole population."""
    weight, gradients = normal(5, seed=seed), normal(n, 5, seed=seed + 1)
    after = mean_square_taylor(weight, gradients.square().mean(dim=0))
    before = taylor(weight, gradients.mean(dim=0))
    assert torch.allclose(after - before, weight**2 * gradients.var(dim=0, correction=0))


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
    found = snip(weights, dict(zip(weights, gradients, strict=True)))
    total = sum(g.abs().sum() for g in by_connection)
    for score, g in zip(found.values(), by_connection, strict=True):
        assert torch.allclose(score, g.abs() / total)
    assert torch.isclose(sum(score.sum() for score in found.values()), torch.tensor(1.0).double())


@pytest.mark.equation("eq-importance-damage")
def test_brain_damage_is_exact_for_one_weight_of_a_quadratic():
    """Oracle: the quadratic itself, with interactions, one weight at a time."""
    weight, root = normal(6), normal(6, 6, seed=1)
    hessian = root.T @ root
    found = optimal_brain_damage(weight, hessian.diagonal())
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
    found = second_order(weight, gradient, (root.T @ root).diagonal())
    for score, without in zip(found, each_removed(weight), strict=True):
        assert torch.isclose(score, loss(without) - loss(weight))


@pytest.mark.equation("eq-importance-wanda")
def test_wanda_is_how_far_an_output_moves():
    """Oracle: the layer's outputs with one weight put to 0."""
    weight, inputs = normal(3, 5), normal(20, 5, seed=1)
    score = wanda(weight, torch.linalg.vector_norm(inputs, dim=0))
    for one, without in zip(score.flatten(), each_removed(weight), strict=True):
        assert torch.isclose(one, (inputs @ without.T - inputs @ weight.T).norm())


def test_shares_of_snip_survive_a_large_sum_and_rank_as_taylor():
    """Oracle: 10⁵ is above float16's range; SciPy's rank correlation; the mapping's own order."""
    weight = torch.full((1000,), 100.0, dtype=torch.float16)
    found = snip({"w": weight}, {"w": torch.ones_like(weight)})["w"]
    assert torch.allclose(found, torch.full_like(weight, 0.001), rtol=1e-3)
    weight, gradient = normal(50), normal(50, seed=1)
    score = snip({"w": weight}, {"w": gradient})["w"]
    assert spearmanr(score, taylor(weight, gradient)).statistic == pytest.approx(1)
    assert list(snip({"b": ONE, "a": ONE}, {"a": ONE, "b": ONE})) == ["b", "a"]


def test_scores_carry_no_gradient():
    """Oracle: autograd's own flag."""
    weight = torch.ones(2, 3, requires_grad=True)
    found = [magnitude(weight), wanda(weight, weight[0]), snip({"w": weight}, {"w": weight})["w"]]
    found += [score(weight, weight) for score in PAIRED]
    assert not any(score.requires_grad for score in found)
