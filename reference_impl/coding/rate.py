"""The rate: what integers will cost in bits, as a function that a training can lower."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from reference_impl.checked import Finite, Scalar, Values, checked

Integers2d = Int64[Tensor, "rows columns"]


@checked
@dataclass(frozen=True, eq=False)
class Price:
    """Bits of an integer: of 0, of ±1, and of each further step away from 0."""

    zero: Finite[Tensor, "*shape"]
    first: Finite[Tensor, "*shape"]  #: at least ``zero``
    further: Scalar


@checked
def price(integers: Int64[Tensor, "*shape"]) -> Price:
    """Return the bits of integers that are 0 with probability p₀, and else fall off geometrically.

    p_q = (1 − p₀)/2 · (1 − ϱ) ϱ^(|q|−1) for q ≠ 0, with p₀ the share of zeros and ϱ the share of
    steps from 0 that lead beyond ±1, both from the integers, half a count added to each side.
    A zero costs at most b₁ − 1, as if there were as many zeros as ±1: where they are rare, the way
    to zero would not pay, and no weight could pass it.

    >>> found = price(torch.tensor([0] * 8 + [1, -1, 1, 2]))
    >>> [round(x.item(), 2) for x in (found.zero, found.first, found.further)]
    [0.61, 2.95, 2.0]

    Equation: eq-coding-price, chapter 19.
    """
    n, there, steps = integers.numel(), integers.count_nonzero(), integers.abs().sum()
    p0, rho = (n - there + 0.5) / (n + 1), (steps - there + 0.5) / (steps + 1)
    first = -torch.log2((1 - p0) / 2 * (1 - rho))
    return Price(torch.minimum(-p0.log2(), first - 1), first, -rho.log2())


@checked
def price_by_density(integers: Integers2d) -> Price:
    """Return the bits if an integer is not 0 with the probability row_i col_j / density.

    row_i is the share of integers of row i that are not 0, col_j that of column j, density
    that of the table, two counts of the mean added to each row and column. So the last entry of a
    row or of a column costs the most, and whole rows and columns become empty.

    Equation: eq-coding-independent, chapter 19.
    """
    there = (integers != 0).float()
    d = there.mean() + 1 / there.numel()
    r, c = ((there.sum(axis) + 2 * d) / (there.shape[axis] + 2) for axis in (1, 0))
    p = (r[:, None] * c / d).clamp(1e-6, 0.9)
    even = price(integers)
    first = -p.log2() + 1 - torch.log2(1 - 2.0**-even.further)
    return Price(torch.minimum(-torch.log2(1 - p), first - 1), first, even.further)


@checked
def rate(u: Values, price: Price) -> Scalar:
    """Return Σ b(u) in bits: the price of integers, and between two of them the straight line.

    b(u) = b₀ + min(|u|, 1) (b₁ − b₀) + max(|u| − 1, 0) b₊ with the three bits of ``price``. Its
    derivative is constant between integers: a penalty on |u| whose strength the bits set.

    >>> u = torch.tensor([0.0, 0.5, -3.0])
    >>> rate(u, Price(torch.tensor(1.0), torch.tensor(3.0), torch.tensor(2.0))).item()
    10.0

    Equation: eq-coding-rate, chapter 19.
    """
    size = u.abs()
    bits = price.zero + size.clamp(max=1) * (price.first - price.zero)
    return (bits + (size - 1).clamp(min=0) * price.further).sum()
