"""The integers of b bits against their closed forms and torch's own types."""

import dataclasses

import numpy as np
import pytest
import torch

from reference_impl.quantization import IntegerGrid
from reference_impl.quantization.grid import MAX_BITS


@pytest.mark.parametrize("bits", range(1, MAX_BITS + 1))
def test_an_unsigned_grid_has_all_2_to_the_b_codes_from_0(bits: int) -> None:
    """Oracle: Python's range of 2^b integers."""
    grid = IntegerGrid(bits)
    codes = range(2**bits)
    assert (grid.q_min, grid.q_max, grid.steps) == (codes[0], codes[-1], len(codes) - 1)


@pytest.mark.parametrize("bits", range(2, MAX_BITS + 1))
def test_a_signed_grid_is_twos_complement(bits: int) -> None:
    """Oracle: the codes of b bits read in two's complement by int.from_bytes.

    Equation: eq-affine-grid.
    """
    codes = [
        int.from_bytes((pattern << (32 - bits)).to_bytes(4, "big"), "big", signed=True)
        >> (32 - bits)
        for pattern in (0, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1)
    ]
    grid = IntegerGrid(bits, signed=True)
    assert (grid.q_min, grid.q_max) == (min(codes), max(codes))
    assert grid.steps == 2**bits - 1


@pytest.mark.parametrize("bits", range(2, MAX_BITS + 1))
def test_a_narrow_grid_is_symmetric_and_one_code_smaller(bits: int) -> None:
    """Oracle: symmetry, and the full grid."""
    full, narrow = IntegerGrid(bits, signed=True), IntegerGrid(bits, signed=True, narrow=True)
    assert narrow.q_min == -narrow.q_max
    assert narrow.q_max == full.q_max
    assert narrow.steps == full.steps - 1


def test_eight_bits_are_torchs_int8_and_uint8() -> None:
    """Oracle: torch.iinfo."""
    for grid, kind in ((IntegerGrid(8, signed=True), torch.int8), (IntegerGrid(8), torch.uint8)):
        assert (grid.q_min, grid.q_max) == (torch.iinfo(kind).min, torch.iinfo(kind).max)
        assert grid.dtype == kind


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(2, MAX_BITS + 1))
def test_the_type_is_the_smallest_that_holds_every_code(bits: int, signed: bool) -> None:
    """Oracle: numpy.min_scalar_type of both ends, without the 16-bit unsigned type."""
    grid = IntegerGrid(bits, signed=signed)
    smallest = np.promote_types(np.min_scalar_type(grid.q_min), np.min_scalar_type(grid.q_max))
    expected = {"uint16": "int16" if bits < 16 else "int32"}.get(smallest.name, smallest.name)
    if signed:
        expected = "int8" if bits <= 8 else "int16"
    assert str(grid.dtype) == f"torch.{expected}"
    ends = torch.tensor([grid.q_min, grid.q_max])
    assert torch.equal(ends.to(grid.dtype).long(), ends)


def test_grids_are_values() -> None:
    """Oracle: equality and hash of equal fields; a frozen dataclass refuses assignment."""
    assert IntegerGrid(np.int8(4), signed=True) == IntegerGrid(4, signed=True)
    assert len({IntegerGrid(4), IntegerGrid(4), IntegerGrid(4, signed=True)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        IntegerGrid(4).bits = 5


def test_codes_of_the_grid_pass_in_every_integer_type() -> None:
    """Oracle: the grid's own ends, in the types that hold them."""
    grid = IntegerGrid(7)
    for kind in (torch.int8, torch.uint8, torch.int16, torch.int64, torch.uint16, torch.uint32):
        grid.require_codes("q", torch.tensor([0, 127]).to(kind))


BAD = {
    "17 bits": (lambda: IntegerGrid(17), ValueError, r"bits must be in \[1, 16\], got 17"),
    "one signed bit": (
        lambda: IntegerGrid(1, signed=True),
        ValueError,
        r"bits must be in \[2, 16\] for a signed grid, got 1",
    ),
    "true bits": (lambda: IntegerGrid(True), TypeError, "bits must be an integer, got True"),
    "signed 1": (lambda: IntegerGrid(8, signed=1), TypeError, "signed must be bool, got int 1"),
    "unsigned narrow": (
        lambda: IntegerGrid(8, narrow=True),
        ValueError,
        "narrow must be False for an unsigned grid",
    ),
    "code too large": (
        lambda: IntegerGrid(3).require_codes("q", torch.tensor([0, 8])),
        ValueError,
        r"q must hold codes in \[0, 7\], got 0 to 8",
    ),
    "code too small": (
        lambda: IntegerGrid(3, signed=True, narrow=True).require_codes("q", torch.tensor([-4])),
        ValueError,
        r"q must hold codes in \[-3, 3\], got -4 to -4",
    ),
    "16-bit unsigned code": (
        lambda: IntegerGrid(8).require_codes("q", torch.tensor([65535]).to(torch.uint16)),
        ValueError,
        r"q must hold codes in \[0, 255\], got 65535",
    ),
    "fractions": (
        lambda: IntegerGrid(8).require_codes("q", torch.tensor([0.5])),
        TypeError,
        "q must hold integers",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
