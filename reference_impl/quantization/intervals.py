"""Sorted values and their running sums: the squared error of any interval in a few operations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from reference_impl.checked import Values, checked

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Places = np.ndarray[Any, np.dtype[np.int64]]
else:
    Floats, Places = Float64[np.ndarray, "..."], Int64[np.ndarray, "..."]


@checked
def distinct(x: Values) -> tuple[Floats, Floats]:
    """Return the distinct values in float64, ascending, and how often each occurs."""
    values, counts = np.unique(x.detach().double().numpy(), return_counts=True)
    return values, counts.astype(np.float64)


@checked
@dataclass(frozen=True, eq=False)
class Intervals:
    """The distinct values of a tensor, ascending, and what any interval of them sums to.

    With the sums S₀ = Σ n_i, S₁ = Σ n_i x_i and S₂ = Σ n_i x_i² over an interval, n_i being how
    often x_i occurs, the mean is S₁/S₀ and the squared error about it

        cost = S₂ − S₁²/S₀.

    Running sums make each S a difference of two numbers. They run outwards from the median, the
    origin, so that a cost is off by some 10⁻¹⁵ of the sum of squares up to the interval at most.

    >>> import torch
    >>> intervals = Intervals.of(torch.tensor([5.0, 1.0, 2.0, 2.0]))
    >>> round(float(intervals.cost(0, 2)), 9)  # of 1, 2 and 2 about 5/3
    0.666666667
    """

    values: Floats  #: x_i − origin, n of them
    origin: float  #: a median of the x_i
    counts: Floats  #: running S₀ from the median, n + 1 of them
    sums: Floats  #: running S₁
    squares: Floats  #: running S₂

    @classmethod
    def of(cls, x: Values) -> "Intervals":
        """Return the intervals of a tensor's values, which must be finite."""
        values, counts = distinct(x)
        origin = float(values[len(values) // 2])
        values = values - origin
        sums = (_running(terms) for terms in (counts, counts * values, counts * values**2))
        return cls(values, origin, *sums)

    def __len__(self) -> int:
        return len(self.values)

    def moments(self, start: Places | int, end: Places | int) -> tuple[Floats, Floats, Floats]:
        """Return S₀, S₁ and S₂ of the values start … end − 1."""
        runs = (self.counts, self.sums, self.squares)
        count, total, square = (run[end] - run[start] for run in runs)
        return count, total, square

    def cost(self, start: Places | int, end: Places | int) -> Floats:
        """Return S₂ − S₁²/S₀ of the values start … end − 1; 0 where there are none.

        Equation: eq-codebook-cost, chapter 05.
        """
        count, total, square = self.moments(start, end)
        cost: Floats = np.maximum(square - total * total / np.maximum(count, 1), 0)
        return cost

    def cost_about(self, start: Places, end: Places, centre: Floats) -> Floats:
        """Return S₂ − 2 v S₁ + v² S₀ of the values start … end − 1, v counted from the origin."""
        count, total, square = self.moments(start, end)
        return square - 2 * centre * total + centre**2 * count

    def edges(self, splits: Places) -> Places:
        """Return where the intervals between the splits begin, and where the last one ends."""
        return np.concatenate([[0], splits, [len(self)]])

    def means(self, splits: Places) -> Floats:
        """Return S₁/S₀ of the intervals between the splits, from the origin; 0 of an empty one."""
        edges = self.edges(splits)
        count, total, _ = self.moments(edges[:-1], edges[1:])
        return total / np.maximum(count, 1)

    def error(self, splits: Places) -> float:
        """Return the summed cost of the intervals between the splits."""
        edges = self.edges(splits)
        return float(self.cost(edges[:-1], edges[1:]).sum())


def _running(terms: Floats) -> Floats:
    """Return Σ terms from the middle: before it negative, at it 0, n + 1 numbers for n terms."""
    middle = len(terms) // 2
    total = np.zeros(len(terms) + 1)
    total[middle + 1 :] = np.cumsum(terms[middle:])
    total[:middle] = -np.cumsum(terms[:middle][::-1])[::-1]
    return total
