"""Clipping ranges against brute force, torch, SciPy, ONNX Runtime and the slides of TensorRT."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    entropy_range,
    entropy_threshold,
    gaussian_clipping_noise,
    min_max_range,
    mse_range,
    percentile_range,
    relative_entropy,
    symmetric_from_range,
)
from reference_impl.quantization.clipping import merged

SIGNED = IntegerGrid(4, signed=True, narrow=True)
SIGNED_BYTE = IntegerGrid(8, signed=True, narrow=True)


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


def test_the_narrowest_candidate_is_tried_too() -> None:
    """Oracle: codes 0 and 1; with the whole range every 1 is lost, with half of it one 2 only."""
    x = torch.tensor([1.0] * 9 + [2.0])
    _, high = mse_range(x, grid=IntegerGrid(1), candidates=2)
    assert high.item() == 1.0


weights = st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any)


@given(p=weights, seed=st.integers(0, 100))
def test_relative_entropy_is_scipys(p: list[int], seed: int) -> None:
    """Oracle: scipy.stats.entropy, which normalizes too; infinite where Q misses a bin of P.

    Equation: eq-ptq-entropy.
    """
    q = np.random.default_rng(seed).integers(0, 4, len(p))
    if not q.any():
        return
    ours = relative_entropy(torch.tensor(p).float(), torch.tensor(q).float())
    theirs = stats.entropy(np.array(p, float), q.astype(float))
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-12)


def test_relative_entropy_ignores_the_order_of_the_bins() -> None:
    """Oracle: symmetry: what is criticised in the docstring."""
    p, q = torch.tensor([4.0, 1, 2, 3]), torch.tensor([1.0, 2, 3, 4])
    order = [2, 0, 3, 1]
    assert relative_entropy(p, q) == pytest.approx(relative_entropy(p[order], q[order]))


def test_merged_is_the_example_of_the_slides() -> None:
    """Oracle: Migacz 2017, slide 38: eight bins, two codes, [1+0+2+3] and [5+3+1+7]."""
    slide = torch.tensor([1.0, 0, 2, 3, 5, 3, 1, 7])
    assert merged(slide, 2).tolist() == [2, 0, 2, 2, 4, 4, 4, 4]


def loops(counts: list[int], levels: int) -> int:
    """Return the threshold by loops over bins, codes and candidates, KL by SciPy."""
    found = []
    for i in range(levels, len(counts) + 1):
        kept = counts[:i]
        if not any(kept):
            continue
        p = [float(c) for c in kept]
        p[-1] += sum(counts[i:])
        q = [0.0] * i
        for code in range(levels):
            bins = [k for k in range(i) if k * levels // i == code and kept[k] > 0]
            for k in bins:
                q[k] = sum(kept[j] for j in bins) / len(bins)
        found.append((round(float(stats.entropy(p, q)), 10), i))
    return min(found)[1]


@given(
    counts=st.lists(st.integers(0, 30), min_size=4, max_size=24).filter(any),
    levels=st.integers(1, 4),
)
def test_threshold_is_that_of_plain_loops(counts: list[int], levels: int) -> None:
    """Oracle: the definition by loops with scipy.stats.entropy."""
    ours = entropy_threshold(torch.tensor(counts), levels)
    expected = loops(counts, levels)
    if ours != expected:  # equal up to rounding
        a, b = (divergence(counts, levels, i) for i in (ours, expected))
        assert a == pytest.approx(b, abs=1e-9)


def divergence(counts: list[int], levels: int, i: int) -> float:
    kept = torch.tensor(counts[:i]).double()
    p = kept.clone()
    p[-1] += sum(counts[i:])
    return relative_entropy(p, merged(kept, levels))


def test_threshold_of_a_laplacian_is_near_that_of_onnx_runtime() -> None:
    """Oracle: onnxruntime's HistogramCollector, which divides bins otherwise and smooths zeros.

    The divergence is flat around its minimum, so that both may end 10 % apart.
    """
    from onnxruntime.quantization.calibrate import HistogramCollector

    x = normal(100_000) * normal(100_000, seed=1).abs()
    top = x.abs().max().item()
    counts, edges = np.histogram(x.numpy(), bins=2049, range=(-top, top))
    collector = HistogramCollector("entropy", True, 128, 128, None, None)
    histogram = (counts, edges.astype(np.float32), x.min().numpy(), x.max().numpy())
    theirs = float(collector.get_entropy_threshold(histogram, 255)[1])
    _, high = entropy_range(x, grid=SIGNED_BYTE, n_bins=1024)
    assert high.item() == pytest.approx(theirs, rel=0.1)


def test_a_peak_at_zero_pulls_the_threshold_down() -> None:
    """Oracle: the same values without the zeros; quantization of a zero costs nothing."""
    x, grid = normal(100_000).relu(), IntegerGrid(8)
    with_zeros = entropy_range(x, grid=grid)[1].item()
    without = entropy_range(x[x > 0], grid=grid)[1].item()
    assert with_zeros < 0.7 * without
    assert entropy_range(x, grid=grid, skip_zeros=True)[1].item() == without
    assert entropy_range(torch.zeros(4), grid=grid, skip_zeros=True)[1].item() == 0


def test_range_clips_at_the_threshold_and_keeps_what_lies_inside() -> None:
    """Oracle: low and high are the data's own ends or ± one t, a whole number of bins."""
    x = normal(100_000).abs() ** 3
    x[0] = -0.01
    low, high = entropy_range(x, grid=SIGNED_BYTE)
    assert low.item() == x.min().item()
    bins = high.item() / x.abs().max().item() * 2048
    assert bins == pytest.approx(round(bins), abs=1e-3)
    assert 128 <= bins < 2048


def test_parts_have_ranges_of_their_own_and_zeros_the_range_zero() -> None:
    """Oracle: each part alone."""
    x = torch.stack([normal(5000), 7 * normal(5000, seed=1), torch.zeros(5000)])
    low, high = entropy_range(x, 0, grid=SIGNED_BYTE)
    assert low.shape == high.shape == (3, 1)
    for row in range(3):
        alone = entropy_range(x[row], grid=SIGNED_BYTE)
        assert (low[row].item(), high[row].item()) == tuple(end.item() for end in alone)
    assert high[2].item() == 0
    transposed = entropy_range(x.T, 1, grid=SIGNED_BYTE)
    assert torch.equal(transposed[1].flatten(), high.flatten())


def test_the_range_of_a_single_number_is_the_number() -> None:
    """Oracle: by hand."""
    low, high = entropy_range(torch.tensor(3.0), grid=IntegerGrid(4))
    assert (low.item(), high.item()) == (3.0, 3.0)


X = normal(4, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: percentile_range([1.0]), TypeError, "x must be a torch.Tensor"),
        (lambda: percentile_range(torch.tensor([math.nan])), ValueError, "x must be finite"),
        (lambda: percentile_range(X, 2), ValueError, "axes must name each of the 2 axes"),
        (lambda: percentile_range(X, percent=0), ValueError, r"percent must be in \(0, 100\]"),
        (lambda: mse_range(X, (0, 0), grid=SIGNED), ValueError, "axes must name each"),
        (lambda: mse_range(X, grid=4), TypeError, "grid must be IntegerGrid, got int 4"),
        (lambda: mse_range(X, grid=SIGNED, candidates=0), ValueError, "candidates .* got 0"),
        (lambda: mse_range(X, grid=SIGNED, from_range=3), TypeError, "from_range must be callable"),
        (lambda: entropy_range(X, grid=SIGNED, skip_zeros=1), TypeError, "skip_zeros must be bool"),
        (lambda: entropy_range(X, grid=SIGNED_BYTE, n_bins=127), ValueError, "at least 128 bins"),
        (lambda: entropy_threshold(torch.tensor([1.0]), 1), TypeError, "counts must hold integers"),
        (lambda: entropy_threshold(torch.tensor([0, 0]), 1), ValueError, "counts .* somewhere"),
        (lambda: entropy_threshold(torch.tensor([2, -1]), 1), ValueError, "counts .* at least 0"),
        (lambda: entropy_threshold(X.long(), 2), ValueError, r"counts must be \(bins\), got shape"),
        (
            lambda: relative_entropy(torch.ones(2), torch.ones(3)),
            ValueError,
            r"p must have the shape of q, \(3,\)",
        ),
        (lambda: relative_entropy(torch.zeros(2), torch.ones(2)), ValueError, "p .* somewhere"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()
