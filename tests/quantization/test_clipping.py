"""Clipping ranges against brute force, torch and SciPy."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    gaussian_clipping_noise,
    min_max_range,
    mse_range,
    percentile_range,
    symmetric_from_range,
)
from reference_impl.quantization.clipping import mean_over

SIGNED = IntegerGrid(4, signed=True, narrow=True)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 1000), percent=st.floats(1, 100), axis=st.integers(-2, 1))
def test_percentile_range_is_torchs_quantile(seed: int, percent: float, axis: int) -> None:
    """Oracle: torch.quantile, part by part.

    Equation: eq-ptq-percentile.
    """
    x = normal(3, 40, seed=seed)
    low, high = percentile_range(x, axis, percent=percent)
    tail = torch.tensor((100 - percent) / 200)
    other = 1 - axis % 2
    torch.testing.assert_close(low, x.quantile(tail, dim=other, keepdim=True))
    torch.testing.assert_close(high, x.quantile(1 - tail, dim=other, keepdim=True))


@given(seed=st.integers(0, 1000), percent=st.floats(1, 100))
def test_at_most_the_stated_share_is_clipped(seed: int, percent: float) -> None:
    """Oracle: counting."""
    x = normal(999, seed=seed)
    low, high = percentile_range(x, percent=percent)
    clipped = ((x < low) | (x > high)).double().mean().item()
    assert clipped <= (100 - percent) / 100 + 2 / 999


def test_the_whole_percentage_is_min_max() -> None:
    """Oracle: min_max_range."""
    x = normal(5, 7)
    for axes in ((), 0, 1, (0, 1)):
        for ours, theirs in zip(
            percentile_range(x, axes, percent=100), min_max_range(x, axes), strict=True
        ):
            assert torch.equal(ours, theirs)


def test_percentile_takes_more_values_than_torch_does() -> None:
    """Oracle: a known quantile of 17 million evenly spaced numbers."""
    x = torch.arange(17_000_000, dtype=torch.float64)
    low, high = percentile_range(x, percent=50)
    assert low.item() == pytest.approx(16_999_999 / 4)
    assert high.item() == pytest.approx(16_999_999 * 3 / 4)


def brute_force(x: np.ndarray, n: int, levels: int) -> float:
    """Return the symmetric clipping end of least squared error among n, by loops in float64."""
    top = np.abs(x).max()
    errors = []
    for k in range(1, n + 1):
        step = top * k / n / levels
        x_hat = np.clip(np.round(x / step), -levels, levels) * step
        errors.append(((x - x_hat) ** 2).mean())
    return top * (1 + int(np.argmin(errors))) / n


@given(seed=st.integers(0, 1000), bits=st.integers(2, 6))
def test_mse_range_is_the_best_of_its_candidates(seed: int, bits: int) -> None:
    """Oracle: NumPy's arithmetic in float64, one candidate and one channel at a time.

    Equation: eq-ptq-mse-range.
    """
    half = normal(3, 32, seed=seed) ** 3
    x = torch.cat([half, -half], dim=1)
    grid = IntegerGrid(bits, signed=True, narrow=True)
    low, high = mse_range(x, 0, grid=grid, from_range=symmetric_from_range, candidates=25)
    error = (symmetric_from_range(low, high, grid).round_trip(x) - x).square().mean(dim=1)
    for row in range(3):
        end = brute_force(x[row].double().numpy(), 25, grid.q_max)
        best = symmetric_from_range(torch.tensor(-end), torch.tensor(end), grid)
        least = (best.round_trip(x[row].double()) - x[row]).square().mean().item()
        assert error[row].item() <= least * 1.0001


def test_mse_range_meets_the_closed_form_of_a_gaussian() -> None:
    """Oracle: SciPy's minimum of the clipping noise plus s²/12, for 4 bits.

    Equation: eq-ptq-trade-off.
    """
    x = normal(400_000)
    levels = SIGNED.q_max

    def noise(a: float) -> float:
        return gaussian_clipping_noise(a) + (a / levels) ** 2 / 12

    best = optimize.minimize_scalar(noise, bounds=(1, 5), method="bounded").x
    low, high = mse_range(x, grid=SIGNED, from_range=symmetric_from_range, candidates=200)
    end = torch.maximum(-low, high).item()  # the quantizer takes the wider end
    assert end == pytest.approx(best, rel=0.06)
    quantizer = symmetric_from_range(low, high, SIGNED)
    error = (quantizer.round_trip(x) - x).square().mean().item()
    assert error == pytest.approx(noise(best), rel=0.04)


@given(seed=st.integers(0, 1000), bits=st.integers(1, 8))
def test_mse_range_is_never_worse_than_min_max(seed: int, bits: int) -> None:
    """Oracle: the error of the min–max range, which is one of the candidates."""
    x, grid = normal(200, seed=seed).relu() + 0.1, IntegerGrid(bits)
    errors = [
        (affine_from_range(*find(x), grid).round_trip(x) - x).square().mean()
        for find in (partial(mse_range, grid=grid), min_max_range)
    ]
    assert errors[0] <= errors[1]


def test_one_candidate_is_min_max_and_equal_errors_keep_the_widest() -> None:
    """Oracle: min_max_range; zeros are exact in every range."""
    x = normal(4, 9)
    for ours, theirs in zip(
        mse_range(x, 0, grid=SIGNED, candidates=1), min_max_range(x, 0), strict=True
    ):
        assert torch.equal(ours, theirs)
    on_grid = torch.tensor([0.0, 1.0, 2.0, 3.0])
    low, high = mse_range(on_grid, grid=IntegerGrid(2))
    assert (low.item(), high.item()) == (0, 3)


def test_channels_do_not_see_each_other() -> None:
    """Oracle: each channel alone."""
    x = torch.stack([normal(64), 100 * normal(64, seed=1)])
    for find in (partial(mse_range, grid=SIGNED), percentile_range):
        low, high = find(x, 0)
        for row in range(2):
            alone = find(x[row])
            torch.testing.assert_close(
                torch.stack([low[row, 0], high[row, 0]]),
                torch.cat([end.flatten() for end in alone]),
            )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    """Oracle: the same numbers in float32."""
    x = normal(50).to(dtype)
    for find in (partial(mse_range, grid=SIGNED), percentile_range):
        for ours, theirs in zip(find(x), find(x.float()), strict=True):
            assert ours.dtype == torch.float32
            assert torch.equal(ours, theirs)


def test_mean_over_is_the_mean_of_each_part() -> None:
    """Oracle: torch.mean, and x itself where no axis is reduced."""
    x = normal(3, 4, 5)
    torch.testing.assert_close(mean_over(x, torch.Size((3, 1, 1))), x.mean((1, 2), keepdim=True))
    assert torch.equal(mean_over(x, x.shape), x)


X = normal(4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: percentile_range([1.0]), TypeError, "x must be a torch.Tensor"),
        (lambda: percentile_range(torch.arange(3)), TypeError, "x must hold floating-point"),
        (lambda: percentile_range(torch.tensor([math.nan])), ValueError, "x must be finite"),
        (lambda: percentile_range(torch.empty(0)), ValueError, "x must not be empty"),
        (lambda: percentile_range(X, 2), ValueError, r"axes\[0\] must be in \[-2, 1\], got 2"),
        (lambda: percentile_range(X, percent=0), ValueError, r"percent must be in \(0, 100"),
        (lambda: percentile_range(X, percent=101), ValueError, "percent .* got 101"),
        (lambda: percentile_range(X, percent="99"), TypeError, "percent must be a real number"),
        (lambda: mse_range(X.int(), grid=SIGNED), TypeError, "x must hold floating-point"),
        (lambda: mse_range(X, (0, 0), grid=SIGNED), ValueError, "axes must name each axis once"),
        (lambda: mse_range(X, grid=4), TypeError, "grid must be IntegerGrid, got int 4"),
        (lambda: mse_range(X, grid=SIGNED, candidates=0), ValueError, "candidates .* got 0"),
        (lambda: mse_range(X, grid=SIGNED, candidates=1.5), TypeError, "candidates must be an int"),
        (lambda: mse_range(X, grid=SIGNED, from_range=3), TypeError, "from_range must be a func"),
        (lambda: mean_over(3.0, torch.Size()), TypeError, "x must be a torch.Tensor"),
        (lambda: mean_over(X, torch.Size((2, 1))), ValueError, "shape must reduce"),
        (lambda: mean_over(X, torch.Size((1,))), ValueError, "shape must reduce"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()


def test_the_narrowest_candidate_is_tried_too() -> None:
    """Oracle: codes 0 and 1; with the whole range every 1 is lost, with half of it one 2 only."""
    x = torch.tensor([1.0] * 9 + [2.0])
    _, high = mse_range(x, grid=IntegerGrid(1), candidates=2)
    assert high.item() == 1.0
