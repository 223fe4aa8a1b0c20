"""Minima of the rows of a matrix whose minima move to the right from row to row."""

from collections.abc import Callable

import numpy as np

from reference_impl.quantization.intervals import Floats, Places

Cost = Callable[[Places, Places], Floats]


def row_minima(base: Floats, columns: Places, rows: Places, cost: Cost) -> tuple[Floats, Places]:
    """Return min_c base_c + cost(columns_c, rows_r) over columns_c ≤ rows_r, and its first place.

    The place never decreases from row to row, because cost(a, c) + cost(b, d) ≤ cost(a, d) +
    cost(b, c) for a ≤ b ≤ c ≤ d. So the middle row is solved first; it halves what is left for
    the rows before and after it, and so on, all rows of one level at once.

    Args:
        base: shape (c,).
        columns: ascending places, shape (c,); the first is not above the first row.
        rows: ascending places, shape (r,).
        cost: of an interval, elementwise.

    Equation: eq-codebook-monge, chapter 05.
    """
    count = len(rows)
    least, choice = np.empty(count), np.empty(count, np.int64)
    allowed = np.searchsorted(columns, rows, side="right") - 1
    stride = 1 << (count.bit_length() - 1)
    known = np.array([-1, count])  # sentinels: before the first row and after the last
    bounds = np.array([0, len(columns) - 1])
    while stride:
        todo = np.arange(stride - 1, count, 2 * stride)
        place = np.searchsorted(known, todo)
        first = bounds[place - 1]
        lengths = np.minimum(bounds[place], allowed[todo]) - first + 1
        starts = np.cumsum(lengths) - lengths
        candidate = np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
        value = base[candidate] + cost(columns[candidate], np.repeat(rows[todo], lengths))
        least[todo] = np.minimum.reduceat(value, starts)
        hits = np.flatnonzero(value == np.repeat(least[todo], lengths))
        choice[todo] = candidate[hits[np.searchsorted(hits, starts)]]
        known = np.concatenate([[-1], np.arange(stride - 1, count, stride), [count]])
        bounds = np.concatenate([[0], choice[known[1:-1]], [len(columns) - 1]])
        stride //= 2
    return least, choice
