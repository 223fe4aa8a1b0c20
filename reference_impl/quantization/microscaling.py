"""Microscaling: short floating-point numbers in blocks, whose scales are short too."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from reference_impl.checked import Count, Finite, NonNegative, Values, checked, readable
from reference_impl.quantization.codebook import Reals
from reference_impl.quantization.formats import E2M1, E4M3, FloatFormat
from reference_impl.quantization.grid import Codes

_MOST = 127  # the exponents of E8M0 are −127 … 127; its last code is nan


@checked
@dataclass(frozen=True)
class ScaledBlocks:
    """A tensor in blocks: what is stored, and the values that it stands for."""

    values: Values
    """x̂, in the shape and the dtype of the tensor."""
    codes: Codes
    """One for each value, of the element format."""
    scales: Finite[Tensor, " blocks"]
    """One for each block: a power of two, or a number in E4M3."""
    tensor_scale: NonNegative = 1.0
    """A further factor of the whole tensor, a float32 number."""


@checked
def microscaling(
    x: Values, element: FloatFormat = E2M1, block: Count = 32, *, fits: bool = False
) -> ScaledBlocks:
    """Return blocks of g values that share a power of two, as in the OCP's MXFP4 to MXFP8.

    For the values x_i of one block, with the largest value v_max of the element format:

        s = 2^(⌊log₂ max |x_i|⌋ − ⌊log₂ v_max⌋),    x̂_i = s near(x_i / s),

    where near gives the nearest value of the format. What lies above v_max becomes v_max; with
    ``fits`` such a block has the scale 2 s instead, so that nothing does. The tensor is read row by
    row, the last block may be shorter. A block of zeros has the smallest scale, 2^−127.

    >>> microscaling(torch.tensor([0.3, -0.9, 2.0, 7.0]), block=4).values.tolist()
    [0.5, -1.0, 2.0, 6.0]

    Args:
        x: of any shape; finite.
        element: of the values; E2M1, E2M3, E3M2, E4M3 and E5M2 are those of the standard.
        block: g, 32 in the standard.
        fits: whether the scale is rounded up where the largest value would not fit.

    References: Open Compute Project 2023, "OCP Microscaling Formats (MX) Specification", v1.0,
    section 6.3; Rouhani et al. 2023, "Microscaling Data Formats for Deep Learning", algorithm 1.
    Equation: eq-format-exponent, eq-format-microscaling, chapter 06.
    """
    blocks = _split(x, block)
    largest = blocks.abs().amax(dim=1)
    top = math.floor(math.log2(element.largest))
    k = torch.frexp(largest).exponent - 1 - top  # largest = m 2^e with ½ ≤ m < 1
    if fits:
        k = k + (largest > torch.ldexp(torch.full_like(largest, element.largest), k))
    k = k.where(largest > 0, -_MOST).clamp(-_MOST, _MOST)
    scales = torch.ldexp(torch.ones_like(largest), k)
    return _scaled(x, blocks, replace(element, saturates=True), scales)


@checked
def nvfp4(x: Values, block: Count = 16) -> ScaledBlocks:
    """Return E2M1 in blocks of g values with scales in E4M3, and a float32 scale of the tensor.

    With 6 and 448, the largest values of E2M1 and E4M3, and for the values x_i of one block:

        s_tensor = max |x| / (6 · 448),    s = near(max |x_i| / (6 s_tensor)) in E4M3,
        x̂_i = s_tensor s near(x_i / (s_tensor s)) in E2M1,

    where near gives the nearest value of the format, beyond its largest value the largest. A block
    whose scale rounds to 0 becomes 0.

    >>> nvfp4(torch.tensor([2688.0, 900.0, -300.0])).values.tolist()
    [2688.0, 896.0, -224.0]

    Raises:
        ValueError: if the tensor's scale does not fit into a float32.

    References: NVIDIA 2025, "Pretraining Large Language Models with NVFP4", appendix C.
    Equation: eq-format-nvfp4, chapter 06.
    """
    blocks = _split(x, block)
    largest = blocks.abs().amax(dim=1)
    most = largest.max()
    tensor_scale = (most / (E2M1.largest * E4M3.largest)).float()
    if readable() and not (tensor_scale.isfinite() and (tensor_scale > 0) == (most > 0)):
        raise ValueError(f"x must have a scale in float32, got a largest magnitude of {most:.1e}")
    divisor = tensor_scale.double().where(most > 0, 1)
    scales = E4M3.round_trip(largest / E2M1.largest / divisor)
    return _scaled(x, blocks, E2M1, scales, float(tensor_scale))


def _split(x: Tensor, block: int) -> Float64[Tensor, "blocks size"]:
    """Return the blocks, read row by row; the last one is filled up with zeros."""
    flat = x.detach().double().flatten()
    size = min(block, flat.numel())
    return F.pad(flat, (0, -flat.numel() % size)).view(-1, size)


def _scaled(
    x: Reals, blocks: Tensor, element: FloatFormat, scales: Tensor, tensor_scale: float = 1.0
) -> ScaledBlocks:
    """Return the blocks, rounded in units of their scales times the tensor's."""
    units = (scales * tensor_scale)[:, None]
    codes = element.quantize(blocks / units.where(units > 0, 1))
    values = element.dequantize(codes, torch.float64) * units
    values, codes = (part.flatten()[: x.numel()].view(x.shape) for part in (values, codes))
    return ScaledBlocks(values.to(x.dtype), codes, scales, tensor_scale)
