"""Calibration by entropy against SciPy, ONNX Runtime, the slides and loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference_impl.quantization import (
    IntegerGrid,
    entropy_range,
    entropy_threshold,
    relative_entropy,
)
from reference_impl.quantization.entropy import merged

SIGNED = IntegerGrid(8, signed=True, narrow=True)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


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
    _, high = entropy_range(x, grid=SIGNED, n_bins=1024)
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
    low, high = entropy_range(x, grid=SIGNED)
    assert low.item() == x.min().item()
    bins = high.item() / x.abs().max().item() * 2048
    assert bins == pytest.approx(round(bins), abs=1e-3)
    assert 128 <= bins < 2048


def test_parts_have_ranges_of_their_own_and_zeros_the_range_zero() -> None:
    """Oracle: each part alone."""
    x = torch.stack([normal(5000), 7 * normal(5000, seed=1), torch.zeros(5000)])
    low, high = entropy_range(x, 0, grid=SIGNED)
    assert low.shape == high.shape == (3, 1)
    for row in range(3):
        alone = entropy_range(x[row], grid=SIGNED)
        assert (low[row].item(), high[row].item()) == tuple(end.item() for end in alone)
    assert high[2].item() == 0
    transposed = entropy_range(x.T, 1, grid=SIGNED)
    assert torch.equal(transposed[1].flatten(), high.flatten())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: entropy_range([1.0], grid=SIGNED), TypeError, "x must be a torch.Tensor"),
        (lambda: entropy_range(torch.tensor([math.inf]), grid=SIGNED), ValueError, "x must be fin"),
        (lambda: entropy_range(normal(3), 1, grid=SIGNED), ValueError, r"axes\[0\] must be in"),
        (lambda: entropy_range(normal(3), grid=8), TypeError, "grid must be IntegerGrid"),
        (lambda: entropy_range(normal(3), grid=SIGNED, skip_zeros=1), TypeError, "skip_zeros must"),
        (lambda: entropy_range(normal(3), grid=SIGNED, n_bins=127), ValueError, "at least 128"),
        (lambda: entropy_threshold(torch.tensor([1.0]), 1), TypeError, "counts must hold integers"),
        (lambda: entropy_threshold(torch.tensor([0, 0]), 1), ValueError, "counts must be at least"),
        (lambda: entropy_threshold(torch.tensor([2, -1]), 1), ValueError, "counts must be at"),
        (lambda: entropy_threshold(torch.tensor([2, 1]), 3), ValueError, r"levels .* \[1, 2\]"),
        (lambda: merged(torch.tensor([1]), 1), TypeError, "counts must hold floating"),
        (lambda: merged(torch.ones(2), 0), ValueError, r"levels must be in \[1, 2\], got 0"),
        (lambda: relative_entropy(torch.ones(2), torch.ones(3)), ValueError, "q must have the sha"),
        (lambda: relative_entropy(torch.zeros(2), torch.ones(2)), ValueError, "p must be at least"),
        (
            lambda: relative_entropy(torch.ones(2), torch.tensor([1.0, -1])),
            ValueError,
            "q must be at least 0",
        ),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()


def test_tables_are_refused_and_single_numbers_accepted() -> None:
    """Oracle: the message; the range of one number is the number."""
    with pytest.raises(ValueError, match="counts must be a vector"):
        entropy_threshold(torch.ones(4, 5, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match="counts must be a vector"):
        merged(torch.ones(4, 5), 2)
    low, high = entropy_range(torch.tensor(3.0), grid=IntegerGrid(4))
    assert (low.item(), high.item()) == (3.0, 3.0)
