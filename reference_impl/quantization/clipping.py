"""Ranges that clip: what is cut off at the ends against finer steps for all the rest.

Each ``…_range`` is a range estimator (x, axes) → (low, high), to be used in the place of
`reference_impl.quantization.ranges.min_max_range`; bind the other arguments with
``functools.partial``. Ranges are computed in float32 or wider.
"""

import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from reference_impl.checked import Count, Values, Where, Within, checked, widened
from reference_impl.quantization.affine import AffineQuantizer, affine_from_range
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.ranges import Axes, Range, min_max_range, part_means, reduced_axes

FromRange = Callable[[Tensor, Tensor, IntegerGrid], AffineQuantizer]
"""(low, high, grid) → quantizer, such as `affine_from_range`."""

Percent = Annotated[float, Within(0, 100, above=True)]

_SOMEWHERE = Where("above 0 somewhere", lambda weights: bool(weights.any()))
Weights = Annotated[Float[Tensor, " bins"], Within(0), _SOMEWHERE]
"""A distribution over bins; the weights need not sum to 1."""
Counts = Annotated[Integer[Tensor, " bins"], Within(0), _SOMEWHERE]
"""A histogram."""


@checked
def percentile_range(x: Values, axes: Axes = (), *, percent: Percent = 99.9) -> Range:
    """Return the quantiles of x at (100 − keep)/2 and (100 + keep)/2 percent.

    At most (100 − keep) percent of the values are clipped, half of them at each end; at least half
    of that allowance is lost on values that are never negative and often 0, such as those after
    a ReLU. Between two values the quantile is interpolated linearly. With keep = 100 the range
    is from the minimum to the maximum.

    >>> low, high = percentile_range(torch.arange(101.0), percent=90)
    >>> low.item(), high.item()
    (5.0, 95.0)

    Equation: eq-ptq-percentile, chapter 07.
    """
    wide = widened(x.detach())
    reduced = reduced_axes(x.ndim, axes)
    if not reduced:
        return wide.clone(), wide.clone()
    tail = (100 - percent) / 200
    # numpy.quantile selects; torch.quantile sorts, and refuses more than 16 million values
    ends = np.quantile(wide.numpy(), [tail, 1 - tail], axis=reduced, keepdims=True)
    low, high = torch.from_numpy(ends.astype(wide.numpy().dtype))
    return low, high


@checked
def mse_range(
    x: Values,
    axes: Axes = (),
    *,
    grid: IntegerGrid,
    from_range: FromRange = affine_from_range,
    candidates: Count = 100,
) -> Range:
    """Return share · min x and share · max x of the least mean (x − x̂)², share in {1/n, 2/n, …, 1}.

    The error is that of the quantizer from ``from_range``, rounding and clipping together. Each
    part has a share of its own, one of n candidates; of equal errors the widest range wins.

    >>> spiky = torch.tensor([0.0, 1.0, 2.0, 3.0, 3.5]).repeat(10)
    >>> low, high = mse_range(spiky, grid=IntegerGrid(bits=2), candidates=70)
    >>> round(high.item(), 2)
    3.2

    References: Choukroun et al. 2019, "Low-bit Quantization of Neural Networks for Efficient
    Inference", section 3.
    Equation: eq-ptq-trade-off, eq-ptq-mse-range, chapter 07.
    """
    x = widened(x.detach())
    low, high = min_max_range(x, axes)
    best = torch.ones_like(low)
    least = torch.full_like(low, torch.inf)
    for k in range(candidates, 0, -1):
        alpha = k / candidates
        x_hat = from_range(low * alpha, high * alpha, grid).round_trip(x)
        error = part_means((x_hat - x).square(), axes)
        best = torch.where(error < least, alpha, best)
        least = torch.minimum(error, least)
    return low * best, high * best


@checked
def entropy_range(
    x: Values, axes: Axes = (), *, grid: IntegerGrid, n_bins: Count = 2048, skip_zeros: bool = False
) -> Range:
    """Return (max(min x, −t), min(max x, t)), t the threshold of the least relative entropy.

    t = i w, with w = max|x| / n_bins and i the `entropy_threshold` of the histogram of |x|. The
    codes that |x| can have are the q_max + 1 of the grid; there are at least as many bins (2048 in
    TensorRT), and each part needs far more values than bins. With ``skip_zeros`` values that are
    exactly 0 are left out of the histogram. The slides do not mention it; where many are 0, as
    after a ReLU, the method fails without it.
    """
    x = widened(x.detach())
    low, high = min_max_range(x, axes)
    reduced = reduced_axes(x.ndim, axes)
    kept = [axis for axis in range(x.ndim) if axis not in reduced]
    rows = x.abs().permute((*kept, *reduced)).reshape(low.numel(), -1)
    parts = [row[row > 0] if skip_zeros else row for row in rows]
    limits = torch.stack([_limit(part, grid.q_max + 1, n_bins) for part in parts]).view(low.shape)
    return torch.maximum(low, -limits), torch.minimum(high, limits)


def _limit(magnitudes: Float[Tensor, " n"], levels: int, n_bins: int) -> Float[Tensor, ""]:
    """Return t of one part; where all values are 0, or none is left, it is 0."""
    if not magnitudes.any():
        return magnitudes.new_zeros(())
    top = magnitudes.max()
    counts = _histogram(magnitudes, n_bins, top.item())
    return top * entropy_threshold(counts, levels) / n_bins


def _histogram(x: Float[Tensor, " n"], n_bins: int, top: float) -> Int64[Tensor, " bins"]:
    """Return how many x are in each of the bins from 0 to ``top``; torch counts in float32."""
    parts = (torch.histc(part, bins=n_bins, min=0, max=top) for part in x.split(2**24))
    return torch.stack([counts.long() for counts in parts]).sum(dim=0)


@checked
def entropy_threshold(counts: Counts, levels: Count) -> int:
    """Return the i, levels ≤ i ≤ n, of the least D(hist ‖ coded), the first of equals.

    The counts are those of |x| in n bins of equal width from 0; |x| can have at most n levels.
    hist is the histogram cut to its first i bins, with all that is cut off added to bin i. coded is
    what ``levels`` codes keep of the same i bins, `merged`, without what is cut off.

    This is TensorRT's method. Its slides leave open how i bins are divided among the codes where i
    is not a multiple of their number (here evenly: ⌊k · levels / i⌋) and what happens where coded
    is 0 and hist is not, which is where bin i was empty before the rest was added (here D is
    infinite, so that such an i is never chosen). Three oddities belong to the method. With
    i = levels each bin has its own code, so that only what is cut off counts. Distance does not
    count, see `relative_entropy`. And a peak at exactly 0, as a ReLU makes it, is spread over the
    whole first code, which looks like a loss although 0 is exact.

    References: Migacz 2017, "8-bit Inference with TensorRT", GPU Technology Conference.
    """
    n = len(counts)
    if n < levels:
        raise ValueError(f"counts must have at least {levels} bins, one for each code, got {n}")
    mass = counts.double()
    beyond = mass.sum() - mass.cumsum(0)  # in the bins after bin k
    best, least = n, math.inf
    for i in range(n, levels - 1, -1):
        if not mass[:i].any():
            continue
        p = mass[:i].clone()
        p[-1] += beyond[i - 1]
        divergence = relative_entropy.__wrapped__(p, merged(mass[:i], levels))
        if divergence <= least:
            best, least = i, divergence
    return best


def merged(counts: Float[Tensor, " i"], levels: int) -> Float[Tensor, " i"]:
    """Return the counts after ``levels`` codes: each code's sum, spread evenly over its full bins.

    Bin k belongs to code ⌊k · levels / i⌋. Bins that were empty stay empty.

    >>> slide = torch.tensor([1.0, 0, 2, 3, 5, 3, 1, 7])
    >>> merged(slide, 2).tolist()
    [2.0, 0.0, 2.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    """
    code = torch.arange(len(counts)) * levels // len(counts)
    full = (counts > 0).to(counts.dtype)
    sums = counts.new_zeros(levels).index_add_(0, code, counts)
    bins = counts.new_zeros(levels).index_add_(0, code, full)
    return full * (sums / bins.clamp(min=1))[code]


@checked
def relative_entropy(p: Weights, q: Weights) -> float:
    """Return D(p ‖ q) = Σ p_j ln(p_j / q_j) of the normalized p and q, in nats.

    The chapter's p is hist and its q is coded.

    Terms with p_j = 0 are 0; with q_j = 0 < p_j the sum is infinite. The order of the bins does
    not enter: mass that moved by one bin costs as much as mass that moved by a thousand.

    >>> round(relative_entropy(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 1.0])), 4)
    0.1438

    Equation: eq-ptq-entropy, chapter 07.
    """
    p, q = p.detach(), q.detach()
    held = p > 0
    p_held, q_held = p[held].double() / p.double().sum(), q[held].double() / q.double().sum()
    return float((p_held * (p_held / q_held).log()).sum())
