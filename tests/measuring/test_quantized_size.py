"""The size of a quantized tensor against counts by hand and packed bytes."""

import pytest
import torch

from reference_impl.measuring import quantized_size
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    min_max_range,
    split_groups,
    symmetric_from_range,
)

WEIGHT = torch.randn(300, 784, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("view", "axes", "scales"),
    [
        (WEIGHT, (), 1),
        (WEIGHT, 0, 300),
        (split_groups(WEIGHT, 28), (0, 1), 300 * 28),
        (split_groups(WEIGHT, 8), (0, 1), 300 * 98),
    ],
)
def test_codes_scales_and_zero_points_are_counted(view, axes, scales) -> None:
    """Oracle: the counts, by hand: 235,200 codes of 4 bits, scales of 16.

    Equation: eq-affine-size.
    """
    low, high = min_max_range(view, axes)
    symmetric = symmetric_from_range(low, high, IntegerGrid(4, signed=True))
    affine = affine_from_range(low, high, IntegerGrid(4))
    assert dict(quantized_size(symmetric, 235_200).items) == {
        "codes": 940_800,
        "scales": 16 * scales,
        "zero points": 0,
    }
    assert quantized_size(affine, 235_200).bits == 940_800 + 20 * scales


@pytest.mark.parametrize("size", [1, 4, 8, 28, 784])
def test_a_group_of_g_adds_16_over_g_bits_to_each_value(size: int) -> None:
    """Oracle: the closed form b + 16/g."""
    low, high = min_max_range(split_groups(WEIGHT, size), (0, 1))
    quantizer = symmetric_from_range(low, high, IntegerGrid(3, signed=True))
    assert quantized_size(quantizer, 235_200).bits / 235_200 == pytest.approx(3 + 16 / size)


def test_packed_bytes_have_that_size() -> None:
    """Oracle: NumPy packs the codes' bits, and half-precision scales have two bytes each."""
    import numpy as np

    quantizer = symmetric_from_range(*min_max_range(WEIGHT, 0), IntegerGrid(5, signed=True))
    codes = (quantizer.quantize(WEIGHT).int() + 16).numpy().astype(np.uint8)
    bits = np.unpackbits(codes.reshape(-1, 1), axis=1)[:, -5:]
    packed = np.packbits(bits).nbytes + quantizer.scale.half().numpy().nbytes
    assert quantized_size(quantizer, 235_200).bytes == packed


def test_scales_of_another_width_are_counted_as_such() -> None:
    """Oracle: by hand."""
    quantizer = symmetric_from_range(*min_max_range(WEIGHT, 0), IntegerGrid(5, signed=True))
    assert quantized_size(quantizer, 235_200, scale_bits=32).items["scales"] == 9600


GOOD = symmetric_from_range(*min_max_range(WEIGHT, 0), IntegerGrid(5, signed=True))
BAD = {
    "no quantizer": (
        lambda: quantized_size(8, 10),
        TypeError,
        "quantizer must be AffineQuantizer, got int 8",
    ),
    "fewer values than scales": (
        lambda: quantized_size(GOOD, 299),
        ValueError,
        "n_values must be at least 300, got 299",
    ),
    "no multiple": (
        lambda: quantized_size(GOOD, 301),
        ValueError,
        "n_values must be a multiple of the 300 scales, got 301",
    ),
    "a fraction": (lambda: quantized_size(GOOD, 300.0), TypeError, "n_values must be an integer"),
    "scales of no bits": (
        lambda: quantized_size(GOOD, 300, scale_bits=0),
        ValueError,
        r"scale_bits must be in \[1, 64\], got 0",
    ),
    "scales of half a bit": (
        lambda: quantized_size(GOOD, 300, scale_bits=0.5),
        TypeError,
        "scale_bits must be an integer",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
