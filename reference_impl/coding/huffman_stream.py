"""The bits of Huffman codes, written and read many at a time.

Reading is a chain: where a code begins is known once the one before it has been read. But a reader
that starts at a wrong bit soon falls into step with the right chain: prefix codes synchronize
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
ROUNDS = 3
"""So many times lanes are read again before each is read from every bit."""
WINDOW = 12
"""Bits that are looked up at once, at least; they hold several short codes."""
PART = 2**16
"""Symbols that are written at once: what is computed for them fits into a processor's cache."""
ONE, WORD = np.uint64(1), np.uint64(64)
NO_CODE = 64
"""Bits of a symbol that has no code; two codes have at most 30."""
Ints = NDArray[np.int64]
Narrow = NDArray[np.int32]
Words = NDArray[np.uint64]


@checked
def encode(symbols: Integer[Tensor, " n"], lengths: Lengths) -> bytes:
    """Return the codes of the symbols one after the other, filled up with zeros to whole bytes.

    Two codes are looked up at once. Then neighbours are joined, as long as they fit into a word.

    >>> encode(torch.tensor([4, 4, 0, 3]), torch.tensor([2, 3, 0, 3, 1])).hex()  # 0 0 10 111
    '2e'

    Raises:
        ValueError: if a symbol has no code.
    """
    code, bits = np.zeros(256, np.uint64), np.full(256, NO_CODE, np.uint64)
    code[: len(lengths)] = canonical_codes(lengths).numpy()
    bits[: len(lengths)] = torch.where(lengths > 0, lengths, NO_CODE).numpy()
    second_first = (code << bits[:, None] | code[:, None]) << np.uint64(8) | bits[:, None] + bits
    low, high = symbols.aminmax()
    narrow, n_more = symbols.numpy().astype(np.uint8), -len(symbols) % 8
    filled = np.append(narrow, narrow[:1].repeat(n_more))  # with bits that are cut off again
    words, end = np.zeros(len(filled) // 4 + 2, np.uint64), 0
    for some in np.split(filled, range(PART, len(filled), PART)):
        pairs = second_first.ravel().take(some.view("<u2"))
        codes, n_bits = pairs >> np.uint64(8), pairs & np.uint64(255)
        if low < 0 or high > 255 or n_bits.max() >= NO_CODE:
            known = f"the {len(lengths)} lengths that have a code"
            raise ValueError(f"symbols must be those of {known}, got {int(low)} to {int(high)}")
        while len(n_bits) % 2 == 0 and (joined := n_bits[::2] + n_bits[1::2]).max() < WORD:
            codes, n_bits = codes[::2] << n_bits[1::2] | codes[1::2], joined
        packed = _packed(codes, n_bits, end % 64)
        words[end // 64 :][: len(packed)] |= packed
        end += int(n_bits.sum())
    end -= n_more * int(bits[filled[0]])
    data = words[: -(-end // 64)].astype(">u8").view(np.uint8)[: -(-end // 8)]
    data[-1] &= 256 - (1 << -end % 8)
    return data.tobytes()


def _packed(codes: Words, lengths: Words, begin: int) -> Words:
    """Return words with the codes, of 1 to 63 bits, one after the other from a bit of the first on.

    One or more begin in each word. NumPy shifts by 64 bits or more to 0; so it does by 64 − n, an
    unsigned number, if n is above 64.
    """
    begins = np.cumsum(lengths) - lengths + np.uint64(begin)
    left = WORD - (begins & (WORD - ONE)) - lengths  # bits below the code in its word
    begun = codes << left | codes >> -left
    word = begins >> np.uint64(6)
    first = np.append(0, np.flatnonzero(word[1:] != word[:-1]) + 1)
    words = np.append(np.bitwise_or.reduceat(begun, first), np.uint64(0))
    last = np.append(first[1:], len(codes)) - 1  # of a word; its end may be in the next one
    words[1:] |= codes[last] << (left[last] + WORD)
    return words


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
    rounds = 0
    while len(wrong := 1 + np.flatnonzero(reached[:-1] != starts[1:])):
        exact = np.append(0, reached[:-1])
        if (rounds := rounds + 1) > ROUNDS:
            exact = _chained(words, table, begins, ends)
            wrong = np.flatnonzero(exact != starts)
        starts[wrong] = exact[wrong]
        reached[wrong], again, how_many = _read(words, table, starts[wrong], ends[wrong])
        more = ((0, max(len(again) - len(rows), 0)), (0, 0))
        rows, numbers = np.pad(rows, more), np.pad(numbers, more)
        numbers[:, wrong] = 0
        rows[: len(again), wrong], numbers[: len(again), wrong] = again, how_many
    numbers, rows = numbers.T.ravel(), rows.T.ravel()
    if numbers.sum() < n:
        raise ValueError(f"data must hold {n} codes, got {numbers.sum()}")
    places = np.repeat(rows * table.most - np.cumsum(numbers) + numbers, numbers)[:n]
    places += np.arange(n)
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
    code = np.searchsorted(begins, window, side="right") - 1  # with which a window begins
    first = of_code[code]
    symbols: list[Ints] = []
    while live.any():
        i = code[(window << bits) % 2**peek]
        live &= bits + of_code[i] <= peek
        symbols.append(order[i])
        bits, number = bits + live * of_code[i], number + live
    step = int(np.gcd.reduce(of_code[:-1]))
    return _Table(peek, step, len(symbols), bits, number, first, np.stack(symbols, 1).ravel())


def _words(data: bytes) -> Ints:
    """Return, for each byte, the number that it and the four after it are."""
    raw = np.frombuffer(data + bytes(8), np.uint8)
    words = np.zeros(len(raw) - 4, np.int64)
    for i in range(5):
        words <<= 8
        words |= raw[i : len(raw) - 4 + i]
    return words


def _chained(words: Ints, table: _Table, begins: Ints, ends: Ints) -> Ints:
    """Return where each lane's first code begins, also of codes that never fall into step.

    Each lane is read from each bit on which its first code may begin; then a walk over the lanes
    picks the right ones: so the time is linear in the number of lanes.
    """
    longest = int(table.first.max())
    arrive = np.stack(
        [_read(words, table, begins + k, ends, keep=False)[0] for k in range(longest)], axis=1
    )
    starts = np.zeros_like(begins)
    for k in range(1, len(begins)):
        starts[k] = arrive[k - 1, starts[k - 1] - begins[k - 1]]
    return starts


def _read(
    words: Ints, table: _Table, at: Ints, ends: Ints, *, keep: bool = True
) -> tuple[Ints, Narrow, Narrow]:
    """Read all lanes from these bits to their ends; return where they arrive, rows and numbers."""
    rows: list[Narrow] = []  # there are many: half the memory, and the time for it
    numbers: list[Narrow] = []
    while (reading := at < ends).any():
        row = words[at >> 3] >> (40 - table.peek - (at & 7)) & (2**table.peek - 1)
        whole = at + table.bits[row] <= ends
        if keep:
            rows.append(row.astype(np.int32))
            numbers.append((np.where(whole, table.number[row], 1) * reading).astype(np.int32))
        at = at + np.where(whole, table.bits[row], table.first[row]) * reading
    shape = (len(rows), len(at))
    return at, np.array(rows).reshape(shape), np.array(numbers).reshape(shape)
