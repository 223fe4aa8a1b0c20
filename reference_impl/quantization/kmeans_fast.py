"""The splits of least error of many values: the recursion of `reference_impl.quantization.kmeans`.

Two facts make it fast. The best i never decreases as j grows, so that a row's minimum bounds its
neighbours' (`row_minima`). And most places can be excluded beforehand (`optimal_splits`).
"""

from collections.abc import Callable

import numpy as np

from reference_impl.checked import checked
from reference_impl.quantization.codebook import Size
from reference_impl.quantization.intervals import Floats, Intervals, Places

Cost = Callable[[Places | int, Places | int], Floats]
PlacesOf = list[Places]  # of each split
ErrorsOf = list[Floats]
Windows = tuple[Places, Places]  # the first and the last place that each split can have


@checked
def optimal_splits(intervals: Intervals, size: Size) -> Places:
    """Return the K − 1 splits of least error: cluster k holds the values splits[k−1] … splits[k]−1.

    Split j of the optimum lies in a window [low_j, high_j], at first anywhere. Each round puts a
    grid on the windows and rounds the optimum's splits i_j down to it, to f_j, its levels v_j
    unchanged. The numbers f_j … i_j − 1 move from v_j to v_{j+1}, and since they lie below the
    threshold, which is at most x_{i_j}, their error grows by at most

        loss_j(f) = 2 (v_{j+1} − v_j) Σ_t (x_e − x_t),   t from f to e, the last place before the
                                                         grid's next.

    The gap between the levels is bounded by the windows beside it, and by the error SSE₀ of splits
    already found (`_widest_gaps`). So the optimum, of error SSE ≤ SSE₀, leaves a path on the grid
    with Σ cost(f_{j−1}, f_j) − Σ loss_j(f_j) ≤ SSE, and a place whose best path is above SSE₀
    cannot hold a split. When the grid is every place in every window, the best path is the optimum.

    Equation: eq-codebook-recursion, eq-codebook-loss, chapter 05.
    """
    n = len(intervals)
    if size == 1 or size >= n:
        return np.arange(1, n if size > 1 else 1)
    windows = np.ones(size - 1, np.int64), np.full(size - 1, n - 1, np.int64)
    ruler, resolution = _ruler(intervals), 8 * size
    limit = _bound(intervals, np.searchsorted(ruler, ruler[-1] * np.arange(1, size) / size))
    while True:
        places, ends, losses = _cells(intervals, windows, _grid(windows, ruler, resolution), limit)
        forward, splits = _forward(places, losses, intervals.cost, n)
        if all(map(np.array_equal, places, ends)):
            return splits
        through = _through(forward, places, losses, intervals.cost, n)
        windows = _narrowed(places, ends, through, limit)
        limit = min(limit, _bound(intervals, splits))
        resolution *= 2


def _narrowed(places: PlacesOf, ends: PlacesOf, through: ErrorsOf, limit: float) -> Windows:
    """Drop the outer places whose best path is above the limit."""
    kept = [np.flatnonzero(bound <= limit) for bound in through]
    kept = [k if len(k) else np.array([0, -1]) for k in kept]  # none is left by rounding alone
    low = np.array([p[k[0]] for p, k in zip(places, kept, strict=True)])
    high = np.array([e[k[-1]] for e, k in zip(ends, kept, strict=True)])
    ordered = np.minimum.accumulate(high[::-1])[::-1]  # no split is above the next one
    return np.maximum.accumulate(low), ordered


def _ruler(intervals: Intervals) -> Floats:
    """Return ∫ p^{1/3} up to each number: evenly on it lie the levels of a good codebook."""
    gaps = np.diff(intervals.values, prepend=intervals.values[0])
    counts = np.diff(intervals.counts)
    return np.cumsum(np.cbrt(counts * gaps**2))  # (counts / gap)^{1/3} gap


def _bound(intervals: Intervals, splits: Places) -> float:
    """Return SSE₀: the error of these splits, and what rounding may have added."""
    total = float(intervals.squares[-1] - intervals.squares[0])
    return intervals.error(splits) * (1 + 1e-9) + total * 1e-14


def _grid(windows: Windows, ruler: Floats, resolution: int) -> Places:
    """Put about as many places as the resolution on each window; all, if it has no more."""
    chosen = [windows[0]]
    for low, high in zip(*windows, strict=True):
        start, end = ruler[low], ruler[high]
        if high - low < resolution or start == end:  # gaps beside 1e30 are lost in the sum
            places = np.arange(low, high + 1, max((high - low) // resolution, 1))
        else:
            step = 2.0 ** np.ceil(np.log2((end - start) / resolution))  # windows share their marks
            marks = np.arange(np.ceil(start / step), np.floor(end / step) + 1) * step
            places = np.clip(np.searchsorted(ruler, marks), low, high)
        chosen.append(places)
    return np.unique(np.concatenate(chosen))


def _cells(
    intervals: Intervals, windows: Windows, grid: Places, limit: float
) -> tuple[PlacesOf, PlacesOf, ErrorsOf]:
    """Return the grid's places in each window, where their cells end, and their losses."""
    last = np.append(grid[1:], len(intervals)) - 1
    lowest = np.append(0, windows[0])[:-1]  # cluster j begins at split j − 1 at the earliest
    highest = np.append(windows[1], len(intervals))[1:] - 1
    span = intervals.values[highest] - intervals.values[lowest]
    widest = _widest_gaps(intervals, grid, last, limit)
    places, ends, losses = [], [], []
    for j, (low, high) in enumerate(zip(*windows, strict=True)):
        inside = slice(*np.searchsorted(grid, [low, high + 1]))
        f, e = grid[inside], np.minimum(last[inside], high)
        count, total, _ = intervals.moments(f, e)
        gap = np.minimum(widest[inside], span[j])
        places.append(f)
        ends.append(e)
        losses.append(2 * gap * (intervals.values[e] * count - total))
    return places, ends, losses


def _widest_gaps(intervals: Intervals, starts: Places, ends: Places, limit: float) -> Floats:
    """Return a bound on v_{j+1} − v_j if the threshold lies between two places.

    With the threshold at v and levels at v ± r, the numbers between them alone have the error
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


def _forward(places: PlacesOf, losses: ErrorsOf, cost: Cost, n: int) -> tuple[ErrorsOf, Places]:
    """Return, for each split and place, the least Σ cost − Σ loss up to it; and the best path."""
    bounds, choices = [cost(0, places[0]) - losses[0]], []
    for columns, rows, loss in zip(places, places[1:], losses[1:], strict=False):
        least, choice = row_minima(bounds[-1], columns, rows, cost)
        bounds.append(least - loss)
        choices.append(choice)
    path = [int(np.argmin(bounds[-1] + cost(places[-1], n)))]
    for choice in reversed(choices):
        path.append(choice[path[-1]])
    return bounds, np.array([p[at] for p, at in zip(places, reversed(path), strict=True)])


def _through(forward: ErrorsOf, places: PlacesOf, losses: ErrorsOf, cost: Cost, n: int) -> ErrorsOf:
    """Return, for each split and place, the least Σ cost − Σ loss of a path through it."""
    mirrored = [n - p[::-1] for p in reversed(places)], [loss[::-1] for loss in reversed(losses)]
    backward, _ = _forward(*mirrored, lambda i, k: cost(n - k, n - i), n)
    parts = zip(forward, reversed(backward), losses, strict=True)
    return [f + b[::-1] + loss for f, b, loss in parts]  # the loss is in f and in b


@checked
def row_minima(base: Floats, columns: Places, rows: Places, cost: Cost) -> tuple[Floats, Places]:
    """Return min_c base_c + cost(columns_c, rows_r) over columns_c ≤ rows_r, and its first place.

    The place never decreases from row to row, because cost(i, j) + cost(i', j') ≤ cost(i, j') +
    cost(i', j) for i ≤ i' ≤ j ≤ j'. So the middle row is solved first; it halves what is left for
    the rows before and after it, and so on, all rows of one level at once. Columns and rows are
    ascending places, and the first column is not above the first row.

    Equation: eq-codebook-monge, chapter 05.
    """
    count = len(rows)
    allowed = np.searchsorted(columns, rows, side="right") - 1
    least, choice = np.empty(count), np.zeros(count + 2, np.int64)  # a sentinel at each end
    choice[-1] = len(columns) - 1
    for stride in 2 ** np.arange(count.bit_length())[::-1]:
        row = np.arange(stride, count + 1, 2 * stride)  # the first is 1, its sentinel 0
        first, after = choice[row - stride], choice[np.minimum(row + stride, count + 1)]
        lengths = np.minimum(after, allowed[row - 1]) - first + 1
        starts = np.cumsum(lengths) - lengths
        candidate = np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
        value = base[candidate] + cost(columns[candidate], np.repeat(rows[row - 1], lengths))
        least[row - 1] = np.minimum.reduceat(value, starts)
        hits = np.flatnonzero(value == np.repeat(least[row - 1], lengths))
        choice[row] = candidate[hits[np.searchsorted(hits, starts)]]
    return least, choice[1:-1]
