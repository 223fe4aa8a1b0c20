"""The best codebook of one-dimensional values: k-means solved exactly.

Nearest neighbours make the clusters intervals of the sorted values, so K − 1 splits describe a
clustering. With cost(i, j) the squared error of the values i … j − 1 about their mean, the least
error D_k(j) of the first j values in k clusters is

    D_k(j) = min_i D_{k−1}(i) + cost(i, j).

Two facts make this fast. The best i never decreases as j grows, so that a row's minimum bounds
its neighbours' (`row_minima`). And most positions can be excluded beforehand (`optimal_splits`):
if every split of the optimum is rounded down to a coarser grid, the error grows by at most a
known amount, so a path over the grid that costs more than that is not near the optimum.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int
from reference_impl.quantization.codebook import MAX_SIZE, CodebookQuantizer
from reference_impl.quantization.intervals import Floats, Intervals, Places
from reference_impl.quantization.lloyd import nearest_splits
from reference_impl.quantization.monotone import row_minima


def optimal_codebook(x: Float[Tensor, "*shape"], size: int) -> CodebookQuantizer:
    """Return the codebook with the least Σ (x − c_q)² among all of at most K values.

    Exact up to float64's rounding of the sums, some 10⁻¹⁵ of Σ (x − median)²: of clumps that lie
    10⁸ times their width apart no digit of the widths is left. If x has K distinct values or
    fewer, they are the codebook, and the error is 0.

    >>> import torch
    >>> optimal_codebook(torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 30.0]), 3).values
    (1.0, 10.5, 30.0)

    Args:
        x: values of any shape.
        size: K, 1 to 65,536.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or ``size`` no integer.
        ValueError: if ``x`` is empty or not finite, its squares are no float64, or ``size`` is
            outside 1 to 65,536.

    References:
        Bruce 1965 and Wu 1991 for the recursion; Grønlund et al. 2017, "Fast Exact k-Means,
        k-Medians and Bregman Divergence Clustering in 1D".

    Equation: eq-codebook-error, chapter 05.
    """
    require_float_tensor("x", x)
    size = require_int("size", size, 1, MAX_SIZE)
    intervals = Intervals.of(x)
    splits = optimal_splits(intervals, size)
    values = np.unique(intervals.means(splits) + intervals.origin)
    return CodebookQuantizer(tuple(values.tolist()))


def optimal_splits(intervals: Intervals, size: int) -> Places:
    """Return the K − 1 splits of least error: cluster k holds the values splits[k−1] … splits[k]−1.

    Split j of the optimum lies in a window [low_j, high_j], at first anywhere. Each round puts a
    grid on the windows and rounds the optimum's splits i_j down to it, to f_j, its centroids c_j
    staying. The values f_j … i_j − 1 go from c_j to c_{j+1}, and since they lie below the
    threshold, which is at most x_{i_j}, their error grows by at most

        loss_j(f) = 2 (c_{j+1} − c_j) Σ_t (x_e − x_t),   t from f to e, the last place before the
                                                         grid's next.

    The gap between the centroids is bounded by the windows beside it, and by the error U ≥ D* of
    a clustering already found (`_widest_gaps`). So the optimum, of error D*, leaves a path on the
    grid with Σ cost(f_{j−1}, f_j) − Σ loss_j(f_j) ≤ D*. A place whose best path is above U cannot
    hold a split. When the grid is every place in every window, the loss is 0 and the best path is
    the optimum.

    Args:
        intervals: of the values.
        size: K, at least 1.

    Equation: eq-codebook-recursion, eq-codebook-loss, chapter 05.
    """
    n = len(intervals)
    if size >= n:
        return np.arange(1, n)
    windows = Windows(np.ones(size - 1, np.int64), np.full(size - 1, n - 1, np.int64))
    if size == 1:
        return windows.low
    ruler = _ruler(intervals)
    start = np.searchsorted(ruler, ruler[-1] * np.arange(1, size) / size)
    best = _polished(intervals, start)
    total = float((np.diff(intervals.counts) * intervals.values**2).sum())
    resolution = 8 * size
    while True:
        limit = best * (1 + 1e-9) + total * 1e-14  # for what rounding may have added
        trellis = _trellis(intervals, windows, ruler, resolution, limit)
        forward, splits = _forward(intervals, trellis)
        if trellis.complete:
            return splits
        best = min(best, _polished(intervals, splits))
        through = [f + b for f, b in zip(forward, _backward(intervals, trellis), strict=True)]
        kept = windows.narrowed(trellis, through, max(limit, best))
        if kept.places > windows.places / 2:
            resolution *= 4
        windows = kept


@dataclass(frozen=True, eq=False)
class Trellis:
    """For each split: the grid's places in its window, where their cells end, and their loss."""

    places: list[Places]
    ends: list[Places]
    losses: list[Floats]

    @property
    def complete(self) -> bool:
        """Return whether the grid holds every place, so that nothing was rounded."""
        pairs = zip(self.places, self.ends, strict=True)
        return all(bool((places == ends).all()) for places, ends in pairs)


@dataclass(frozen=True, eq=False)
class Windows:
    """The first and the last place where each split of the optimum can be."""

    low: Places
    high: Places

    @property
    def places(self) -> int:
        """Return how many places are left."""
        return int((self.high - self.low + 1).sum())

    def narrowed(self, trellis: Trellis, through: list[Floats], limit: float) -> "Windows":
        """Drop the outer places whose best path is above the limit."""
        low, high = self.low.copy(), self.high.copy()
        for j, bound in enumerate(through):
            kept = np.flatnonzero(bound <= limit)
            if len(kept):  # none is left only if rounding spoiled the bound
                low[j], high[j] = trellis.places[j][kept[0]], trellis.ends[j][kept[-1]]
        ordered = np.minimum.accumulate(high[::-1])[::-1]  # no split is above the next one
        return Windows(np.maximum.accumulate(low), ordered)


def _ruler(intervals: Intervals) -> Floats:
    """Return ∫ p^{1/3} up to each value: evenly on it lie the centroids of a good codebook."""
    gaps = np.diff(intervals.values, prepend=intervals.values[0])
    counts = np.diff(intervals.counts)
    return np.cumsum(np.cbrt(counts * gaps**2))  # (counts / gap)^{1/3} gap


def _trellis(
    intervals: Intervals, windows: Windows, ruler: Floats, resolution: int, limit: float
) -> Trellis:
    """Put about as many places as the resolution on each window; all, if it has no more."""
    chosen = [windows.low]
    for low, high in zip(windows.low, windows.high, strict=True):
        if high - low < resolution:
            chosen.append(np.arange(low, high + 1))
            continue
        start, end = ruler[low], ruler[high]
        if start == end:  # their gaps are lost in what lies below them, as 1 is in 1e30
            chosen.append(np.arange(low, high + 1, (high - low) // resolution))
            continue
        step = 2.0 ** np.ceil(np.log2((end - start) / resolution))  # windows share their marks
        marks = np.arange(np.ceil(start / step), np.floor(end / step) + 1) * step
        chosen.append(np.clip(np.searchsorted(ruler, marks), low, high))
    grid = np.unique(np.concatenate(chosen))
    last = np.append(grid[1:], len(intervals)) - 1
    lowest = np.append(0, windows.low)[:-1]  # cluster j begins at split j − 1 at the earliest
    highest = np.append(windows.high, len(intervals))[1:] - 1
    widest = _widest_gaps(intervals, grid, last, limit)
    places, ends, losses = [], [], []
    for j, (low, high) in enumerate(zip(windows.low, windows.high, strict=True)):
        inside = slice(*np.searchsorted(grid, [low, high + 1]))
        f, e = grid[inside], np.minimum(last[inside], high)
        window = intervals.values[highest[j]] - intervals.values[lowest[j]]
        gap = np.minimum(widest[inside], window)
        count, total = (run[e] - run[f] for run in (intervals.counts, intervals.sums))
        places.append(f)
        ends.append(e)
        losses.append(2 * gap * (intervals.values[e] * count - total))
    return Trellis(places, ends, losses)


def _widest_gaps(intervals: Intervals, starts: Places, ends: Places, limit: float) -> Floats:
    """Return a bound on c_{j+1} − c_j if the threshold lies between two places.

    With the threshold at v and centroids at v ± r, the values between them alone have the error
    Σ (r − |x_t − v|)², which must not exceed the limit: bisect for r, at v = x_e. The threshold
    may be h = x_e − x_{f−1} away from there, so the gap is at most 2 (r + h).
    """
    x = intervals.values
    v = x[ends]
    middle = np.searchsorted(x, v)
    low, high = np.zeros(len(v)), np.full(len(v), x[-1] - x[0])
    for _ in range(12):
        r = (low + high) / 2
        first, last = np.searchsorted(x, v - r), np.searchsorted(x, v + r)
        error = intervals.cost_about(first, middle, v - r)
        fits = error + intervals.cost_about(middle, last, v + r) <= limit
        low, high = np.where(fits, r, low), np.where(fits, high, r)
    return 2 * (high + v - x[starts - 1])


def _forward(intervals: Intervals, trellis: Trellis) -> tuple[list[Floats], Places]:
    """Return, for each split and place, the least Σ cost − Σ loss up to it; and the best path."""
    places, losses = trellis.places, trellis.losses
    bounds = [intervals.cost(0, places[0]) - losses[0]]
    choices: list[Places] = []
    for j in range(1, len(places)):
        least, choice = row_minima(bounds[-1], places[j - 1], places[j], intervals.cost)
        bounds.append(least - losses[j])
        choices.append(choice)
    at = int(np.argmin(bounds[-1] + intervals.cost(places[-1], len(intervals))))
    path = [places[-1][at]]
    for j in range(len(choices) - 1, -1, -1):
        at = choices[j][at]
        path.append(places[j][at])
    return bounds, np.array(path[::-1])


def _backward(intervals: Intervals, trellis: Trellis) -> list[Floats]:
    """Return, for each split and place, the least Σ cost − Σ loss after it."""
    places, losses = trellis.places, trellis.losses
    bounds = [intervals.cost(places[-1], len(intervals))]
    for j in range(len(places) - 2, -1, -1):  # forward on the mirrored line
        base = (bounds[-1] - losses[j + 1])[::-1]
        least, _ = row_minima(
            base, -places[j + 1][::-1], -places[j][::-1], lambda i, k: intervals.cost(-k, -i)
        )
        bounds.append(least[::-1])
    return bounds[::-1]


def _polished(intervals: Intervals, splits: Places) -> float:
    """Return the error after at most 100 steps of Lloyd's iteration from these splits."""
    for _ in range(100):
        moved = nearest_splits(intervals, intervals.means(np.unique(splits)))
        if np.array_equal(moved, splits):
            break
        splits = moved
    return intervals.error(splits)
