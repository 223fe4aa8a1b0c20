"""A layer's loss against the errors themselves, AdaRound against all 2^n roundings."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st

from reference_impl import quantization
from reference_impl.quantization.adaround import annealed, inverse_rectified_sigmoid, restored

double = partial(normal, dtype=torch.float64)
GRID = quantization.IntegerGrid(3, signed=True, narrow=True)


def quadratic(gram, weight):
    """Return the loss of a layer that reads inputs of covariance ``gram`` without error."""
    power = float((weight @ gram * weight).sum())
    means = torch.zeros(weight.shape[0], weight.shape[2]), torch.zeros(weight.shape[:2])
    return quantization.LayerLoss(gram, weight @ gram, power, *means)


def problem(seed, outputs, inputs):
    """Return a weight, its loss on correlated inputs, and a quantizer with a step a row."""
    weight = normal(1, outputs, inputs, seed=seed)
    x = (normal(200, inputs, seed=seed + 1) + 1.5 * normal(200, 1, seed=seed + 2)).relu()
    loss = quadratic(torch.cov(x.T).view(1, inputs, inputs), weight)
    return weight, loss, per_row(weight)


def per_row(weight, grid=GRID, share=1.0):
    low, high = quantization.min_max_range(weight, (0, 1))
    return quantization.symmetric_from_range(share * low, share * high, grid)


def loss_of(x, y):
    """Return the loss of the moments of x, (groups, m, k), and y, (groups, m, o)."""
    m = x.shape[1]
    moments = x.mean(1), y.mean(1), x.mT @ x / m, y.mT @ x / m
    return quantization.LayerLoss.of_moments(*moments, float(y.square().sum() / m))


def example(seed, groups=2, m=50):
    x, rest = double(groups, m, 4, seed=seed) + 1, double(groups, m, 3, seed=seed + 1) + 2
    return x, x @ double(groups, 4, 3, seed=seed + 2) + rest


@pytest.mark.equation("eq-ptq-loss")
@given(seed=st.integers(0, 1000))
def test_total_is_the_mean_squared_error_with_the_best_bias(seed):
    """Oracle: the residuals over all examples, their mean taken off."""
    x, y = example(seed)
    loss = loss_of(x, y)
    weight = normal(2, 3, 4, seed=seed + 1)
    residual = y - x @ weight.double().mT
    residual = residual - residual.mean(1, keepdim=True)
    expected = residual.square().sum().item() / x.shape[1]
    assert loss.total(weight) == pytest.approx(expected, rel=1e-4)
    assert loss.of(weight).sum().item() + loss.power == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert loss.of(300 * weight.half()).isfinite().all()  # float16 would not hold the squares


@given(seed=st.integers(0, 1000))
def test_least_loss_is_that_of_numpys_least_squares(seed):
    """Oracle: numpy.linalg.lstsq with a column of ones for the bias."""
    x, y = example(seed, groups=1)
    loss = loss_of(x, y)
    design = np.concatenate([x[0].numpy(), np.ones((x.shape[1], 1))], axis=1)
    solution, residuals, *_ = np.linalg.lstsq(design, y[0].numpy(), rcond=None)
    weight = torch.tensor(solution[:-1].T[None], dtype=torch.float32)
    assert loss.total(weight) == pytest.approx(residuals.sum() / x.shape[1], rel=1e-3)
    bias = torch.tensor(solution[-1]).float()
    torch.testing.assert_close(loss.bias(weight)[0], bias, rtol=1e-3, atol=1e-3)


@pytest.mark.equation("eq-ptq-taylor", "eq-ptq-layer")
@given(seed=st.integers(0, 1000))
def test_with_the_layers_own_inputs_it_is_the_hessians_form(seed):
    """Oracle: Σ_i Δw_i G Δw_iᵀ by loops over rows and pairs of weights."""
    x = double(1, 40, 3, seed=seed)
    weight, delta = normal(1, 2, 3, seed=seed + 1), 0.1 * normal(1, 2, 3, seed=seed + 2)
    loss = loss_of(x, x @ weight.double().mT)
    covariance = np.cov(x[0].numpy().T, bias=True)
    expected = sum(
        float(delta[0, i, a] * covariance[a, b] * delta[0, i, b])
        for i, a, b in itertools.product(range(2), range(3), range(3))
    )
    assert loss.total(weight + delta) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert loss.total(weight) == pytest.approx(0, abs=1e-5)


@pytest.mark.equation("eq-ptq-sigmoid")
@given(h=st.floats(0, 1))
def test_rectified_sigmoid_reaches_its_ends_and_has_an_inverse(h):
    """Oracle: by hand, σ(V) (1.2) − 0.1 = 0 at V = −log 11 and 1 at V = log 11; h(V(h)) = h."""
    v = torch.tensor([-20.0, -math.log(11), 0.0, math.log(11), 20.0, 1.0])
    expected = torch.tensor([0, 0, 0.5, 1, 1, 1.2 / (1 + math.exp(-1)) - 0.1])
    torch.testing.assert_close(quantization.rectified_sigmoid(v), expected, rtol=0, atol=1e-6)
    value = torch.tensor([h], dtype=torch.float64)
    torch.testing.assert_close(
        quantization.rectified_sigmoid(inverse_rectified_sigmoid(value)), value
    )


@pytest.mark.equation("eq-ptq-regularizer")
@given(h=st.lists(st.floats(0, 1), min_size=1, max_size=6), beta=st.floats(0.5, 20))
def test_undecidedness_is_the_sum_by_hand(h, beta):
    """Oracle: Python's arithmetic."""
    expected = sum(1 - abs(2 * value - 1) ** beta for value in h)
    found = quantization.undecidedness(torch.tensor(h, dtype=torch.float64), beta).item()
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_weight_that_stands_there_many_times_is_rounded_as_one():
    """Oracle: itself alone; loss and pressure are relative to the number of weights."""
    weight, loss, quantizer = problem(4, outputs=1, inputs=12)
    settings = quantization.AdaRoundSettings(pressure=1.0, warm_up=0.0, beta=(2.0, 2.0))
    alone = quantization.round_adaptively(weight, quantizer, loss, settings)
    assert not torch.equal(alone, quantizer.round_trip(weight)), "the nearest is the best"
    many = weight.expand(1, 40, 12).contiguous()
    found = quantization.round_adaptively(many, per_row(many), quadratic(loss.gram, many), settings)
    assert torch.equal(found, alone.expand(1, 40, 12))


def test_beta_falls_along_half_a_cosine_after_the_warm_up():
    """Oracle: by hand at the ends and in the middle."""
    settings = quantization.AdaRoundSettings(steps=100, warm_up=0.2, beta=(20.0, 2.0))
    assert annealed(19, settings) is None
    assert [annealed(step, settings) for step in (20, 60, 100)] == pytest.approx([20, 11, 2])


def test_the_objective_is_both_terms_by_hand():
    """Oracle: the loss of codes clipped by hand, and Python's arithmetic for the regularizer."""
    weight, loss, _ = problem(1, 2, 3)
    quantizer = per_row(weight, share=0.5)  # some codes are clipped
    floor, h = torch.floor(weight / quantizer.scale), torch.full_like(weight, 0.25)
    assert (floor.abs() > GRID.q_max).any()
    clipped = (floor + h).clamp(GRID.q_min, GRID.q_max)
    fit = loss.of(quantizer.scale * clipped).sum().item() / 5
    given = (h, floor, quantizer, loss, quantization.AdaRoundSettings(pressure=3.0))
    plain, pressed = (
        quantization.adaround_objective(*given, unit=5, beta=beta) for beta in (None, 2)
    )
    assert plain.item() == pytest.approx(fit)
    assert pressed.item() == pytest.approx(fit + 3 * (1 - 0.5**2))


def best_of_all(weight, quantizer, loss):
    """Return the least loss over all 2^n choices of up or down of one row."""
    floor = torch.floor(weight * (1 / quantizer.scale))
    choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=weight.numel())))
    rounded = (restored(floor + choice.view_as(weight), quantizer) for choice in choices)
    return min(map(loss.total, rounded))


@pytest.mark.equation("eq-ptq-adaround")
def test_search_finds_the_best_of_all_roundings_of_a_small_layer():
    """Oracle: brute force over 2⁷ roundings, 12 layers; a few local minima are allowed."""
    losses = []
    for weight, loss, quantizer in (problem(seed, 1, 7) for seed in range(12)):
        ours = loss.total(quantization.round_adaptively(weight, quantizer, loss))
        nearest = loss.total(quantizer.round_trip(weight))
        losses.append((best_of_all(weight, quantizer, loss), ours, nearest))
    least, found, nearest = np.array(losses).T
    assert (found >= least * (1 - 1e-5)).all()
    assert (found <= least * (1 + 1e-5)).sum() >= 8
    assert found.sum() <= 1.1 * least.sum() < 1.1 / 1.5 * nearest.sum()


HOPELESS = quantization.AdaRoundSettings(steps=3, learning_rate=50.0)


@pytest.mark.parametrize("settings", [quantization.AdaRoundSettings(steps=30), HOPELESS])
@given(seed=st.integers(0, 10_000), bits=st.integers(2, 5))
def test_each_weight_goes_to_a_neighbour_and_no_row_is_worse_than_its_nearest(settings, seed, bits):
    """Oracle: codes ⌊W/s⌋ or ⌊W/s⌋ + 1, clipped to the grid; the loss of the nearest codes."""
    weight, loss, _ = problem(seed, 3, 5)
    grid = quantization.IntegerGrid(bits, signed=True, narrow=True)
    quantizer = per_row(weight, grid, share=0.7)  # some codes are clipped
    found = quantization.round_adaptively(weight, quantizer, loss, settings)
    codes, floor = (found / quantizer.scale).round(), torch.floor(weight / quantizer.scale)
    torch.testing.assert_close(codes * quantizer.scale, found)
    down, up = (end.clamp(grid.q_min, grid.q_max) for end in (floor, floor + 1))
    assert ((codes == down) | (codes == up)).all()
    assert torch.equal(quantizer.round_trip(found), found)
    assert (loss.of(found) <= loss.of(quantizer.round_trip(weight))).all()


def test_uncorrelated_inputs_and_weights_on_the_grid_leave_the_nearest_best():
    """Oracle: with a diagonal G each weight is least at its nearest code; a loss of 0."""
    gram = torch.diag(torch.tensor([1.0, 2, 3, 4, 5, 6]))[None]
    for weight in (problem(3, 4, 6)[0], torch.tensor([[[-3.0, 1.0, 2.0, 0.0, -1.0, 3.0]]])):
        quantizer = per_row(weight)
        found = quantization.round_adaptively(weight, quantizer, quadratic(gram, weight))
        torch.testing.assert_close(found, quantizer.round_trip(weight))
    assert torch.equal(found, weight)


def test_zero_points_are_respected():
    """Oracle: an asymmetric quantizer of shifted weights, whose codes must stay in its grid."""
    weight, loss, _ = problem(5, 2, 6)
    parts = torch.full((1, 2, 1), 0.5), torch.full((1, 2, 1), 3)
    quantizer = quantization.AffineQuantizer(*parts, quantization.IntegerGrid(3))
    found = quantization.round_adaptively(weight, quantizer, loss)
    assert torch.equal(quantizer.round_trip(found), found)
    assert loss.total(found) < loss.total(quantizer.round_trip(weight))
