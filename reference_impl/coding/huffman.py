"""Canonical Huffman codes: short codes for frequent symbols, none of which begins another.

Lengths are those of a prefix code if and only if Σ 2^−length_i ≤ 1 (Kraft). They are enough
to rebuild the codes: in the order of length, then of symbol, the codes count upwards. So a file
holds lengths only.
"""

import heapq
from typing import Annotated

import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from reference_impl.checked import Where, Within, checked

LONGEST = 15
"""The most bits of a code: a length takes four bits of a file."""
ALPHABET = Where("of at most 256 symbols", lambda one: len(one) <= 256)
Counts = Annotated[Integer[Tensor, " symbols"], Within(0, 2**40), ALPHABET]
Lengths = Annotated[Integer[Tensor, " symbols"], Within(0, LONGEST), ALPHABET]


@checked
def entropy(counts: Counts) -> float:
    """Return −Σ p_i log₂ p_i in bits: no code needs less for a symbol on average.

    >>> entropy(torch.tensor([4, 2, 1, 1]))
    1.75

    References: Shannon 1948, "A Mathematical Theory of Communication", theorem 9.
    Equation: eq-coding-entropy, chapter 19.
    """
    p = counts[counts > 0].double() / _total(counts)
    return (p * (1 / p).log2()).sum().item()


@checked
def mean_length(counts: Counts, lengths: Lengths) -> float:
    """Return Σ p_i length_i, the bits of a symbol on average.

    With Huffman's lengths it is at least the entropy and less than a bit above it; only a single
    symbol, of entropy 0, takes a whole bit.

    >>> mean_length(torch.tensor([4, 2, 1, 1]), torch.tensor([1, 2, 3, 3]))
    1.75

    Equation: eq-coding-length, chapter 19.
    """
    return (counts.double() @ lengths.double()).item() / _total(counts)


@checked
def code_lengths(counts: Counts) -> Int64[Tensor, " symbols"]:
    """Return the bits of each symbol's code, 0 for a symbol that does not occur.

    The two rarest groups of symbols become one group, and each of their symbols needs one bit more,
    until one group is left. A single symbol gets one bit. If a code is longer than 15 bits, the
    counts are halved (1 stays 1) and the codes built again, as bzip2 does.

    >>> code_lengths(torch.tensor([5, 1, 0, 2, 9])).tolist()
    [2, 3, 0, 3, 1]

    Raises:
        ValueError: if all counts are 0.

    References: Huffman 1952, "A Method for the Construction of Minimum-Redundancy Codes".
    Equation: eq-coding-huffman, chapter 19.
    """
    _total(counts := counts.long())  # a narrow type would overflow below
    occurring = counts.nonzero().ravel().tolist()
    lengths = torch.zeros(len(counts), dtype=torch.int64)
    groups = [(int(counts[i]), i, [i]) for i in occurring]
    heapq.heapify(groups)
    lengths[occurring[0]] = int(len(occurring) == 1)
    while len(groups) > 1:
        (rarest, _, some), (next_rarest, i, others) = heapq.heappop(groups), heapq.heappop(groups)
        lengths[some + others] += 1
        heapq.heappush(groups, (rarest + next_rarest, i, some + others))
    return lengths if int(lengths.max()) <= LONGEST else code_lengths((counts + 1) // 2)


def _total(counts: Tensor) -> int:
    if (total := int(counts.sum())) == 0:
        raise ValueError("counts must have a positive one, got zeros")
    return total


@checked
def canonical_codes(lengths: Lengths) -> Int64[Tensor, " symbols"]:
    """Return the codes as numbers: the first is 0, and the others count upwards.

    In the order of length, code_(k+1) = (code_k + 1) 2^(length_(k+1) − length_k), and the k-th code
    is this number written with length_k binary digits.

    >>> canonical_codes(torch.tensor([2, 3, 0, 3, 1])).tolist()  # 10, 110, absent, 111, 0
    [2, 6, 0, 7, 0]

    Raises:
        ValueError: if Σ 2^−length_i > 1: no prefix code has such lengths.

    References: Schwartz & Kallick 1964, "Generating a canonical prefix encoding".
    Equation: eq-coding-canonical, chapter 19.
    """
    order = torch.argsort(lengths, stable=True)
    codes, code, last = torch.zeros(len(lengths), dtype=torch.int64), -1, 0
    for i in order[lengths[order] > 0].tolist():
        code, last = (code + 1) << (int(lengths[i]) - last), int(lengths[i])
        codes[i] = code
    if code >> last > 0:
        raise ValueError("lengths must be those of a prefix code, Σ 2^−length ≤ 1")
    return codes
