"""Min–max rounding and affine quantizers against torch's fused kernels."""

import warnings
from collections.abc import Iterator
from itertools import chain

import torch

from benchmarks.harness import Case
from reference_impl.quantization import (
    IntegerGrid,
    min_max_quantizer,
    min_max_range,
    symmetric_from_range,
)


def matrix() -> torch.Tensor:
    """Return 4096² standard normal numbers."""
    return torch.randn(4096, 4096, generator=torch.Generator().manual_seed(0))


def cases() -> Iterator[Case]:
    """Yield the cases of chapters 02 and 03."""
    return chain(min_max_cases(), affine_cases())


def min_max_cases() -> Iterator[Case]:
    """Yield the cases of chapter 02."""
    x = matrix()
    quantizer = min_max_quantizer(x, bits=8)
    zero_point = round(-quantizer.low / quantizer.step)

    def torchs() -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, quantizer.step, zero_point, 0, 255)

    peer = "torch.fake_quantize_per_tensor_affine"
    yield Case("min-max round trip, 4096²", peer, 2.0, lambda: quantizer.round_trip(x), torchs)
    name = "min-max quantize to int32, then dequantize, 4096²"
    yield Case(name, peer, 2.0, lambda: quantizer.dequantize(quantizer.quantize(x)), torchs)


def affine_cases() -> Iterator[Case]:
    """Yield the cases of chapter 03: one scale for each of 4096 channels, codes in int8."""
    x = matrix()
    grid = IntegerGrid(8, signed=True)
    quantizer = symmetric_from_range(*min_max_range(x, axes=0), grid)
    scale, zero_point = quantizer.scale.flatten(), quantizer.zero_point.flatten()

    def fused() -> torch.Tensor:
        return torch.fake_quantize_per_channel_affine(
            x, scale, zero_point, 0, grid.q_min, grid.q_max
        )

    def codes() -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quantized tensors are deprecated: here a peer only
            return torch.quantize_per_channel(
                x, scale.double(), zero_point.long(), 0, torch.qint8
            ).int_repr()

    peer = "torch.fake_quantize_per_channel_affine"
    yield Case("round trip per channel, 4096²", peer, 2.0, lambda: quantizer.round_trip(x), fused)
    name = "quantize to int8 per channel, then dequantize, 4096²"
    yield Case(name, peer, 2.0, lambda: quantizer.dequantize(quantizer.quantize(x)), fused)
    peer = "torch.quantize_per_channel"
    name = "quantize to int8 per channel, 4096²"
    yield Case(name, peer, 2.0, lambda: quantizer.quantize(x), codes)
