"""Scores of single weights against autograd, SciPy, closed forms and measured losses."""

from collections import OrderedDict

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


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draws, dtype=torch.float64)


def test_magnitude_is_the_loss_of_a_round_quadratic() -> None:
    """Oracle: the loss ½ Σ (v − w)² at v = w with one entry put to 0, half the square.

    Equation: eq-importance-magnitude.
    """
    weight = normal(4, 5)
    for place in range(20):
        without = weight.clone().flatten()
        without[place] = 0
        loss = 0.5 * (without - weight.flatten()).square().sum()
        assert torch.isclose(loss, 0.5 * magnitude(weight).flatten()[place] ** 2)
    assert (magnitude(weight) >= 0).all()


@given(st.integers(0, 1000))
def test_taylor_is_the_squared_change_of_a_linear_loss(seed: int) -> None:
    """Oracle: a loss that is linear in w, with one weight removed.

    Equation: eq-importance-taylor.
    """
    weight, slope = normal(2, 6, seed=seed)
    for place in range(6):
        without = weight.clone()
        without[place] = 0
        change = (slope @ without) - (slope @ weight)
        assert torch.isclose(taylor(weight, slope)[place], change**2)


def test_mean_square_taylor_is_the_mean_over_examples_of_their_own_changes() -> None:
    """Oracle: each example's own linear loss, removed weight by weight, squared, then averaged.

    Equation: eq-importance-mean-square.
    """
    weight, gradients = normal(5), normal(7, 5, seed=1)
    changes = torch.stack([g * -weight for g in gradients])
    found = mean_square_taylor(weight, gradients.square().mean(dim=0))
    assert torch.allclose(found, changes.square().mean(dim=0))


@given(st.integers(0, 1000), st.integers(2, 9))
def test_the_two_orders_differ_by_the_variance_of_the_gradients(seed: int, n: int) -> None:
    """Oracle: torch.var, the whole population."""
    weight, gradients = normal(5, seed=seed), normal(n, 5, seed=seed + 1)
    after = mean_square_taylor(weight, gradients.square().mean(dim=0))
    before = taylor(weight, gradients.mean(dim=0))
    assert torch.allclose(after - before, weight**2 * gradients.var(dim=0, correction=0))


def test_snip_is_the_gradient_by_a_connection() -> None:
    """Oracle: autograd by the connections c of a two-layer network at c = 1.

    Equation: eq-importance-snip.
    """
    weights = {"a": normal(4, 3), "b": normal(2, 4, seed=1)}
    x, y = normal(9, 3, seed=2), normal(9, 2, seed=3)

    def loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
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


def test_snip_ranks_as_taylor() -> None:
    """Oracle: SciPy's rank correlation."""
    weight, gradient = normal(50), normal(50, seed=1)
    score = snip({"w": weight}, {"w": gradient})["w"]
    assert spearmanr(score, taylor(weight, gradient)).statistic == pytest.approx(1)


def test_brain_damage_is_exact_for_one_weight_of_a_quadratic() -> None:
    """Oracle: the quadratic itself, with interactions, one weight at a time.

    Equation: eq-importance-damage.
    """
    weight, root = normal(6), normal(6, 6, seed=1)
    hessian = root.T @ root
    for place in range(6):
        without = weight.clone()
        without[place] = 0
        step = without - weight
        change = 0.5 * step @ hessian @ step
        assert torch.isclose(optimal_brain_damage(weight, hessian.diagonal())[place], change)


@given(st.integers(0, 1000))
def test_second_order_is_exact_for_one_weight_of_any_quadratic(seed: int) -> None:
    """Oracle: a quadratic away from its minimum; autograd gives its gradient.

    Equation: eq-importance-expansion.
    """
    weight, centre = normal(2, 6, seed=seed)
    root = normal(6, 6, seed=seed + 1)

    def loss(w: torch.Tensor) -> torch.Tensor:
        return 0.5 * (root @ (w - centre)).square().sum()

    gradient = torch.func.grad(loss)(weight)
    found = second_order(weight, gradient, (root.T @ root).diagonal())
    for place in range(6):
        without = weight.clone()
        without[place] = 0
        assert torch.isclose(found[place], loss(without) - loss(weight))


def test_wanda_is_how_far_an_output_moves() -> None:
    """Oracle: the layer's outputs with one weight put to 0.

    Equation: eq-importance-wanda.
    """
    weight, inputs = normal(3, 5), normal(20, 5, seed=1)
    score = wanda(weight, torch.linalg.vector_norm(inputs, dim=0))
    for i in range(3):
        for j in range(5):
            without = weight.clone()
            without[i, j] = 0
            moved = inputs @ without.T - inputs @ weight.T
            assert torch.isclose(score[i, j], moved.norm())


def test_scores_carry_no_gradient() -> None:
    """Oracle: autograd's own flag."""
    weight = torch.ones(2, 3, requires_grad=True)
    found = [magnitude(weight), wanda(weight, weight[0]), snip({"w": weight}, {"w": weight})["w"]]
    found += [score(weight, weight) for score in PAIRED]
    assert not any(score.requires_grad for score in found)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: magnitude(torch.tensor([])), ValueError, "weight must not be empty"),
        (lambda: magnitude(torch.tensor([1])), TypeError, "weight must hold floating-point"),
        (lambda: taylor([1.0], ONE), TypeError, "weight must be a torch.Tensor, got list"),
        (lambda: taylor(ONE, ONE * torch.nan), ValueError, "gradient must be finite"),
        (lambda: mean_square_taylor(ONE, -ONE), ValueError, "at least 0, got -1"),
        (lambda: second_order(ONE, ONE[0], ONE), ValueError, "weight must have the shape of grad"),
        (lambda: second_order(ONE, ONE, ONE[0]), ValueError, "weight must have the shape of curv"),
        (lambda: wanda(ONE, torch.ones(2)), ValueError, "weight must have the 2 in of input_norm"),
        (lambda: snip({}, {}), ValueError, "gradients must be those of the weights"),
        (lambda: snip({"a": ONE}, {"b": ONE}), ValueError, r"weights {'a': \(2, 3\)}, got {'b'"),
        (lambda: snip({"a": ONE}, {"a": ONE[0]}), ValueError, r"got {'a': \(3,\)}"),
        (lambda: snip([ONE], {"b": ONE}), TypeError, "weights must be Mapping"),
        (lambda: snip({"a": ONE}, {"a": 0 * ONE}), ValueError, "gradients must not be 0"),
    ],
)
def test_bad_input_is_refused(call, error, text) -> None:
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call()


def test_shares_in_half_precision_survive_a_large_sum() -> None:
    """Oracle: a thousand equal products, whose sum of 100,000 no float16 holds."""
    weight = torch.full((1000,), 100.0, dtype=torch.float16)
    found = snip({"w": weight}, {"w": torch.ones_like(weight)})["w"]
    assert torch.allclose(found, torch.full_like(weight, 0.001), rtol=1e-3)


def test_snip_keeps_the_names_in_order() -> None:
    """Oracle: the mapping that was given."""
    weights = OrderedDict(b=ONE, a=ONE)
    assert list(snip(weights, {"a": ONE, "b": ONE})) == ["b", "a"]
