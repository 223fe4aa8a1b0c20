"""A layer's loss against the errors themselves, AdaRound against all 2^n roundings."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import (
    AdaRoundSettings,
    AffineQuantizer,
    IntegerGrid,
    LayerLoss,
    adaround_objective,
    annealed,
    inverse_rectified_sigmoid,
    min_max_range,
    rectified_sigmoid,
    round_adaptively,
    symmetric_from_range,
    undecidedness,
)
from reference_impl.quantization.adaround import restored

GRID = IntegerGrid(3, signed=True, narrow=True)


def quadratic(gram: torch.Tensor, weight: torch.Tensor) -> LayerLoss:
    """Return the loss of a layer that reads inputs of covariance ``gram`` without error."""
    cross = weight @ gram
    power = float((weight @ gram * weight).sum())
    groups, outputs, inputs = weight.shape
    return LayerLoss(gram, cross, power, torch.zeros(groups, inputs), torch.zeros(groups, outputs))


def problem(seed: int, outputs: int, inputs: int) -> tuple[torch.Tensor, LayerLoss]:
    draws = torch.Generator().manual_seed(seed)
    weight = torch.randn(1, outputs, inputs, generator=draws)
    x = torch.randn(200, inputs, generator=draws)
    x = (x + 1.5 * torch.randn(200, 1, generator=draws)).relu()  # correlated, as activations are
    return weight, quadratic(torch.cov(x.T).view(1, inputs, inputs), weight)


def per_row(weight: torch.Tensor, grid: IntegerGrid = GRID) -> AffineQuantizer:
    return symmetric_from_range(*min_max_range(weight, (0, 1)), grid)


def moments_of(
    x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Return E x, E y, E x xᵀ, E y xᵀ and E‖y‖² of (groups, m, k) and (groups, m, o)."""
    m = x.shape[1]
    return x.mean(1), y.mean(1), x.mT @ x / m, y.mT @ x / m, float(y.square().sum() / m)


def example(seed: int, groups: int = 2, m: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, m, 4, generator=draws, dtype=torch.float64) + 1
    weight = torch.randn(groups, 4, 3, generator=draws, dtype=torch.float64)
    noise = torch.randn(groups, m, 3, generator=draws, dtype=torch.float64)
    return x, x @ weight + noise + 2


@given(seed=st.integers(0, 1000))
def test_total_is_the_mean_squared_error_with_the_best_bias(seed: int) -> None:
    """Oracle: the residuals over all examples, their mean taken off.

    Equation: eq-ptq-loss.
    """
    x, y = example(seed)
    loss = LayerLoss.of_moments(*moments_of(x, y))
    weight = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed + 1))
    residual = y - x @ weight.double().mT
    residual = residual - residual.mean(1, keepdim=True)
    expected = residual.square().sum().item() / x.shape[1]
    assert loss.total(weight) == pytest.approx(expected, rel=1e-4)
    assert loss.of(weight).sum().item() + loss.power == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(seed=st.integers(0, 1000))
def test_least_loss_is_that_of_numpys_least_squares(seed: int) -> None:
    """Oracle: numpy.linalg.lstsq with a column of ones for the bias."""
    x, y = example(seed, groups=1)
    loss = LayerLoss.of_moments(*moments_of(x, y))
    design = np.concatenate([x[0].numpy(), np.ones((x.shape[1], 1))], axis=1)
    solution, residuals, *_ = np.linalg.lstsq(design, y[0].numpy(), rcond=None)
    weight = torch.tensor(solution[:-1].T[None], dtype=torch.float32)
    assert loss.total(weight) == pytest.approx(residuals.sum() / x.shape[1], rel=1e-3)
    torch.testing.assert_close(
        loss.bias(weight)[0], torch.tensor(solution[-1]).float(), rtol=1e-3, atol=1e-3
    )
    for other in (weight + 0.1, weight * 0.9):
        assert loss.total(other) > loss.total(weight)


@given(seed=st.integers(0, 1000))
def test_with_the_layers_own_inputs_it_is_the_hessians_form(seed: int) -> None:
    """Oracle: Σ_i Δw_i G Δw_iᵀ by loops over rows and pairs of weights.

    Equation: eq-ptq-taylor, eq-ptq-layer.
    """
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 40, 3, generator=draws, dtype=torch.float64)
    weight = torch.randn(1, 2, 3, generator=draws)
    delta = 0.1 * torch.randn(1, 2, 3, generator=draws)
    loss = LayerLoss.of_moments(*moments_of(x, x @ weight.double().mT))
    covariance = np.cov(x[0].numpy().T, bias=True)
    expected = sum(
        float(delta[0, i, a] * covariance[a, b] * delta[0, i, b])
        for i in range(2)
        for a in range(3)
        for b in range(3)
    )
    assert loss.total(weight + delta) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert loss.total(weight) == pytest.approx(0, abs=1e-5)


def test_rectified_sigmoid_reaches_its_ends() -> None:
    """Oracle: by hand, σ(V) (1.2) − 0.1 = 0 at V = −log 11 and 1 at V = log 11.

    Equation: eq-ptq-sigmoid.
    """
    v = torch.tensor([-20.0, -math.log(11), 0.0, math.log(11), 20.0, 1.0])
    expected = torch.tensor([0, 0, 0.5, 1, 1, 1.2 / (1 + math.exp(-1)) - 0.1])
    torch.testing.assert_close(rectified_sigmoid(v), expected, rtol=0, atol=1e-6)


@given(h=st.floats(0, 1))
def test_inverse_takes_the_rectified_sigmoid_back(h: float) -> None:
    """Oracle: h(V(h)) = h."""
    value = torch.tensor([h], dtype=torch.float64)
    torch.testing.assert_close(rectified_sigmoid(inverse_rectified_sigmoid(value)), value)


@given(h=st.lists(st.floats(0, 1), min_size=1, max_size=6), beta=st.floats(0.5, 20))
def test_undecidedness_is_the_sum_by_hand(h: list[float], beta: float) -> None:
    """Oracle: Python's arithmetic.

    Equation: eq-ptq-regularizer.
    """
    expected = sum(1 - abs(2 * value - 1) ** beta for value in h)
    found = undecidedness(torch.tensor(h, dtype=torch.float64), beta).item()
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_weight_that_stands_there_many_times_is_rounded_as_one() -> None:
    """Oracle: itself alone; loss and pressure are relative to the number of weights."""
    weight, loss = problem(4, outputs=1, inputs=12)
    settings = AdaRoundSettings(pressure=1.0, warm_up=0.0, beta=(2.0, 2.0))
    alone = round_adaptively(weight, per_row(weight), loss, settings)
    assert not torch.equal(alone, per_row(weight).round_trip(weight)), "the nearest is the best"
    many = weight.expand(1, 40, 12).contiguous()
    found = round_adaptively(many, per_row(many), quadratic(loss.gram, many), settings)
    assert torch.equal(found, alone.expand(1, 40, 12))


def test_beta_falls_along_half_a_cosine_after_the_warm_up() -> None:
    """Oracle: by hand at the ends and in the middle."""
    settings = AdaRoundSettings(steps=100, warm_up=0.2, beta=(20.0, 2.0))
    assert annealed(19, settings) is None
    assert annealed(20, settings) == pytest.approx(20)
    assert annealed(60, settings) == pytest.approx(11)
    assert annealed(100, settings) == pytest.approx(2)


def test_the_objective_is_both_terms_by_hand() -> None:
    """Oracle: the loss of codes clipped by hand, and Python's arithmetic for the regularizer."""
    weight, loss = problem(1, 2, 3)
    quantizer = per_row(0.5 * weight)  # half the range: some codes are clipped
    floor, h = torch.floor(weight / quantizer.scale), torch.full_like(weight, 0.25)
    assert (floor.abs() > GRID.q_max).any()
    clipped = (floor + h).clamp(GRID.q_min, GRID.q_max)
    fit = loss.of(quantizer.scale * clipped).sum().item() / 5
    given = (h, floor, quantizer, loss, AdaRoundSettings(pressure=3.0))
    plain, pressed = (adaround_objective(*given, unit=5, beta=beta) for beta in (None, 2))
    assert plain.item() == pytest.approx(fit)
    assert pressed.item() == pytest.approx(fit + 3 * (1 - 0.5**2))


def best_of_all(weight: torch.Tensor, quantizer: AffineQuantizer, loss: LayerLoss) -> float:
    """Return the least loss over all 2^n choices of up or down of one row."""
    floor = torch.floor(weight * (1 / quantizer.scale))
    choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=weight.numel())))
    return min(
        loss.total(restored(floor + choice.view_as(weight), quantizer)) for choice in choices
    )


def test_search_finds_the_best_of_all_roundings_of_a_small_layer() -> None:
    """Oracle: brute force over 2⁷ roundings, 12 layers; a few local minima are allowed.

    Equation: eq-ptq-adaround.
    """
    best, least, nearest, found = 0, 0.0, 0.0, 0.0
    for seed in range(12):
        weight, loss = problem(seed, 1, 7)
        quantizer = per_row(weight)
        ours = loss.total(round_adaptively(weight, quantizer, loss))
        optimum = best_of_all(weight, quantizer, loss)
        assert ours >= optimum * (1 - 1e-5)
        best += ours <= optimum * (1 + 1e-5)
        least, found = least + optimum, found + ours
        nearest += loss.total(quantizer.round_trip(weight))
    assert best >= 8
    assert found <= 1.1 * least
    assert nearest > 1.5 * least


@given(seed=st.integers(0, 10_000), outputs=st.integers(1, 4), inputs=st.integers(1, 9))
def test_never_worse_than_the_nearest_in_any_row(seed: int, outputs: int, inputs: int) -> None:
    """Oracle: the loss of rounding to the nearest, row by row; even a hopeless search."""
    weight, loss = problem(seed, outputs, inputs)
    quantizer = per_row(weight)
    nearest = loss.of(quantizer.round_trip(weight))
    for settings in (AdaRoundSettings(steps=40), AdaRoundSettings(steps=3, learning_rate=50.0)):
        found = round_adaptively(weight, quantizer, loss, settings)
        assert (loss.of(found) <= nearest).all()


@given(seed=st.integers(0, 10_000), bits=st.integers(2, 5))
def test_each_weight_goes_to_one_of_its_two_neighbours(seed: int, bits: int) -> None:
    """Oracle: the definition: codes ⌊W/s⌋ or ⌊W/s⌋ + 1, clipped to the grid."""
    weight, loss = problem(seed, 3, 5)
    grid = IntegerGrid(bits, signed=True, narrow=True)
    low, high = min_max_range(weight, (0, 1))
    quantizer = symmetric_from_range(0.7 * low, 0.7 * high, grid)  # so that some are clipped
    found = round_adaptively(weight, quantizer, loss, AdaRoundSettings(steps=30))
    codes = (found / quantizer.scale).round()
    torch.testing.assert_close(codes * quantizer.scale, found)
    floor = torch.floor(weight / quantizer.scale)
    down, up = (end.clamp(grid.q_min, grid.q_max) for end in (floor, floor + 1))
    assert ((codes == down) | (codes == up)).all()
    assert torch.equal(quantizer.round_trip(found), found)


def test_uncorrelated_inputs_leave_the_nearest_best() -> None:
    """Oracle: with a diagonal G the loss is a sum over weights, each least at its nearest code."""
    weight, _ = problem(3, 4, 6)
    loss = quadratic(torch.diag(torch.tensor([1.0, 2, 3, 4, 5, 6]))[None], weight)
    quantizer = per_row(weight)
    found = round_adaptively(weight, quantizer, loss)
    torch.testing.assert_close(found, quantizer.round_trip(weight))


def test_zero_points_are_respected() -> None:
    """Oracle: an asymmetric quantizer of shifted weights, whose codes must stay in its grid."""
    weight, loss = problem(5, 2, 6)
    grid = IntegerGrid(3)
    scale = torch.full((1, 2, 1), 0.5)
    quantizer = AffineQuantizer(scale, torch.full((1, 2, 1), 3), grid)
    found = round_adaptively(weight, quantizer, loss)
    assert torch.equal(quantizer.round_trip(found), found)
    assert loss.total(found) < loss.total(quantizer.round_trip(weight))


def test_groups_and_rows_are_problems_of_their_own() -> None:
    """Oracle: the rows one by one give the same sum of losses, within the search's luck."""
    weight, loss = problem(7, 3, 6)
    quantizer = per_row(weight)
    whole = loss.total(round_adaptively(weight, quantizer, loss))
    alone = 0.0
    for row in range(3):
        part = weight[:, row : row + 1]
        single = quadratic(loss.gram, part)
        alone += single.total(round_adaptively(part, per_row(part), single))
    assert whole == pytest.approx(alone, rel=0.2)


def test_weights_on_the_grid_stay() -> None:
    """Oracle: their loss is 0."""
    weight = torch.tensor([[[-3.0, 1.0, 2.0, 0.0]]])
    loss = quadratic(torch.eye(4)[None], weight)
    found = round_adaptively(weight, per_row(weight), loss)
    assert torch.equal(found, weight)


GOOD = LayerLoss.of_moments(*moments_of(*example(0)))


def changed(**fields: object) -> LayerLoss:
    good = {
        "gram": GOOD.gram,
        "cross": GOOD.cross,
        "power": GOOD.power,
        "input_mean": GOOD.input_mean,
        "output_mean": GOOD.output_mean,
    }
    return LayerLoss(**(good | fields))


WEIGHT, LOSS = problem(0, 2, 3)
ROWS = per_row(WEIGHT)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: round_adaptively(WEIGHT[0], ROWS, LOSS), ValueError, "weight must be .* got sha"),
        (lambda: round_adaptively(WEIGHT, ROWS, GOOD), ValueError, r"weight must be \(2, 3, 4\)"),
        (lambda: round_adaptively(WEIGHT, 0.1, LOSS), TypeError, "quantizer must be Affine"),
        (
            lambda: round_adaptively(WEIGHT, per_row(WEIGHT.mT), LOSS),
            ValueError,
            "x must have a shape to which the scale",
        ),
        (lambda: inverse_rectified_sigmoid(torch.tensor([1.5])), ValueError, "h must be in .* 1.5"),
        (lambda: AdaRoundSettings(steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: AdaRoundSettings(warm_up=1), ValueError, r"warm_up must be in \[0, 1\), got 1"),
        (lambda: AdaRoundSettings(beta=(2.0,)), ValueError, "beta must have 2 entries, got"),
        (lambda: AdaRoundSettings(beta=(20.0, 0.0)), ValueError, r"beta\[1\] must be above 0"),
        (lambda: changed(gram=torch.ones(2, 4, 3)), ValueError, r"gram must be \(groups, k, k\)"),
        (lambda: changed(cross=torch.full((2, 3, 4), torch.nan)), ValueError, "cross must be fin"),
        (lambda: changed(power=-1), ValueError, "power must be at least 0, got -1"),
        (
            lambda: changed(output_mean=torch.ones(2, 4)),
            ValueError,
            "cross must have the o = 4 of output_mean",
        ),
        (lambda: GOOD.total(torch.ones(2, 3, 5)), ValueError, r"weight must be \(2, 3, 4\), got"),
        (lambda: GOOD.bias(torch.ones(2, 3, 4).int()), TypeError, "weight must hold floating"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()
