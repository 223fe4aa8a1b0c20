"""Calibration by entropy: the clipping threshold whose codes keep the histogram's shape.

The method of TensorRT. Its own description is a set of slides; what they leave open is decided
here and written down at `entropy_threshold`.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reference_impl.checks import (
    require_float_tensor,
    require_instance,
    require_int,
    require_integer_tensor,
    require_same_shape,
)
from reference_impl.quantization.clipping import Range
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.ranges import Axes, min_max_range, reduced_axes

N_BINS = 2048
"""Bins of the histogram, as in TensorRT."""


def relative_entropy(p: Float[Tensor, " n"], q: Float[Tensor, " n"]) -> float:
    """Return D(P ‖ Q) = Σ P_i log(P_i / Q_i) of the normalized p and q, in nats.

    Terms with P_i = 0 are 0; with Q_i = 0 < P_i the sum is infinite. The order of the bins does
    not enter: mass that moved by one bin costs as much as mass that moved by a thousand.

    >>> round(relative_entropy(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 1.0])), 4)
    0.1438

    Args:
        p: weights, at least 0, not all 0; they need not sum to 1.
        q: weights, as many.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty, not finite, negative somewhere or 0 everywhere, or the shapes
            differ.

    Equation: eq-ptq-entropy, chapter 06.
    """
    require_float_tensor("p", p)
    require_float_tensor("q", q)
    require_same_shape("q", q, "p", p)
    for name, weights in (("p", p), ("q", q)):
        if weights.min() < 0 or not weights.any():
            raise ValueError(f"{name} must be at least 0 and not 0 everywhere, got {weights}")
    held = p > 0
    p_held, q_held = p[held].double() / p.double().sum(), q[held].double() / q.double().sum()
    return float((p_held * (p_held / q_held).log()).sum())


def merged(counts: Float[Tensor, " i"], levels: int) -> Float[Tensor, " i"]:
    """Return the counts after ``levels`` codes: each code's sum, spread evenly over its full bins.

    Bin k belongs to code ⌊k · levels / i⌋. Bins that were empty stay empty.

    >>> slide = torch.tensor([1.0, 0, 2, 3, 5, 3, 1, 7])
    >>> merged(slide, 2).tolist()
    [2.0, 0.0, 2.0, 2.0, 4.0, 4.0, 4.0, 4.0]

    Args:
        counts: of i bins.
        levels: how many codes, at most i.

    Raises:
        TypeError: if ``counts`` is no floating-point tensor, or ``levels`` no integer.
        ValueError: if ``counts`` is empty, not finite or no vector, or ``levels`` lies outside 1
            to i.
    """
    require_float_tensor("counts", counts)
    n = _length("counts", counts)
    levels = require_int("levels", levels, 1, n)
    code = torch.arange(n) * levels // n
    full = (counts > 0).to(counts.dtype)
    sums = counts.new_zeros(levels).index_add_(0, code, counts)
    bins = counts.new_zeros(levels).index_add_(0, code, full)
    return full * (sums / bins.clamp(min=1))[code]


def entropy_threshold(counts: Int[Tensor, " n"], levels: int) -> int:
    """Return the i, levels ≤ i ≤ n, of the least D(P ‖ Q), the first of equals.

    P is the histogram cut to its first i bins, with all that is cut off added to bin i. Q is what
    ``levels`` codes keep of the same i bins, `merged`, without what is cut off.

    The slides leave open how i bins are divided among the codes where i is no multiple of their
    number (here evenly: ⌊k · levels / i⌋) and what happens where Q is 0 and P is not, which is
    where bin i was empty before the rest was added (here D is infinite, so that such an i is
    never chosen). Three oddities belong to the method. With i = levels each bin has its own code,
    so that only what is cut off counts. Distance does not count, see `relative_entropy`. And a
    peak at exactly 0, as a ReLU makes it, is spread over the whole first code, which looks like a
    loss and is none, since 0 is exact.

    Args:
        counts: histogram of |x| from 0, n bins of equal width.
        levels: how many codes |x| can have.

    Raises:
        TypeError: if ``counts`` holds no integers, or ``levels`` is none.
        ValueError: if ``counts`` is empty, no vector, 0 everywhere or negative somewhere, or
            ``levels`` lies outside 1 to n.

    References:
        Migacz 2017, "8-bit Inference with TensorRT", GPU Technology Conference.
    """
    require_integer_tensor("counts", counts)
    if counts.min() < 0 or not counts.any():
        raise ValueError("counts must be at least 0 and not 0 everywhere")
    n = _length("counts", counts)
    levels = require_int("levels", levels, 1, n)
    mass = counts.double()
    beyond = mass.sum() - mass.cumsum(0)  # in the bins behind bin k
    best, least = n, math.inf
    for i in range(n, levels - 1, -1):
        kept = mass[:i]
        if not kept.any():
            continue
        p = kept.clone()
        p[-1] += beyond[i - 1]
        divergence = relative_entropy(p, merged(kept, levels))
        if divergence <= least:
            best, least = i, divergence
    return best


def entropy_range(
    x: Float[Tensor, "*shape"],
    axes: Axes = (),
    *,
    grid: IntegerGrid,
    n_bins: int = N_BINS,
    skip_zeros: bool = False,
) -> Range:
    """Return (max(min x, −t), min(max x, t)), t the threshold of the least relative entropy.

    t = i w, with w = max|x| / n_bins and i the `entropy_threshold` of the histogram of |x|. The
    codes that |x| can have are the q_max + 1 of the grid. Each part needs far more values than
    bins.

    Args:
        x: values.
        axes: along which the parts are told apart.
        grid: the codes for which the range is to be good.
        n_bins: bins of the histogram, at least q_max + 1.
        skip_zeros: whether values that are exactly 0 are left out of the histogram. The slides
            do not say so; where many are 0, as behind a ReLU, the method fails without it.

    Raises:
        TypeError: if ``x`` is no floating-point tensor, or an argument of the wrong kind.
        ValueError: if ``x`` is empty or not finite, an axis is out of range or named twice, or
            there are fewer bins than codes.
    """
    low, high = min_max_range(x, axes)
    require_instance("grid", grid, IntegerGrid)
    require_instance("skip_zeros", skip_zeros, bool)
    levels = grid.q_max + 1
    n_bins = require_int("n_bins", n_bins, levels)
    wide = torch.promote_types(x.dtype, torch.float32)
    low, high = low.detach().to(wide), high.detach().to(wide)
    reduced = set(reduced_axes(x.ndim, axes))
    kept = [axis for axis in range(x.ndim) if axis not in reduced]
    rows = x.detach().to(wide).abs().permute((*kept, *sorted(reduced))).reshape(low.numel(), -1)
    parts = [row[row > 0] if skip_zeros else row for row in rows]
    limits = torch.stack([_threshold(part, levels, n_bins) for part in parts]).view(low.shape)
    return torch.maximum(low, -limits), torch.minimum(high, limits)


def _length(name: str, vector: Tensor) -> int:
    if vector.ndim != 1:
        raise ValueError(f"{name} must be a vector, got the shape {tuple(vector.shape)}")
    return len(vector)


def _threshold(magnitudes: Tensor, levels: int, n_bins: int) -> Tensor:
    """Return t of one part; where all values are 0, or none is left, it is 0."""
    if not magnitudes.any():
        return magnitudes.new_zeros(())
    top = magnitudes.max()
    counts = torch.histc(magnitudes, bins=n_bins, min=0, max=top.item())
    return top * entropy_threshold(counts.long(), levels) / n_bins
