"""Clipping ranges against brute force, torch and SciPy."""

from functools import partial

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from reference_impl.quantization import (
    IntegerGrid,
    entropy_range,
    gaussian_clipping_noise,
    min_max_range,
    mse_range,
    percentile_range,
    relative_entropy,
    symmetric_from_range,
)
from reference_impl.quantization.clipping import _histogram, entropy_threshold

SIGNED = IntegerGrid(4, signed=True, narrow=True)
SIGNED_BYTE = IntegerGrid(8, signed=True, narrow=True)
MSE = partial(mse_range, grid=SIGNED)
SEEDS = st.integers(0, 1000)


@pytest.mark.equation("eq-ptq-percentile")
@given(seed=SEEDS, percent=st.floats(1, 100), axis=st.integers(-2, 1))
def test_percentile_range_is_torchs_quantile_and_clips_the_stated_share(seed, percent, axis):
    """Oracle: torch.quantile, part by part; counting."""
    x = normal(3, 40, seed=seed)
    low, high = percentile_range(x, axis, percent=percent)
    tail = torch.tensor((100 - percent) / 200)
    other = 1 - axis % 2
    torch.testing.assert_close(low, x.quantile(tail, dim=other, keepdim=True))
    torch.testing.assert_close(high, x.quantile(1 - tail, dim=other, keepdim=True))
    low, high = percentile_range(x, percent=percent)
    assert ((x < low) | (x > high)).sum() <= (100 - percent) / 100 * 120 + 2


@pytest.mark.parametrize("axes", [(), 0, 1, (0, 1)])
def test_the_whole_percentage_and_one_candidate_are_min_max(axes):
    """Oracle: min_max_range."""
    x = normal(5, 7)
    expected = torch.stack(min_max_range(x, axes))
    assert torch.equal(torch.stack(percentile_range(x, axes, percent=100)), expected)
    assert torch.equal(torch.stack(MSE(x, axes, candidates=1)), expected)


def test_percentile_takes_more_values_than_torch_does():
    """Oracle: a known quantile of 17 million evenly spaced numbers."""
    x = torch.arange(17_000_000, dtype=torch.float64)
    ends = [end.item() for end in percentile_range(x, percent=50)]
    assert ends == pytest.approx([16_999_999 / 4, 16_999_999 * 3 / 4])


def brute_force(x, n, levels):
    """Return the symmetric clipping end of least squared error among n, by loops in float64."""
    steps = np.abs(x).max() * np.arange(1, n + 1) / n / levels
    x_hats = [np.clip(np.round(x / step), -levels, levels) * step for step in steps]
    return levels * steps[np.argmin([((x - x_hat) ** 2).mean() for x_hat in x_hats])]


@pytest.mark.equation("eq-ptq-mse-range")
@given(seed=SEEDS, bits=st.integers(2, 6))
def test_mse_range_is_the_best_of_its_candidates(seed, bits):
    """Oracle: NumPy's arithmetic in float64, one candidate and one channel at a time."""
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


@pytest.mark.equation("eq-ptq-trade-off")
def test_mse_range_meets_the_closed_form_of_a_gaussian():
    """Oracle: SciPy's minimum of the clipping noise plus s²/12, for 4 bits."""
    x = normal(400_000)
    levels = SIGNED.q_max

    def noise(a):
        return gaussian_clipping_noise(a) + (a / levels) ** 2 / 12

    best = optimize.minimize_scalar(noise, bounds=(1, 5), method="bounded").x
    low, high = mse_range(x, grid=SIGNED, from_range=symmetric_from_range, candidates=200)
    end = torch.maximum(-low, high).item()  # the quantizer takes the wider end
    assert end == pytest.approx(best, rel=0.06)
    quantizer = symmetric_from_range(low, high, SIGNED)
    error = (quantizer.round_trip(x) - x).square().mean().item()
    assert error == pytest.approx(noise(best), rel=0.04)


@pytest.mark.parametrize("find", [MSE, percentile_range])
def test_channels_do_not_see_each_other_and_half_precision_is_widened(find):
    """Oracle: each channel alone; the same numbers in float32."""
    x = torch.stack([normal(64), 100 * normal(64, seed=1)])
    alone = [torch.stack(find(row)) for row in x]
    torch.testing.assert_close(torch.stack(find(x, 0)), torch.stack(alone, dim=1))
    for half in (x.half(), x.bfloat16()):
        assert torch.equal(torch.stack(find(half)), torch.stack(find(half.float())))


def test_the_narrowest_candidate_is_tried_too_and_of_equal_errors_the_widest_wins():
    """Oracle: codes 0 and 1: with the whole range every 1 is lost, with half of it one 2 only."""
    _, high = mse_range(torch.tensor([1.0] * 9 + [2.0]), grid=IntegerGrid(1), candidates=2)
    assert high.item() == 1.0
    low, high = mse_range(torch.tensor([0.0, 1.0, 2.0, 3.0]), grid=IntegerGrid(2))
    assert (low.item(), high.item()) == (0, 3)


weights = st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any)


@pytest.mark.equation("eq-ptq-entropy")
@given(p=weights, seed=st.integers(0, 100))
def test_relative_entropy_is_scipys(p, seed):
    """Oracle: scipy.stats.entropy, which normalizes too; infinite where Q misses a bin of P."""
    q = np.random.default_rng(seed).integers(0, 4, len(p))
    if not q.any():
        return
    ours = relative_entropy(torch.tensor(p).float(), torch.tensor(q).float())
    theirs = stats.entropy(np.array(p, float), q.astype(float))
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-12)
    back = relative_entropy(
        torch.tensor(p[::-1]).float().requires_grad_(), torch.tensor(q[::-1].copy()).float()
    )
    assert back == pytest.approx(ours)  # the order of the bins does not count


def loops(counts, levels):
    """Return each candidate's divergence by loops over bins and codes, KL by SciPy."""
    found = {}
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
        found[i] = float(stats.entropy(p, q))
    return found


HISTOGRAMS = st.lists(st.integers(0, 30), min_size=4, max_size=24).filter(any)


@given(counts=HISTOGRAMS, levels=st.integers(1, 4))
def test_threshold_is_that_of_plain_loops(counts, levels):
    """Oracle: the definition by loops with scipy.stats.entropy."""
    divergences = loops(counts, levels)
    least = min(divergences.values())
    ours = entropy_threshold(torch.tensor(counts), levels)
    assert divergences[ours] == pytest.approx(least, abs=1e-9)
    assert all(divergences[i] > least - 1e-9 for i in divergences if i < ours)


def test_a_peak_at_zero_pulls_the_threshold_down():
    """Oracle: the same values without the zeros; quantization of a zero costs nothing."""
    x, grid = normal(100_000).relu(), IntegerGrid(8)
    with_zeros = entropy_range(x, grid=grid)[1].item()
    without = entropy_range(x[x > 0], grid=grid)[1].item()
    assert with_zeros < 0.7 * without
    assert entropy_range(x, grid=grid, skip_zeros=True)[1].item() == without
    assert entropy_range(torch.zeros(4), grid=grid, skip_zeros=True)[1].item() == 0


def test_range_clips_at_the_threshold_and_keeps_what_lies_inside():
    """Oracle: low and high are the data's own ends or ± one t, a whole number of bins."""
    x = normal(100_000).abs() ** 3
    x[0] = -0.01
    low, high = entropy_range(x, grid=SIGNED_BYTE)
    assert low.item() == x.min().item()
    bins = high.item() / x.abs().max().item() * 2048
    assert bins == pytest.approx(round(bins), abs=1e-3)
    assert 128 <= bins < 2048


def test_parts_have_ranges_of_their_own_and_zeros_the_range_zero():
    """Oracle: each part alone."""
    x = torch.stack([normal(5000), 7 * normal(5000, seed=1), torch.zeros(5000)])
    ends = torch.stack(entropy_range(x, 0, grid=SIGNED_BYTE))
    alone = [torch.stack(entropy_range(row, grid=SIGNED_BYTE)) for row in x]
    assert torch.equal(ends, torch.stack(alone, dim=1))
    assert ends[:, 2].tolist() == [[0], [0]]
    assert torch.equal(torch.stack(entropy_range(x.T, 1, grid=SIGNED_BYTE)), ends.mT)
    single = entropy_range(torch.tensor(3.0), grid=IntegerGrid(4))
    assert [end.item() for end in single] == [3, 3]


def test_a_range_does_not_share_the_memory_of_its_tensor():
    """Oracle: the tensor, after its range was changed."""
    x = torch.tensor([1.0, 2.0])
    low, _ = percentile_range(x, axes=0)
    low.zero_()
    assert x.tolist() == [1.0, 2.0]


def test_more_values_are_counted_than_float32_has_integers():
    """Oracle: the numbers that were put in; a float32 stops counting at 2²⁴."""
    x = torch.cat([torch.zeros(2**24 + 8), torch.ones(3)])
    assert _histogram(x, 2, 1.0).tolist() == [2**24 + 8, 3]
