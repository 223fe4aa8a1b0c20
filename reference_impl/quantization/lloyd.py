"""The Lloyd–Max iteration: each value to its nearest centroid, each centroid to its values' mean.

A codebook c_1 < … < c_K with the least squared error fulfils two conditions, each the optimum of
one half of the unknowns while the other half stays:

    nearest neighbour:  the threshold between c_k and c_{k+1} is (c_k + c_{k+1}) / 2,
    centroid:           c_k = E[x | x in cell k].

Neither step can raise the error, so the iteration ends, but not always at the least one.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int
from reference_impl.quantization.codebook import MAX_SIZE, CodebookQuantizer
from reference_impl.quantization.intervals import LARGEST, Floats, Intervals, Places

MAX_STEPS = 100_000


@dataclass(frozen=True)
class LloydRun:
    """What the iteration reached, and how.

    Attributes:
        quantizer: the last codebook, equal values once.
        errors: (1/N) Σ (x − x̂)² after each step, the start first.
        empty: centroids of the last step that no value is nearest to; they stayed where they were.
        converged: whether the last step moved no threshold past a value.
    """

    quantizer: CodebookQuantizer
    errors: tuple[float, ...]
    empty: int
    converged: bool


def lloyd(
    x: Float[Tensor, "*shape"], start: Float[Tensor, " size"], *, steps: int = MAX_STEPS
) -> LloydRun:
    """Repeat q_i = argmin_k |x_i − c_k|, c_k = mean of the x_i with q_i = k.

    A centroid to which no value is nearest has no mean; it stays where it is.

    >>> run = lloyd(torch.tensor([0.0, 1.0, 9.0, 10.0]), torch.tensor([0.0, 1.0]))
    >>> run.quantizer.values, [round(error, 4) for error in run.errors]
    ((0.5, 9.5), [36.25, 4.3889, 0.25])

    Args:
        x: values of any shape.
        start: the first codebook, in any order.
        steps: at most so many, at least 1.

    Raises:
        TypeError: if ``x`` or ``start`` is no floating-point tensor or ``steps`` no integer.
        ValueError: if one is empty or not finite, ``start`` has not one axis or more than 65,536
            values, or ``steps`` is below 1; or if squares of the distances from the median of
            ``x`` are no float64.

    References:
        Lloyd 1982 (written 1957), "Least Squares Quantization in PCM", method I; Max 1960.

    Equation: eq-codebook-centroid, chapter 05.
    """
    require_float_tensor("start", start)
    if start.ndim != 1 or len(start) > MAX_SIZE:
        raise ValueError(
            f"start must have one axis of 1 to {MAX_SIZE} values, got shape {tuple(start.shape)}"
        )
    steps = require_int("steps", steps, 1)
    intervals = Intervals.of(x)
    centroids = np.sort(start.detach().double().numpy()) - intervals.origin
    farthest = float(np.abs(centroids).max())
    if farthest > LARGEST:
        raise ValueError(f"start must be within {LARGEST} of x's median, got {farthest} from it")
    count = float(intervals.counts[-1] - intervals.counts[0])
    splits = nearest_splits(intervals, centroids)
    errors = [_error_about(intervals, splits, centroids) / count]
    converged = False
    while not converged and len(errors) <= steps:
        centroids = _means_or_stay(intervals, splits, centroids)
        moved = nearest_splits(intervals, centroids)
        errors.append(_error_about(intervals, moved, centroids) / count)
        converged, splits = bool((moved == splits).all()), moved
    edges = np.concatenate([[0], splits, [len(intervals)]])
    values = np.unique(centroids + intervals.origin)
    return LloydRun(
        CodebookQuantizer(tuple(values.tolist())),
        tuple(errors),
        int((np.diff(edges) == 0).sum()),
        converged,
    )


def nearest_splits(intervals: Intervals, centroids: Floats) -> Places:
    """Return how many values lie at or below each threshold (c_k + c_{k+1}) / 2."""
    thresholds = (centroids[:-1] + centroids[1:]) / 2
    return np.searchsorted(intervals.values, thresholds, side="right")


def _means_or_stay(intervals: Intervals, splits: Places, centroids: Floats) -> Floats:
    edges = np.concatenate([[0], splits, [len(intervals)]])
    means = np.where(np.diff(edges) > 0, intervals.means(splits), centroids)
    return np.sort(means)  # a mean of equal numbers can be off in its last digit


def _error_about(intervals: Intervals, splits: Places, centroids: Floats) -> float:
    """Return Σ (x − c)²: about the mean, plus count times the distance from mean to c, squared."""
    edges = np.concatenate([[0], splits, [len(intervals)]])
    counts = np.diff(intervals.counts[edges])
    offsets = intervals.means(splits) - centroids
    return intervals.error(splits) + float((counts * offsets**2).sum())


def linear_start(x: Float[Tensor, "*shape"], size: int) -> Float64[Tensor, " size"]:
    """Return K values evenly spaced from min x to max x.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or ``size`` no integer.
        ValueError: if ``x`` is empty or not finite, or ``size`` outside 1 to 65,536.

    References:
        Han, Mao & Dally 2016, "Deep Compression", section 3.2, for this and the next two.
    """
    require_float_tensor("x", x)
    size = require_int("size", size, 1, MAX_SIZE)
    low, high = (end.item() for end in torch.aminmax(x.detach().double()))
    return torch.linspace(low, high, size, dtype=torch.float64)


def density_start(x: Float[Tensor, "*shape"], size: int) -> Float64[Tensor, " size"]:
    """Return the quantiles of x at (k + ½)/K, k = 0 … K − 1: evenly spaced on the CDF's axis.

    Raises:
        TypeError, ValueError: as ``linear_start``.
    """
    require_float_tensor("x", x)
    size = require_int("size", size, 1, MAX_SIZE)
    ordered = x.detach().double().flatten().sort().values
    places = (torch.arange(size, dtype=torch.float64) + 0.5) / size * len(ordered)
    return ordered[places.long()]


def random_start(
    x: Float[Tensor, "*shape"], size: int, generator: torch.Generator
) -> Float64[Tensor, " size"]:
    """Return K elements of x drawn without replacement (Forgy's start).

    Raises:
        TypeError: as ``linear_start``, and if ``generator`` is no torch.Generator.
        ValueError: as ``linear_start``, and if ``x`` has fewer than K elements.
    """
    require_float_tensor("x", x)
    size = require_int("size", size, 1, MAX_SIZE)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    if size > x.numel():
        raise ValueError(f"size must be at most the {x.numel()} elements of x, got {size}")
    drawn = torch.randperm(x.numel(), generator=generator)[:size]
    return x.detach().double().flatten()[drawn].sort().values


def normal_codebook(size: int) -> CodebookQuantizer:
    """Return the codebook with the least E[(x − x̂)²] for a standard normal x.

    Between thresholds a < b the centroid is (φ(a) − φ(b)) / (Φ(b) − Φ(a)). The normal density is
    log-concave, so the two conditions have one solution, and the iteration finds it.

    >>> [round(value, 3) for value in normal_codebook(4).values]
    [-1.51, -0.453, 0.453, 1.51]

    Args:
        size: K, 1 to 64; the number of steps grows with K².

    Raises:
        TypeError, ValueError: if ``size`` is no integer from 1 to 64.

    References:
        Max 1960, "Quantizing for Minimum Distortion", table I; Fleischer 1964 for uniqueness.
    """
    size = require_int("size", size, 1, 64)
    normal = NormalDist()
    values = torch.tensor(
        [normal.inv_cdf((k + 0.5) / size) for k in range(size)], dtype=torch.float64
    )
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
