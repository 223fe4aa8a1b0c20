"""Fixed-point multipliers and requantization against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from draws import integers
from hypothesis import example, given
from hypothesis import strategies as st

from reference_impl.quantization import (
    FixedPointMultiplier,
    IntegerGrid,
    fixed_point,
    requantize,
    rescale,
)

SUMS = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20)


def fraction(significand, shift):
    """Return M = 2^−n m / 2^31, exact."""
    return Fraction(significand, 2**31) / Fraction(2) ** shift


def int32(values):
    return torch.tensor(values, dtype=torch.int32)


@pytest.mark.equation("eq-integer-shift")
@given(a=SUMS, significand=st.integers(2**30, 2**31 - 1), shift=st.integers(-30, 60))
@example(a=[-5, -3, -1, 1, 3, 5], significand=2**30, shift=0)  # all are ties
def test_rescaling_is_exact_rational_arithmetic(a, significand, shift):
    """Oracle: Python's fractions; round() of a fraction sends ties to the even neighbour."""
    exact = [round(value * fraction(significand, shift)) for value in a]
    m = FixedPointMultiplier(torch.tensor(significand), torch.tensor(shift))
    assert rescale(int32(a), m).tolist() == exact


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("one", [(), (1,)], ids=str)
def test_the_result_has_the_shape_of_the_accumulators(one, shape):
    """Oracle: the shapes, and 7/4 and 7 · 2^−40 by hand; a number stays one without an axis."""
    a = torch.full(shape, 7, dtype=torch.int32)
    for value, expected in ((0.25, 2), (2.0**-40, 0)):
        m = fixed_point(torch.full(one, value))
        for result in (rescale(a, m), requantize(a, m, IntegerGrid(8), 0)):
            assert result.shape == shape
            assert (result == expected).all()


@pytest.mark.equation("eq-integer-multiplier")
@given(value=st.floats(1e-40, 2.0**29), bits=st.integers(1, 31))
@example(value=1 - 2.0**-40, bits=31)  # is rounded up to 1, whose M_0 is ½ again
def test_the_multiplier_is_within_a_part_in_two_to_its_bits(value, bits):
    """Oracle: the definition: ½ ≤ M_0 < 1, a multiple of 2^−bits, off by at most 2^−bits of it."""
    given = torch.tensor(value, dtype=torch.float64)
    for m, b in ((fixed_point(given, bits), bits), (fixed_point(given), 31)):
        assert 2**30 <= m.significand.item() < 2**31
        assert m.significand.item() % 2 ** (31 - b) == 0
        exact = fraction(int(m.significand), int(m.shift))
        assert abs(exact / Fraction(value) - 1) <= Fraction(1, 2**b)
        assert (m.value.item(), m.value.dtype) == (float(exact), torch.float64)
        assert m.significand.dtype == m.shift.dtype == torch.int32


GRIDS = st.builds(IntegerGrid, st.integers(2, 8), signed=st.booleans())


@pytest.mark.equation("eq-integer-requantize", "eq-integer-relu")
@given(a=SUMS, value=st.floats(1e-6, 3.0), grid=GRIDS, relu=st.booleans(), data=st.data())
def test_requantizing_clips_and_moves_by_the_zero_point(a, value, grid, relu, data):
    """Oracle: Python's fractions, min and max."""
    zero = data.draw(st.integers(grid.q_min, grid.q_max))
    m = fixed_point(torch.tensor(value, dtype=torch.float64))
    exact = fraction(int(m.significand), int(m.shift))
    low = zero if relu else grid.q_min
    expected = [min(max(round(x * exact) + zero, low), grid.q_max) for x in a]
    codes = requantize(int32(a), m, grid, zero, relu=relu)
    assert codes.tolist() == expected
    assert codes.dtype == grid.dtype


def test_one_multiplier_for_each_entry_of_the_last_axis():
    """Oracle: each column alone, in two and in three axes."""
    a = integers(-9999, 9999, 2, 5, 3).int()
    values = torch.tensor([0.01, 0.3, 2.0])
    columns = [rescale(a[..., j], fixed_point(values[j])) for j in range(3)]
    assert torch.equal(rescale(a, fixed_point(values)), torch.stack(columns, dim=-1))
    assert torch.equal(rescale(a[0], fixed_point(values)), torch.stack(columns, dim=-1)[0])
    assert torch.equal(rescale(a, fixed_point(values[:1])), rescale(a, fixed_point(values[0])))


def test_inputs_are_left_as_they_were_and_multipliers_keep_copies():
    """Oracle: copies made before; the inner arithmetic works in place."""
    a, significand, shift = int32([5, -7]), torch.tensor([2**30, 2**30]), torch.tensor([0, 1])
    m = FixedPointMultiplier(significand, shift)
    requantize(a, m, IntegerGrid(8), 3)
    significand[0], shift[0] = 0, 9
    assert a.tolist() == [5, -7]
    assert m.value.tolist() == [0.5, 0.25]


def test_a_multiplier_near_the_end_of_float64_rounds_everything_to_zero():
    """Oracle: 2^31 · 1e-300 is less than a half."""
    values = [1e-300, 2.0**-34, 2.0**-32, 0.99 * 2.0**-32, 0.99 * 2.0**-33]
    m = fixed_point(torch.tensor(values, dtype=torch.float64))
    ends = int32([[-(2**31)] * 5, [2**31 - 1] * 5])
    assert rescale(ends, m).tolist() == [[0] * 5, [0] * 5]
    np.testing.assert_allclose(m.value, values, rtol=2.0**-31)
