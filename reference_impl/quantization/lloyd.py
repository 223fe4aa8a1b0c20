"""The Lloyd–Max iteration: each number to its nearest level, each level to its numbers' mean.

In a codebook of least squared error the threshold between v_k and v_{k+1} is (v_k + v_{k+1}) / 2,
and v_k = E[x | x in cell k]. Each is the optimum while the other is fixed: neither step can raise
the error, so the iteration ends, but not always at the least one.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from reference_impl.checked import Count, Finite, Values, Within, checked
from reference_impl.quantization.codebook import CodebookQuantizer, Size
from reference_impl.quantization.intervals import Floats, Intervals, Places

MAX_STEPS = 100_000


@checked
@dataclass(frozen=True)
class LloydRun:
    """What the iteration reached, and how."""

    quantizer: CodebookQuantizer  #: the last codebook, equal levels once
    errors: tuple[float, ...]  #: SSE/n = (1/n) Σ (x − x̂)² after each step, the start first
    empty: int  #: how many levels of the last step no number is nearest to
    converged: bool  #: whether the last step moved no threshold past a number


@checked
def lloyd(x: Values, start: Finite[Tensor, " size"], *, steps: Count = MAX_STEPS) -> LloydRun:
    """Repeat q_i = argmin_k |x_i − v_k|, v_k = mean of the x_i with q_i = k.

    A level to which no number is nearest has no mean and does not move. ``start`` holds the
    first v_k, in any order.

    >>> run = lloyd(torch.tensor([0.0, 1.0, 9.0, 10.0]), torch.tensor([0.0, 1.0]))
    >>> run.quantizer.values, [round(error, 4) for error in run.errors]
    ((0.5, 9.5), [36.25, 4.3889, 0.25])

    References: Lloyd 1982 (written 1957), "Least Squares Quantization in PCM", method I; Max 1960.
    Equation: eq-codebook-centroid, chapter 05.
    """
    intervals = Intervals.of(x)
    centroids = np.sort(start.detach().double().numpy()) - intervals.origin
    splits = _nearest_splits(intervals, centroids)
    errors, converged = [_mean_squared_error(intervals, splits, centroids)], False
    while not converged and len(errors) <= steps:
        filled = np.diff(intervals.edges(splits)) > 0
        centroids = np.where(filled, intervals.means(splits), centroids)
        centroids = np.sort(centroids)  # a mean of equal numbers can be off in its last digit
        moved = _nearest_splits(intervals, centroids)
        errors.append(_mean_squared_error(intervals, moved, centroids))
        converged, splits = np.array_equal(moved, splits), moved
    empty = int((np.diff(intervals.edges(splits)) == 0).sum())
    values = np.unique(centroids + intervals.origin).tolist()
    return LloydRun(CodebookQuantizer(tuple(values)), tuple(errors), empty, converged)


def _nearest_splits(intervals: Intervals, centroids: Floats) -> Places:
    """Return how many numbers lie at or below each threshold (v_k + v_{k+1}) / 2."""
    thresholds = (centroids[:-1] + centroids[1:]) / 2
    return np.searchsorted(intervals.values, thresholds, side="right")


def _mean_squared_error(intervals: Intervals, splits: Places, centroids: Floats) -> float:
    """Return SSE/n: Σ (x − v)² about the mean, plus the distance from mean to v, squared."""
    counts = np.diff(intervals.counts[intervals.edges(splits)])
    offsets = intervals.means(splits) - centroids
    error = intervals.error(splits) + float((counts * offsets**2).sum())
    return error / float(intervals.counts[-1] - intervals.counts[0])


@checked
def linear_start(x: Values, size: Size) -> Float64[Tensor, " size"]:
    """Return K levels evenly spaced from min x to max x.

    References: Han et al. 2016, "Deep Compression", section 3.2, for this and the next two.
    """
    low, high = x.min().item(), x.max().item()
    return torch.linspace(low, high, size, dtype=torch.float64)


@checked
def density_start(x: Values, size: Size) -> Float64[Tensor, " size"]:
    """Return the quantiles of x at (k + ½)/K, k = 0 … K − 1: evenly spaced on the CDF's axis."""
    ordered = x.detach().double().flatten().sort().values
    places = (torch.arange(size, dtype=torch.float64) + 0.5) / size * len(ordered)
    return ordered[places.long()]


@checked
def random_start(x: Values, size: Size, generator: torch.Generator) -> Float64[Tensor, " size"]:
    """Return K of the elements of x, which has as many, drawn without replacement (Forgy)."""
    if size > x.numel():
        raise ValueError(f"size must be at most the {x.numel()} elements of x, got {size}")
    drawn = torch.randperm(x.numel(), generator=generator)[:size]
    return x.detach().double().flatten()[drawn].sort().values


@checked
def normal_codebook(size: Annotated[int, Within(1, 64)]) -> CodebookQuantizer:
    """Return the codebook of K levels with the least E[(x − x̂)²] for a standard normal x.

    Between thresholds a < b the centroid is (φ(a) − φ(b)) / (Φ(b) − Φ(a)). The density is
    log-concave, so the two conditions have one solution. The steps to it grow with K².

    >>> [round(value, 3) for value in normal_codebook(4).values]
    [-1.51, -0.453, 0.453, 1.51]

    References: Max 1960, table I; Fleischer 1964 for uniqueness.
    """
    quantile = NormalDist().inv_cdf
    values = torch.tensor([quantile((k + 0.5) / size) for k in range(size)], dtype=torch.float64)
    infinity = values.new_tensor([math.inf])
    for _ in range(MAX_STEPS):
        edges = torch.cat([-infinity, (values[1:] + values[:-1]) / 2, infinity])
        density = torch.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
        moved = -density.diff() / torch.special.ndtr(edges).diff()
        moved = (moved - moved.flip(0)) / 2  # symmetric, to the last digit
        if float((moved - values).abs().max()) < 1e-13:
            break
        values = moved
    return CodebookQuantizer(tuple(values.tolist()))
