"""Huffman codes against dahuffman and constriction, and a network's file against a second."""

import bz2
import lzma
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import brotli
import constriction
import numpy as np
import torch
import zstandard
from dahuffman.huffmancodec import HuffmanCodec
from torch import Tensor

from benchmarks.harness import Case
from reference_impl.coding import code_lengths, decode, encode
from reference_impl.compress import apply_masks, prunable_weights, read_network, write_huffman
from reference_impl.models import Network
from reference_impl.quantization import optimal_codebook
from reference_impl.training import load_checkpoint, magnitude_masks

SYMBOLS, N = 32, 10**6
TWENTY_TIMES, WITHIN_FIVE = 1 / 20, 5.0


def drawn() -> Tensor:
    """Return symbols of uneven frequency, about four bits each."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(SYMBOLS, generator=generator) ** 3
    return torch.multinomial(weights, N, replacement=True, generator=generator)


def shared() -> Network:
    """Return the shipped LeNet-5 with 8 % of its weights, which share 31 values a layer."""
    network = load_checkpoint("lenet5")
    apply_masks(network, magnitude_masks(network, 0.92))
    with torch.no_grad():
        for weight in prunable_weights(network).values():
            kept = weight != 0
            weight[kept] = optimal_codebook(weight[kept], 31).round_trip(weight[kept])
    return network


def peer_sizes(network: Network) -> dict[str, int]:
    """Return the bytes of a network's parameters in float32, raw and as general compressors pack.

    Each of them packs as tightly as it can.
    """
    raw = b"".join(p.detach().numpy().tobytes() for p in network.parameters())
    ways: dict[str, Callable[[bytes], bytes]] = {
        "raw": bytes,
        "zlib": partial(zlib.compress, level=9),
        "bz2": bz2.compress,
        "lzma": partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME),
        "zstandard": zstandard.ZstdCompressor(level=22).compress,
        "brotli": brotli.compress,
    }
    return {name: len(way(raw)) for name, way in ways.items()}


def cases() -> Iterator[Case]:
    """Yield the cases of chapter 19; constriction's peer is its range coder, which is compiled."""
    symbols = drawn()
    counts = torch.bincount(symbols, minlength=SYMBOLS)
    lengths = code_lengths(counts)
    data = encode(symbols, lengths)
    plain, narrow = symbols.tolist(), symbols.numpy().astype(np.int32)
    codec = HuffmanCodec.from_data(plain)
    theirs = codec.encode(plain)
    shares = (counts / counts.sum()).numpy()
    model = constriction.stream.model.Categorical(shares, perfect=False)

    def range_encoded() -> Any:
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(narrow, model)
        return encoder.get_compressed()

    words = range_encoded()

    def range_decoded() -> Any:
        return constriction.stream.queue.RangeDecoder(words).decode(model, N)

    encoding, decoding = (f"Huffman {what} of {N:,} symbols" for what in ("encoding", "decoding"))

    def ours() -> bytes:
        return encode(symbols, lengths)

    def read() -> Tensor:
        return decode(data, N, lengths)

    rust = "constriction's range coder (Rust)"
    yield Case(encoding, "dahuffman", TWENTY_TIMES, ours, lambda: codec.encode(plain), rounds=9)
    yield Case(encoding, rust, WITHIN_FIVE, ours, range_encoded)
    yield Case(decoding, "dahuffman", TWENTY_TIMES, read, lambda: codec.decode(theirs), rounds=5)
    yield Case(decoding, rust, WITHIN_FIVE, read, range_decoded)
    network = shared()
    yield Case(
        "writing and reading LeNet-5's file",
        "a second of sleep",
        1.0,
        lambda: read_network(write_huffman(network).data),
        lambda: time.sleep(1),
        rounds=3,
    )
