"""The best codebook of one-dimensional numbers: k-means solved exactly.

Nearest levels make the cells intervals of the sorted numbers, so K − 1 splits describe all cells.
With cost(i, j) the squared error of the numbers i … j − 1 about their mean, counted from 0, the
least error of the first j numbers with k levels is

    least_1(j) = cost(0, j),    least_k(j) = min_i least_{k−1}(i) + cost(i, j).
"""

import numpy as np

from reference_impl.checked import Values, checked
from reference_impl.quantization.codebook import CodebookQuantizer, Size
from reference_impl.quantization.intervals import Intervals, Places
from reference_impl.quantization.kmeans_fast import optimal_splits


@checked
def optimal_codebook(x: Values, size: Size) -> CodebookQuantizer:
    """Return the codebook with the least SSE = Σ (x − v_q)² among all of at most K levels.

    Exact up to float64's rounding of the sums, some 10⁻¹⁵ of Σ (x − median)². If x has K distinct
    numbers or fewer, they are the codebook, and the error is 0.

    >>> import torch
    >>> optimal_codebook(torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 30.0]), 3).values
    (1.0, 10.5, 30.0)

    References: Bruce 1965 and Wu 1991 for the recursion; Grønlund et al. 2017, "Fast Exact k-Means,
    k-Medians and Bregman Divergence Clustering in 1D".
    Equation: eq-codebook-error, chapter 05.
    """
    intervals = Intervals.of(x)
    splits = optimal_splits(intervals, size)
    values = np.unique(intervals.means(splits) + intervals.origin)
    return CodebookQuantizer(tuple(values.tolist()))


@checked
def recursive_splits(intervals: Intervals, size: Size) -> Places:
    """Return the splits of least error by the recursion itself, from all n² costs.

    least_k(j) = min_i least_{k−1}(i) + cost(i, j): the i of least_K(n), of equals the first, is the
    last split, and so on back. `optimal_splits` finds splits of the same error without most of the
    costs.

    >>> import torch
    >>> recursive_splits(Intervals.of(torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 30.0])), 3).tolist()
    [3, 5]

    Equation: eq-codebook-recursion, chapter 05.
    """
    i, j = np.ogrid[: len(intervals) + 1, : len(intervals) + 1]
    cost = np.where(i <= j, intervals.cost(np.minimum(i, j), j), np.inf)
    least = cost[0]  # least_1
    begins: list[Places] = []
    for _ in range(1, min(size, len(intervals))):
        error = least[:, None] + cost  # row i, column j
        least, begins = error.min(axis=0), [*begins, error.argmin(axis=0)]
    splits = [len(intervals)]
    for begin in reversed(begins):
        splits.append(begin[splits[-1]])
    return np.array(splits[:0:-1], dtype=np.int64)
