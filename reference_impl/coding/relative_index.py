"""Relative indices: where the weights are that are not zero, each as its distance from the last."""

from typing import Annotated

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from reference_impl.checked import Within, checked

IndexBits = Annotated[int, Within(1, 8)]
Gaps = Annotated[Int64[Tensor, " entries"], Within(0, 255)]


@checked
def relative_indices(
    kept: Bool[Tensor, " n"], bits: IndexBits
) -> tuple[Int64[Tensor, " entries"], Bool[Tensor, " entries"]]:
    """Return the gaps, zeros before each entry, and which entries hold a kept weight.

    A gap of b bits is at most 2^b − 1. Where more zeros follow one another, every 2^b-th of them
    becomes an entry of its own, a filler: ⌊zeros / 2^b⌋ fillers, and a gap of zeros mod 2^b.

    >>> kept = torch.tensor([0, 1, 0, 0, 0, 0, 0, 0, 1, 1]).bool()
    >>> gaps, weights = relative_indices(kept, bits=2)
    >>> gaps.tolist(), weights.tolist()
    ([1, 3, 2, 0], [True, False, True, True])

    References: Han, Mao & Dally 2016, "Deep Compression", section 2 and figure 2.
    Equation: eq-coding-gaps, chapter 19.
    """
    at = kept.nonzero().ravel()
    zeros = torch.diff(at, prepend=at.new_tensor([-1])) - 1
    fillers = zeros >> bits
    last = torch.cumsum(fillers + 1, dim=0) - 1  # the entries that hold a weight
    gaps = torch.full((int((fillers + 1).sum()),), 2**bits - 1)
    gaps[last] = zeros & (2**bits - 1)
    weights = torch.zeros(len(gaps), dtype=torch.bool)
    weights[last] = True
    return gaps, weights


@checked
def positions(gaps: Gaps) -> Int64[Tensor, " entries"]:
    """Return where the entries are: place_k = place_(k−1) + 1 + gap_k, the first at its own gap.

    >>> positions(torch.tensor([1, 3, 2, 0])).tolist()
    [1, 5, 8, 9]

    Equation: eq-coding-positions, chapter 19.
    """
    return torch.cumsum(gaps + 1, dim=0) - 1
