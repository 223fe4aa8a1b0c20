"""The integers of b bits against their closed forms and torch's own types."""

import dataclasses

import numpy as np
import pytest
import torch

from reference_impl.quantization import IntegerGrid
from reference_impl.quantization.grid import MAX_BITS


@pytest.mark.equation("eq-affine-grid")
@pytest.mark.parametrize("bits", range(2, MAX_BITS + 1))
def test_the_ends_are_those_of_b_bits_and_of_twos_complement(bits):
    """Oracle: the bytes 00…0, 01…1, 10…0 and 11…1 read by int.from_bytes; the narrow's symmetry."""
    patterns = [0, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1]
    left = [(pattern << (32 - bits)).to_bytes(4, "big") for pattern in patterns]
    unsigned, full = IntegerGrid(bits), IntegerGrid(bits, signed=True)
    narrow = IntegerGrid(bits, signed=True, narrow=True)
    for grid in (unsigned, full):
        codes = [int.from_bytes(x, "big", signed=grid.signed) >> (32 - bits) for x in left]
        assert (grid.q_min, grid.q_max) == (min(codes), max(codes))
        assert grid.steps == 2**bits - 1
    assert (narrow.q_min, narrow.q_max, narrow.steps) == (-full.q_max, full.q_max, full.steps - 1)
    assert (IntegerGrid(1).q_min, IntegerGrid(1).q_max, IntegerGrid(1).steps) == (0, 1, 1)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(2, MAX_BITS + 1))
def test_the_type_is_the_smallest_that_holds_every_code(bits, signed):
    """Oracle: numpy.min_scalar_type of both ends, without the 16-bit unsigned type."""
    grid = IntegerGrid(bits, signed=signed)
    smallest = np.promote_types(np.min_scalar_type(grid.q_min), np.min_scalar_type(grid.q_max))
    expected = {"uint16": "int16" if bits < 16 else "int32"}.get(smallest.name, smallest.name)
    if signed:
        expected = "int8" if bits <= 8 else "int16"
    assert str(grid.dtype) == f"torch.{expected}"


def test_grids_are_values():
    """Oracle: equality and hash of equal fields; a frozen dataclass refuses assignment."""
    assert IntegerGrid(np.int8(4), signed=True) == IntegerGrid(4, signed=True)
    assert len({IntegerGrid(4), IntegerGrid(4), IntegerGrid(4, signed=True)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        IntegerGrid(4).bits = 5


def test_codes_of_the_grid_pass_in_every_integer_type():
    """Oracle: the grid's own ends, in the types that hold them."""
    grid = IntegerGrid(7)
    for kind in (torch.int8, torch.uint8, torch.int16, torch.int64, torch.uint16, torch.uint32):
        grid.require_codes("q", torch.tensor([0, 127]).to(kind))
