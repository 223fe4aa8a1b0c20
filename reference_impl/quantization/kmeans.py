"""The best codebook of one-dimensional values: k-means solved exactly.

Nearest neighbours make the clusters intervals of the sorted values, so K − 1 splits describe a
clustering. With cost(i, j) the squared error of the values i … j − 1 about their mean, the least
error D_k(j) of the first j values in k clusters is

    D_1(j) = cost(0, j),    D_k(j) = min_i D_{k−1}(i) + cost(i, j).
"""

import numpy as np

from reference_impl.checked import Values, checked
from reference_impl.quantization.codebook import CodebookQuantizer, Size
from reference_impl.quantization.intervals import Intervals, Places
from reference_impl.quantization.kmeans_fast import optimal_splits


@checked
def optimal_codebook(x: Values, size: Size) -> CodebookQuantizer:
    """Return the codebook with the least Σ (x − c_q)² among all of at most K values.

    Exact up to float64's rounding of the sums, some 10⁻¹⁵ of Σ (x − median)². If x has K distinct
    values or fewer, they are the codebook, and the error is 0.

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

    D_k(j) = min_i D_{k−1}(i) + cost(i, j): the i of D_K(n), of equals the first, is the last split,
    and so on back. `optimal_splits` finds splits of the same error without most of the costs.

    >>> import torch
    >>> recursive_splits(Intervals.of(torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 30.0])), 3).tolist()
    [3, 5]

    Equation: eq-codebook-recursion, chapter 05.
    """
    i, j = np.ogrid[: len(intervals) + 1, : len(intervals) + 1]
    cost = np.where(i <= j, intervals.cost(np.minimum(i, j), j), np.inf)
    least = cost[0]  # D_1
    begins: list[Places] = []
    for _ in range(1, min(size, len(intervals))):
        error = least[:, None] + cost  # row i, column j
        least, begins = error.min(axis=0), [*begins, error.argmin(axis=0)]
    splits = [len(intervals)]
    for begin in reversed(begins):
        splits.append(begin[splits[-1]])
    return np.array(splits[:0:-1], dtype=np.int64)
