"""Min–max rounding against torch's fused fake-quantize."""

from collections.abc import Iterator

import torch

from benchmarks.harness import Case
from reference_impl.quantization.rounding import min_max_quantizer


def cases() -> Iterator[Case]:
    """Yield the cases of chapter 02."""
    x = torch.randn(4096, 4096, generator=torch.Generator().manual_seed(0))
    quantizer = min_max_quantizer(x, bits=8)
    zero_point = round(-quantizer.low / quantizer.step)

    def torchs() -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, quantizer.step, zero_point, 0, 255)

    peer = "torch.fake_quantize_per_tensor_affine"
    yield Case("min-max round trip, 4096²", peer, 2.0, lambda: quantizer.round_trip(x), torchs)
    yield Case(
        "min-max quantize to int32, then dequantize, 4096²",
        peer,
        2.0,
        lambda: quantizer.dequantize(quantizer.quantize(x)),
        torchs,
    )
