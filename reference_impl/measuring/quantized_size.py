"""How much room a quantized tensor takes: its codes, and the scales and zero points beside them."""

from reference_impl.checks import require_instance, require_int
from reference_impl.measuring.size import Size
from reference_impl.quantization import AffineQuantizer

SCALE_BITS = 16
"""Of a scale stored in half precision."""


def quantized_size(
    quantizer: AffineQuantizer, n_values: int, *, scale_bits: int = SCALE_BITS
) -> Size:
    """Return the bits N b + G (b_s + b) of N codes and of the G scales and zero points for them.

    Zero points that are all 0, as those of a symmetric quantizer, need not be stored:
    N b + G b_s. For each value that is b + b_s/g with g = N/G values in a group.

    >>> import torch
    >>> from reference_impl.quantization.affine import symmetric_from_range
    >>> from reference_impl.quantization.grid import IntegerGrid
    >>> end = torch.ones(8, 1)
    >>> quantizer = symmetric_from_range(-end, end, IntegerGrid(4, signed=True))
    >>> quantized_size(quantizer, 8 * 32).bits / (8 * 32)
    4.5

    Args:
        quantizer: of the tensor.
        n_values: N, the number of its elements, at least one for each scale.
        scale_bits: b_s, the width in which a scale is stored.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``n_values`` is below the number of scales or no multiple of it, or
            ``scale_bits`` is outside 1 … 64.

    Equation: eq-affine-size, chapter 03.
    """
    require_instance("quantizer", quantizer, AffineQuantizer)
    n_scales = quantizer.scale.numel()
    n_values = require_int("n_values", n_values, n_scales)
    if n_values % n_scales:
        raise ValueError(f"n_values must be a multiple of the {n_scales} scales, got {n_values}")
    scale_bits = require_int("scale_bits", scale_bits, 1, 64)
    b = quantizer.grid.bits
    return Size(
        {
            "codes": n_values * b,
            "scales": n_scales * scale_bits,
            "zero points": n_scales * b if quantizer.zero_point.any() else 0,
        }
    )
