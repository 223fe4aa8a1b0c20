"""Huffman codes against other implementations, brute force and Shannon's bounds."""

import itertools
import math

import bitarray
import bitarray.util
import constriction
import dahuffman
import numpy as np
import pytest
import torch
from draws import generator, integers
from hypothesis import given
from hypothesis import strategies as st

from reference_impl import coding

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=60).filter(any)


@pytest.mark.equation("eq-coding-huffman")
@given(COUNTS)
def test_codes_are_as_short_as_those_of_another_implementation(counts):
    """Oracle: ``bitarray.util.huffman_code``."""
    lengths = coding.code_lengths(torch.tensor(counts))
    used = {i: count for i, count in enumerate(counts) if count}
    other = {i: len(code) for i, code in bitarray.util.huffman_code(used).items()}
    if max(other.values()) <= 15:
        assert sum(used[i] * other[i] for i in used) == (torch.tensor(counts) * lengths).sum()
    assert [i for i, length in enumerate(lengths.tolist()) if length] == list(used)


@pytest.mark.equation("eq-coding-entropy", "eq-coding-length", "eq-coding-huffman")
@given(COUNTS.filter(lambda counts: sum(map(bool, counts)) > 1))
def test_the_mean_length_is_less_than_a_bit_above_the_entropy(counts):
    """Oracle: Shannon's bounds H ≤ L < H + 1; H by ``math.fsum``."""
    found = torch.tensor(counts)
    p = [count / sum(counts) for count in counts if count]
    entropy = math.fsum(-x * math.log2(x) for x in p)
    assert coding.entropy(found) == pytest.approx(entropy, abs=1e-9)
    length = coding.mean_length(found, coding.code_lengths(found))
    assert entropy - 1e-9 <= length < entropy + 1


@pytest.mark.equation("eq-coding-huffman")
@pytest.mark.parametrize("counts", [[5, 3, 2, 1], [1, 1, 1, 1], [9, 1, 1, 4], [2, 7, 1, 8]])
def test_no_prefix_code_is_shorter(counts):
    """Oracle: all lengths up to 4 with Σ 2^−length ≤ 1."""
    codes = itertools.product(range(1, 5), repeat=len(counts))
    allowed = (code for code in codes if sum(2.0**-length for length in code) <= 1)
    least = min(sum(np.multiply(code, counts)) for code in allowed)
    assert (coding.code_lengths(torch.tensor(counts)) * torch.tensor(counts)).sum() == least


def test_a_code_is_at_most_15_bits_long_and_nearly_as_good():
    """Oracle: the entropy of counts whose best code has 30 bits."""
    counts = torch.tensor([1, *(2**i for i in range(31))])
    lengths = coding.code_lengths(counts)
    assert lengths.max() == 15
    assert coding.mean_length(counts, lengths) < coding.entropy(counts) + 0.01


@pytest.mark.equation("eq-coding-canonical")
@given(COUNTS, st.integers(0, 2**31))
def test_lengths_are_enough_to_read_the_codes(counts, seed):
    """Oracle: ``bitarray.util.canonical_decode``, which is given the lengths and no codes."""
    lengths = coding.code_lengths(torch.tensor(counts))
    used = lengths.nonzero().ravel()
    symbols = used[torch.randint(len(used), (200,), generator=generator(seed))]
    codes = coding.canonical_codes(lengths)[symbols].tolist()
    written = zip(codes, lengths[symbols].tolist(), strict=True)
    bits = bitarray.bitarray("".join(format(code, f"0{length}b") for code, length in written))
    in_order = sorted(used.tolist(), key=lambda i: (int(lengths[i]), i))
    n_of_length = torch.bincount(lengths[used]).tolist()
    read = bitarray.util.canonical_decode(bits, n_of_length, in_order)
    assert list(read) == symbols.tolist()


def drawn(n_symbols: int, n: int, power: int, seed: int) -> torch.Tensor:
    p = torch.rand(n_symbols, generator=generator(seed)) ** power + 1e-9
    return torch.multinomial(p, n, replacement=True, generator=generator(seed))


@given(st.integers(1, 256), st.integers(1, 4000), st.integers(1, 30), st.integers(0, 2**31))
def test_what_is_written_is_read(n_symbols, n, power, seed):
    """Oracle: the symbols."""
    symbols = drawn(n_symbols, n, power, seed)
    lengths = coding.code_lengths(torch.bincount(symbols, minlength=n_symbols))
    data = coding.encode(symbols, lengths)
    assert len(data) == -(-int(lengths[symbols].sum()) // 8)
    assert torch.equal(coding.decode(data, n, lengths), symbols)


@given(st.integers(2, 40), st.integers(1, 2000), st.integers(0, 2**31))
def test_bits_are_those_of_the_codes_one_after_the_other(n_symbols, n, seed):
    """Oracle: ``bitarray`` encodes and decodes with the same codes."""
    symbols = drawn(n_symbols, n, 4, seed)
    lengths = coding.code_lengths(torch.bincount(symbols, minlength=n_symbols))
    codes = coding.canonical_codes(lengths)
    table = {
        i: bitarray.bitarray(format(int(code), f"0{length}b"))
        for i, (code, length) in enumerate(zip(codes, lengths.tolist(), strict=True))
        if length
    }
    bits = bitarray.bitarray()
    bits.encode(table, symbols.tolist())
    assert coding.encode(symbols, lengths) == bits.tobytes()
    assert coding.decode(bits.tobytes(), n, lengths).tolist() == list(bits.decode(table))[:n]


def test_sizes_are_those_of_other_coders():
    """Oracle: ``dahuffman``, which adds a symbol for the end, and ``constriction``."""
    symbols = drawn(32, 20_000, 3, seed=1)
    counts = torch.bincount(symbols, minlength=32)
    bits = int(coding.mean_length(counts, coding.code_lengths(counts)) * len(symbols) + 0.5)
    theirs = dahuffman.HuffmanCodec.from_data(symbols.tolist()).encode(symbols.tolist())
    assert -(-bits // 8) <= len(theirs) <= bits / 8 + 60
    tree = constriction.symbol.huffman.EncoderHuffmanTree((counts + 0.0).numpy())
    queue = constriction.symbol.QueueEncoder()
    for symbol in symbols.tolist():
        queue.encode_symbol(symbol, tree)
    assert bits <= queue.get_compressed()[1] <= 1.001 * bits


def test_lanes_that_never_fall_into_step_are_read_again():
    """Oracle: the symbols; codes of 2 and 3 bits where a lane begins between two codes."""
    lengths = torch.tensor([2, 2, 2, 3, 3])
    symbols = integers(0, 4, 100_000, seed=3)
    assert torch.equal(
        coding.decode(coding.encode(symbols, lengths), len(symbols), lengths), symbols
    )
    same = torch.full((50_000,), 4)  # 111 111 …: a reader that begins wrong stays wrong
    assert torch.equal(coding.decode(coding.encode(same, lengths), len(same), lengths), same)
