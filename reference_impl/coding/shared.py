"""Tensors of shared weights as Deep Compression writes them: codebook, relative indices, Huffman.

A tensor begins with K, how many values it has that are not zero. 0: the weights follow as they are,
in float32. Otherwise there follow the bits of an index and the number of entries; if there are any,
the codebook, K times float32; and for gaps and for values the lengths of their codes, half a byte
each, the number of bytes, and the codes. The first code of the values is that of fillers.
"""

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from reference_impl.checked import FromZero, checked
from reference_impl.coding.cursor import Cursor, number_bytes
from reference_impl.coding.huffman import code_lengths
from reference_impl.coding.huffman_stream import decode, encode
from reference_impl.coding.relative_index import positions, relative_indices

MOST = 255
"""No codebook has more values."""
Parts = list[tuple[str, bytes]]
"""Of a file: what the bytes are, and the bytes."""


@checked
def write_shared(weights: Float32[Tensor, " n"]) -> Parts:
    """Return the bytes for the weights, with the index bits that need the fewest.

    Weights with more than 255 values, or whose values take less room as they are, stay as they are.
    """
    as_they_are = [("float32", b"\0" + weights.numpy().astype("<f4").tobytes())]
    values, codes = torch.unique(weights[weights != 0], return_inverse=True)
    if len(values) > MOST:
        return as_they_are
    ways = (_with_indices(weights != 0, values, codes, bits) for bits in range(1, 9))
    return min(as_they_are, *ways, key=lambda parts: sum(len(data) for _, data in parts))


@checked
def read_shared(file: Cursor, n: FromZero) -> Float32[Tensor, " n"]:
    """Return n weights that `write_shared` has written.

    Raises:
        ValueError: if the bytes are not n such weights.
    """
    (n_values,) = file.take(1)
    if n_values == 0:
        return torch.from_numpy(np.frombuffer(file.take(4 * n), "<f4").copy())
    (bits,), entries = file.take(1), file.number()
    if not 1 <= bits <= 8 or entries > n:
        raise ValueError(f"file must have 0 to {n} entries of 1 to 8 bits, got {entries}, {bits}")
    weights = torch.zeros(n)
    if entries == 0:
        return weights
    values = np.frombuffer(b"\0\0\0\0" + file.take(4 * n_values), "<f4")
    at = positions(_read_codes(file, entries, 2**bits))
    if at[-1] >= n:
        raise ValueError(f"file must have entries within {n} weights, got one at {int(at[-1])}")
    codes = _read_codes(file, entries, n_values + 1)
    weights[at] = torch.from_numpy(values[codes.numpy()])  # a tensor of one code would be a number
    return weights


def _with_indices(
    kept: Tensor, values: Float32[Tensor, " values"], codes: Int64[Tensor, " kept"], bits: int
) -> Parts:
    gaps, holds = relative_indices(kept, bits)
    symbols = torch.zeros_like(gaps).masked_scatter(holds, codes + 1)
    size = bytes([max(len(values), 1), bits]) + number_bytes(len(gaps))
    if len(gaps) == 0:
        return [("counts", size)]
    parts = [("counts", size), ("codebooks", values.numpy().tobytes())]
    for what, numbers, n in (("indices", gaps, 2**bits), ("weights", symbols, len(values) + 1)):
        lengths = code_lengths(torch.bincount(numbers, minlength=n))
        pairs = np.append(lengths.numpy(), [0] * (n % 2)).astype(np.uint8)
        coded = encode(numbers, lengths)
        parts.append(("code tables", (pairs[::2] << 4 | pairs[1::2]).tobytes()))
        parts += [("counts", number_bytes(len(coded))), (what, coded)]
    return parts


def _read_codes(file: Cursor, entries: int, n: int) -> Int64[Tensor, " entries"]:
    pairs = np.frombuffer(file.take((n + 1) // 2), np.uint8)
    lengths = np.stack([pairs >> 4, pairs & 15], axis=1).ravel()[:n].astype(np.int64)
    if (size := file.number()) > 2 * entries:  # a code has at most 15 bits
        raise ValueError(f"file must have at most {2 * entries} bytes of codes, got {size}")
    return decode(file.take(size), entries, torch.from_numpy(lengths))
