"""The bits of Huffman codes, written and read many at a time.

Reading is a chain: where a code begins is known once the one before it has been read. But a reader
that starts at a wrong bit soon falls into step with the right chain: prefix codes synchronise
themselves. So the bits are cut into lanes that are read at once, each from a little before its
beginning. Where a lane ends elsewhere than the next one begins, the next one is read again; so the
result is exact for any code.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, Integer
from numpy.typing import NDArray
from torch import Tensor

from reference_impl.checked import Count, checked
from reference_impl.coding.huffman import Lengths, canonical_codes

LANE = 1024
"""Bits of a lane."""
WARM_UP = 128
"""Bits before a lane from which on its first code is looked for."""
WINDOW = 12
"""Bits that are looked up at once, at least; they hold several short codes."""
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


@checked
def encode(symbols: Integer[Tensor, " n"], lengths: Lengths) -> bytes:
    """Return the codes of the symbols one after the other, filled up with zeros to whole bytes.

    Two codes are looked up at once and joined with the next two: four codes of at most 15 bits fit
    into a word of 64.

    >>> encode(torch.tensor([4, 4, 0, 3]), torch.tensor([2, 3, 0, 3, 1])).hex()  # 0 0 10 111
    '2e'

    Raises:
        ValueError: if a symbol has no code.
    """
    used = torch.bincount(symbols, minlength=len(lengths)) if symbols.min() >= 0 else None
    if used is None or len(used) > len(lengths) or (used[lengths == 0]).any():
        raise ValueError(f"symbols must be those of the {len(lengths)} lengths that have a code")
    codes = np.append(canonical_codes(lengths).numpy(), 0).astype(np.uint64)
    bits = np.append(lengths.numpy(), 0).astype(np.uint64)  # the last symbol fills up, in no bits
    filled = np.append(symbols.numpy(), np.full(-len(symbols) % 4, len(bits) - 1))
    pairs = filled[::2] * len(bits) + filled[1::2]
    both = ((codes[:, None] << bits | codes) << np.uint64(8) | bits[:, None] + bits).ravel()[pairs]
    two, lengths_of_two = both >> np.uint64(8), both & np.uint64(255)
    second = lengths_of_two[1::2]
    return _packed(two[::2] << second | two[1::2], lengths_of_two[::2] + second)


def _packed(codes: Words, lengths: Words) -> bytes:
    """Return the codes, of up to 64 bits, one after the other."""
    ends = np.cumsum(lengths)
    word = (ends - lengths) >> np.uint64(6)  # in which each code begins
    filled = ((ends - lengths) & np.uint64(63)) + lengths
    spilled = np.maximum(filled, 64) - np.uint64(64)  # bits in the next word
    begun = codes >> spilled << (np.uint64(64) - np.minimum(filled, 64))
    words = np.zeros(int(ends[-1] >> np.uint64(6)) + 1, np.uint64)
    first = np.flatnonzero(np.diff(word, prepend=np.uint64(2**63)))
    words[word[first]] = np.add.reduceat(begun, first)
    over = np.flatnonzero(spilled)
    words[word[over] + np.uint64(1)] |= codes[over] << (np.uint64(64) - spilled[over])
    return words.astype(">u8").tobytes()[: -(-int(ends[-1]) // 8)]


@checked
def decode(data: bytes, n: Count, lengths: Lengths) -> Int64[Tensor, " n"]:
    """Return the first n symbols that the bits stand for.

    >>> decode(bytes.fromhex("2e"), 4, torch.tensor([2, 3, 0, 3, 1])).tolist()
    [4, 4, 0, 3]

    Raises:
        ValueError: if the data hold fewer codes, or bits that begin no code.
    """
    canonical_codes(lengths)  # refuses lengths of no prefix code
    if n > 8 * len(data) or not lengths.any():
        raise ValueError(f"data must hold {n} codes, got {len(data)} bytes")
    table, words = _table(lengths.numpy()), _words(data)
    lane = LANE // table.step * table.step  # codes of 2 and 4 bits never meet from an odd bit on
    begins = np.arange(0, 8 * len(data), lane)
    ends = np.minimum(begins + lane, 8 * len(data))
    before = np.maximum(begins - WARM_UP // table.step * table.step, 0)
    starts, *_ = _read(words, table, before, begins)
    reached, rows, numbers = _read(words, table, starts, ends)
    while len(wrong := 1 + np.flatnonzero(reached[:-1] != starts[1:])):
        starts[wrong] = reached[wrong - 1]
        reached[wrong], again, how_many = _read(words, table, starts[wrong], ends[wrong])
        more = ((0, max(len(again) - len(rows), 0)), (0, 0))
        rows, numbers = np.pad(rows, more), np.pad(numbers, more)
        numbers[:, wrong] = 0
        rows[: len(again), wrong], numbers[: len(again), wrong] = again, how_many
    numbers, rows = numbers.T.ravel(), rows.T.ravel()
    if numbers.sum() < n:
        raise ValueError(f"data must hold {n} codes, got {numbers.sum()}")
    places = np.repeat(rows * table.most - np.cumsum(numbers) + numbers, numbers)[:n] + np.arange(n)
    symbols = table.symbols[places]
    if (symbols < 0).any():
        raise ValueError("data must hold codes of symbols, got bits that begin none")
    return torch.from_numpy(symbols)


class _Table(NamedTuple):
    """What each window of ``peek`` bits holds: whole codes, ``most`` of them at most."""

    peek: int
    step: int  #: a divisor of all lengths
    most: int
    bits: Ints  #: of the whole codes
    number: Ints
    first: Ints  #: bits of the first code
    symbols: Ints  #: ``most`` for each window, one after the other


def _table(lengths: Ints) -> _Table:
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    of_code = lengths[order]
    peek = max(WINDOW, int(of_code[-1]))
    begins = np.cumsum(1 << (peek - of_code)) - (1 << (peek - of_code))
    end = int(begins[-1] + (1 << (peek - of_code[-1])))  # windows from here on begin no code
    begins, of_code, order = np.append(begins, end), np.append(of_code, 1), np.append(order, -1)
    window = np.arange(2**peek)
    bits, number, live = np.zeros_like(window), np.zeros_like(window), np.ones(2**peek, bool)
    first = of_code[np.searchsorted(begins, window, side="right") - 1]
    symbols: list[Ints] = []
    while live.any():
        i = np.searchsorted(begins, (window << bits) % 2**peek, side="right") - 1
        live &= bits + of_code[i] <= peek
        symbols.append(order[i])
        bits, number = bits + live * of_code[i], number + live
    step = int(np.gcd.reduce(of_code[:-1]))
    return _Table(peek, step, len(symbols), bits, number, first, np.stack(symbols, 1).ravel())


def _words(data: bytes) -> Ints:
    """Return, for each byte, the number that it and the four after it are."""
    raw = np.frombuffer(data + bytes(8), np.uint8).astype(np.int64)
    return np.array(sum(raw[i : len(raw) - 4 + i] << (32 - 8 * i) for i in range(5)))


def _read(words: Ints, table: _Table, at: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Read all lanes from these bits to their ends; return where they arrive, rows and numbers."""
    rows: list[Ints] = []
    numbers: list[Ints] = []
    while (reading := at < ends).any():
        row = words[at >> 3] >> (40 - table.peek - (at & 7)) & (2**table.peek - 1)
        whole = at + table.bits[row] <= ends
        rows.append(row)
        numbers.append(np.where(whole, table.number[row], 1) * reading)
        at = at + np.where(whole, table.bits[row], table.first[row]) * reading
    shape = (len(rows), len(at))
    return at, np.array(rows).reshape(shape), np.array(numbers).reshape(shape)
