"""Sorted values and their running sums: the squared error of any interval in a few operations."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from reference_impl.checks import require_float_tensor

SMALLEST, LARGEST = 1e-140, 1e140
"""Their squares, and those of a sum of many, are still float64."""

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Intervals:
    """The distinct values of a tensor, ascending, and what any interval of them sums to.

    With the sums S₀ = Σ n_t, S₁ = Σ n_t x_t and S₂ = Σ n_t x_t² over an interval, n_t being how
    often x_t occurs, the mean is S₁/S₀ and the squared error about it

        cost = S₂ − S₁²/S₀.

    Running sums make each S a difference of two numbers. They run outwards from the median, which
    is the origin, so that large values far outside spoil no digits of the small ones: a cost is
    off by at most some 10⁻¹⁵ of the sum of squares from the median to the interval's far end.

    >>> import torch
    >>> intervals = Intervals.of(torch.tensor([5.0, 1.0, 2.0, 2.0]))
    >>> intervals.values + intervals.origin
    array([1., 2., 5.])
    >>> round(float(intervals.cost(0, 2)), 9)  # of 1, 2 and 2 about 5/3
    0.666666667

    Attributes:
        values: x_t − origin, shape (n,).
        origin: a median of the values.
        counts, sums, squares: running S₀, S₁, S₂ from the median, shape (n + 1,).
    """

    values: Floats
    origin: float
    counts: Floats
    sums: Floats
    squares: Floats

    @classmethod
    def of(cls, x: Float[Tensor, "*shape"]) -> "Intervals":
        """Return the intervals of a tensor's values.

        Raises:
            TypeError: if ``x`` is no floating-point tensor.
            ValueError: if it is empty or not finite, or if its values are so large, or lie so
                close together, that their squares are no float64.
        """
        require_float_tensor("x", x)
        values, counts = np.unique(x.detach().double().numpy(), return_counts=True)
        origin = float(values[len(values) // 2])
        values = values - origin
        largest = max(-values[0], values[-1])
        if largest > LARGEST or 0 < largest < SMALLEST:
            raise ValueError(
                f"x must deviate from its median by {SMALLEST} to {LARGEST}, got {largest}"
            )
        weights = counts.astype(np.float64)
        return cls(
            values,
            origin,
            _running(weights),
            _running(weights * values),
            _running(weights * values**2),
        )

    def __len__(self) -> int:
        return len(self.values)

    def mean(self, start: Places | int, end: Places | int) -> Floats:
        """Return S₁/S₀ of the values start … end − 1, from the origin; 0 where there are none."""
        count = self.counts[end] - self.counts[start]
        total: Floats = self.sums[end] - self.sums[start]
        return total / np.maximum(count, 1)

    def cost(self, start: Places | int, end: Places | int) -> Floats:
        """Return S₂ − S₁²/S₀ of the values start … end − 1; 0 where there are none.

        Equation: eq-codebook-cost, chapter 05.
        """
        count = self.counts[end] - self.counts[start]
        total = self.sums[end] - self.sums[start]
        square = self.squares[end] - self.squares[start]
        cost: Floats = np.maximum(square - total * total / np.maximum(count, 1), 0)
        return cost

    def cost_about(self, start: Places, end: Places, centre: Floats) -> Floats:
        """Return S₂ − 2 c S₁ + c² S₀ of the values start … end − 1, c counted from the origin."""
        count, total, square = (
            run[end] - run[start] for run in (self.counts, self.sums, self.squares)
        )
        cost: Floats = square - 2 * centre * total + centre**2 * count
        return cost

    def means(self, splits: Places) -> Floats:
        """Return the means of the intervals between the splits, from the origin."""
        edges = np.concatenate([[0], splits, [len(self)]])
        return self.mean(edges[:-1], edges[1:])

    def error(self, splits: Places) -> float:
        """Return the summed cost of the intervals between the splits."""
        edges = np.concatenate([[0], splits, [len(self)]])
        return float(self.cost(edges[:-1], edges[1:]).sum())


def _running(terms: Floats) -> Floats:
    """Return Σ terms from the middle: before it negative, at it 0, n + 1 numbers for n terms."""
    middle = len(terms) // 2
    total = np.zeros(len(terms) + 1)
    total[middle + 1 :] = np.cumsum(terms[middle:])
    total[:middle] = -np.cumsum(terms[:middle][::-1])[::-1]
    return total
