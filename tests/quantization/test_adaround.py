"""AdaRound's mathematics against closed forms and against all 2^n roundings."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import (
    AdaRoundSettings,
    AffineQuantizer,
    IntegerGrid,
    LayerLoss,
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


WEIGHT, LOSS = problem(0, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: round_adaptively(WEIGHT[0], per_row(WEIGHT), LOSS),
            ValueError,
            r"weight must have the shape \(1, 2, 3\)",
        ),
        (lambda: round_adaptively(WEIGHT, 0.1, LOSS), TypeError, "quantizer must be Affine"),
        (lambda: round_adaptively(WEIGHT, per_row(WEIGHT), WEIGHT), TypeError, "loss must be La"),
        (lambda: round_adaptively(WEIGHT, per_row(WEIGHT), LOSS, 500), TypeError, "settings must"),
        (
            lambda: round_adaptively(WEIGHT, per_row(WEIGHT.mT), LOSS),
            ValueError,
            "x must have a shape to which the scale",
        ),
        (lambda: inverse_rectified_sigmoid(torch.tensor([1.5])), ValueError, "h must lie in"),
        (lambda: inverse_rectified_sigmoid(torch.tensor([1])), TypeError, "h must hold floating"),
        (lambda: AdaRoundSettings(steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: AdaRoundSettings(learning_rate=0), ValueError, "learning_rate must be in"),
        (lambda: AdaRoundSettings(pressure=-1), ValueError, "pressure must be in"),
        (lambda: AdaRoundSettings(warm_up=1), ValueError, "warm_up must be below 1"),
        (lambda: AdaRoundSettings(beta=2.0), TypeError, "beta must be tuple"),
        (lambda: AdaRoundSettings(beta=(2.0,)), ValueError, "beta must hold a first and a last"),
        (lambda: AdaRoundSettings(beta=(20.0, 0.0)), ValueError, "beta must be in"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()
