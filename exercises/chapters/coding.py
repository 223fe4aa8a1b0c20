"""Exercises of chapter 19: codes by hand, a table to check, shared values, weights in pairs."""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    at,
    either,
    leaves,
    near,
    normals,
    numbers,
)
from reference_impl.checked import Count, Share, checked
from reference_impl.coding import code_lengths, entropy, mean_length, write_shared

EXERCISES: dict[str, Exercise] = {}

# -- by hand: a code, and gaps with fillers --------------------------------------------------------

EXERCISES["coding-hand"] = Exercise(
    kind=numbers(4),
    claims={
        "the bits of all 16 symbols are right": (
            at(0, 32),
            "Join the two rarest groups until one is left; each step costs as many bits as the "
            "joined group has symbols.",
        ),
        "the code of C is right": (
            at(1, 6, 110),
            "In the order of length: the next code is (code + 1), with zeros up to its length.",
        ),
        "the number of entries is right": (
            at(2, 5),
            "Three weights, and a filler for every eight zeros in a row.",
        ),
        "the last gap is right": (at(3, 6), "There are 22 zeros before it; 22 mod 8."),
    },
    mistakes={
        "That is the mean length; all 16 symbols are asked for.": at(0, 2),
        "That is a code of three bits for each of the five symbols.": at(0, 48),
        "You took the entropy; a Huffman code has whole lengths.": at(0, 31.6),
        "You added the lengths of the five codes; A occurs seven times.": at(0, 14),
        "That is C's code in a code of fixed length.": at(1, 2),
        "You forgot to append a zero: C's code is longer than B's.": at(1, 3),
        "You let a filler stand for seven zeros; it stands for a zero itself, after seven "
        "others.": at(2, 6),
        "You forgot the fillers.": at(2, 3),
        "Zeros lie between two places: 29 − 6 − 1.": at(3, 7),
        "You let a filler stand for seven zeros: 22 mod 7.": at(3, 1),
    },
)

# -- to predict: what positions take when fewer weights are kept -----------------------------------

LAYER = 100_000


@checked
def index_bytes(share: Share, n: Count = LAYER) -> int:
    """Return the bytes of the indices of a layer that keeps a share of its n weights at random."""
    kept = torch.randperm(n, generator=torch.Generator().manual_seed(16))[: round(share * n)]
    weights = torch.zeros(n)
    weights[kept] = 1.0
    return sum(len(data) for what, data in write_shared(weights) if what == "indices")


@cache
def fewer() -> float:
    """Return how many times smaller the indices of 1 % are than those of 10 %."""
    return index_bytes(0.1) / index_bytes(0.01)


EXERCISES["coding-predict"] = Exercise(
    kind=a_number,
    claims={
        "it is how many times fewer bytes the indices take": (
            near(fewer),
            "Divide the bytes at 10 % by the bytes at 1 %: index_bytes(0.1) / index_bytes(0.01).",
        ),
    },
    mistakes={
        "Ten times fewer weights, but each is farther from the last one: its gap takes more "
        "bits.": near(10),
        "You divided the bits of a single gap: there are ten times fewer gaps too.": either(
            near(lambda: fewer() / 10), near(lambda: 10 / fewer())
        ),
        "You divided the smaller by the larger.": near(lambda: 1 / fewer()),
    },
)
# -- to spot: which totals of the paper's tables are not those of its rows -------------------------

EXERCISES["coding-tables"] = Exercise(
    kind=numbers(4),
    claims={
        "LeNet-300-100's bits of a weight are right": (
            at(0, 4.40),
            "Each kept weight takes the bits of its layer: weight the rows by the kept weights.",
        ),
        "LeNet-5's bits of a weight are right": (
            at(1, 4.766),
            "As for the other network: 330, 3,000, 32,000 and 950 weights are kept.",
        ),
        "LeNet-5's size is right": (
            at(2, 2.734),
            "A row's size is a share of its layer: weight the rows by all weights of the layers.",
        ),
        "the most bits of ip2's weights are right": (
            at(3, 5),
            "A code of fixed length is a prefix code, and Huffman's code is the best of those.",
        ),
    },
    mistakes={
        "That is the table's total; compute it from the rows.": either(
            at(0, 5.1), at(1, 4.1), at(2, 2.55)
        ),
        "You took the plain mean of the rows; a large layer counts more.": either(
            at(0, 4.367), at(1, 6.025), at(2, 20.33)
        ),
        "You weighted the bits by all weights; only those that are kept are in the file.": at(
            1, 4.668
        ),
        "You weighted the sizes by the kept weights; a size is a share of the whole layer.": at(
            2, 3.37
        ),
        "You gave how many times smaller the network is; its size in percent is asked for.": at(
            2, 36.6, 39
        ),
        "That is what the table says; 32 values have a code of fixed length, too.": at(3, 5.2),
    },
)

# -- implement: the derivative of a shared value ---------------------------------------------------

Derivative = Callable[[Tensor, Tensor, int], Tensor]


def _shared(gradient: Tensor, codes: Tensor, size: int) -> Tensor:
    return _per_code(gradient, codes, size)


def _per_code(g: Tensor, codes: Tensor, size: int, how: str = "sum") -> Tensor:
    zeros = torch.zeros(size, dtype=g.dtype)
    return zeros.scatter_reduce(0, codes.ravel(), g.ravel(), reduce=how, include_self=False)


def _cases(*, empty: bool = False) -> list[Case]:
    """Return gradients and codes; with ``empty``, the last values have no weight."""
    drawn = normals(16, (40,), (6, 8), (5, 2, 3, 3), dtype=torch.float64)
    return [
        (g, (g * 1000).long().abs() % size, size + 2 * empty)
        for g, size in zip(drawn, (3, 4, 7), strict=True)
    ]


def _last(g: Tensor, codes: Tensor, size: int) -> Tensor:
    found = torch.zeros(size, dtype=g.dtype)
    for code, one in zip(codes.ravel().tolist(), g.ravel(), strict=True):
        found[code] = one
    return found


def _by(formula: Derivative) -> Test:
    return agrees(formula, _cases)


EXERCISES["coding-gradient"] = Exercise(
    kind=a_function("shared(gradient, codes, size)"),
    claims={
        "each value gets what its weights get, together": (
            _by(_shared),
            "∂L/∂v_k = Σ ∂L/∂w_i over the weights with q_i = k.",
        ),
        "a value without weights gets 0": (
            agrees(_shared, lambda: _cases(empty=True)),
            "The result has `size` entries, whether all codes occur or not.",
        ),
        "the arguments are left as they were": (
            leaves(lambda: _cases()[1]),
            "Work on new tensors.",
        ),
    },
    mistakes={
        "You took the mean: moving a value moves all of its weights, so their derivatives add "
        "up.": _by(partial(_per_code, how="mean")),
        "You kept one weight of each value, the last one: zeros[codes] = gradient does not add.": (
            _by(_last)
        ),
        "That is how many weights have each value.": _by(
            lambda g, codes, size: torch.bincount(codes.ravel(), minlength=size).to(g.dtype)
        ),
        "That is the gradient of the weights: each has the derivative of its value.": _by(
            lambda g, codes, size: _shared(g, codes, size)[codes]
        ),
    },
)


# -- transfer: several weights in one symbol -------------------------------------------------------


@checked
def block_bits(counts: tuple[Count, ...], n: Count) -> float:
    """Return the bits of a weight if one Huffman code stands for n independent weights."""
    one, blocks = torch.tensor(counts), torch.ones(1, dtype=torch.int64)
    for _ in range(n):
        blocks = (blocks[:, None] * one).ravel()
    return mean_length(blocks, code_lengths(blocks)) / n


TERNARY = (5, 90, 5)


EXERCISES["coding-blocks"] = Exercise(
    kind=numbers(3),
    claims={
        "the bits of a weight by itself are right": (
            at(0, 1.1),
            "Code lengths 2, 1, 2.",
        ),
        "the bits of a weight in pairs are right": (
            at(1, lambda: block_bits(TERNARY, 2)),
            "Nine symbols with the products of the shares: 0.81, 0.045 four times, 0.0025 four "
            "times.",
        ),
        "the bits of a weight in triples are right": (
            at(2, lambda: block_bits(TERNARY, 3)),
            "27 symbols; outer products give their counts.",
        ),
    },
    mistakes={
        "Those are the bits of a pair; divide by its weights.": at(
            1, lambda: 2 * block_bits(TERNARY, 2)
        ),
        "Those are the bits of a triple; divide by its weights.": at(
            2, lambda: 3 * block_bits(TERNARY, 3)
        ),
        "That is the entropy, which a code of whole bits does not reach.": either(
            *(at(i, lambda: entropy(torch.tensor(TERNARY))) for i in range(3))
        ),
        "You gave all nine pairs the same share; multiply the shares of the two weights.": at(
            1, 29 / 18
        ),
        "That is a code of fixed length for three values.": at(0, 2),
    },
)
