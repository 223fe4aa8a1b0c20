"""Whether it matters which of two operations comes first: on one tensor, and over all orders."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import fmean

from torch import Tensor

from reference_impl.checked import checked
from reference_impl.measuring.error import Signal

Operation = Callable[[Tensor], Tensor]
Orders = Mapping[tuple[str, ...], float]
"""Names in an order → what was measured of it, for all orders of these names."""


@checked
def order_gap(x: Signal, first: Operation, second: Operation) -> float:
    """Return ‖B(A(x)) − A(B(x))‖ / ‖x‖, A the first and B the second; 0 where they commute.

    >>> import torch
    >>> order_gap(torch.tensor([3.0, 4.0]), torch.round, lambda x: x / 2)
    0.1

    Equation: eq-order-gap, chapter 20.
    """
    gap = second(first(x)).double() - first(second(x)).double()
    return float(gap.norm() / x.double().norm())


@checked
def swap_gain(values: Orders, first: str, second: str) -> float:
    """Return the mean of acc(…AB…) − acc(…BA…) over all orders in which A is right before B.

    The two orders of a difference are the same except for this swap of neighbours.

    >>> swap_gain({("a", "b"): 3.0, ("b", "a"): 1.0}, "a", "b")
    2.0

    Raises:
        ValueError: if the two are nowhere neighbours, or a swapped order is missing.

    Equation: eq-order-swap, chapter 20.
    """
    gains = []
    for order, value in values.items():
        if (first, second) in pairwise(order):
            i = order.index(first)
            swapped = (*order[:i], second, first, *order[i + 2 :])
            if swapped not in values:
                raise ValueError(f"values must have every order, {swapped} is missing")
            gains.append(value - values[swapped])
    if not gains:
        raise ValueError(f"values must have an order with {second!r} right after {first!r}")
    return fmean(gains)
