"""Ranges of a tensor and of its parts against loops, NumPy and torch's observer."""

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import min_max_range, split_groups
from reference_impl.quantization.ranges import part_means


@st.composite
def parts(draw):
    """Draw a tensor of 1 to 4 axes and some of its axes, counted from either end."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    x = normal(*shape, seed=draw(st.integers(0, 2**31)))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    return x, tuple(axis - draw(st.sampled_from([0, len(shape)])) for axis in axes)


@given(case=parts())
def test_the_range_is_numpys_in_every_dtype(case):
    """Oracle: numpy.min and numpy.max with keepdims; no or all axes included; no rounding."""
    x, axes = case
    others = tuple(i for i in range(x.ndim) if i not in {axis % x.ndim for axis in axes})
    low, high = min_max_range(x, axes)
    assert np.array_equal(low, x.numpy().min(axis=others, keepdims=True))
    assert np.array_equal(high, x.numpy().max(axis=others, keepdims=True))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        ends = min_max_range(x.to(dtype), axes)
        assert {end.dtype for end in ends} == {dtype}
        assert torch.equal(ends[0], low.to(dtype))


def test_a_scalar_is_its_own_range_in_memory_of_its_own():
    """Oracle: by hand; a range changed in place must not change x."""
    x = torch.tensor(2.5)
    low, high = min_max_range(x)
    low.fill_(-1), high.fill_(9)
    assert x.item() == 2.5


def test_part_means_are_the_means_of_the_parts():
    """Oracle: torch.mean, and x itself where every element is a part."""
    x = normal(3, 4, 5)
    torch.testing.assert_close(part_means(x, 0), x.mean((1, 2), keepdim=True))
    assert torch.equal(part_means(x, (0, 1, 2)), x)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 9, 18])
def test_groups_are_neighbouring_columns_and_never_cross_a_filter(size):
    """Oracle: slices of the flattened filters one by one; flatten is the way back."""
    weight = normal(4, 2, 3, 3)
    groups = split_groups(weight.flatten(1), size)
    assert groups.shape == (4, 18 // size, size)
    assert torch.equal(groups.flatten(-2), weight.flatten(1))
    low, high = min_max_range(groups, axes=(0, 1))
    assert low.shape == high.shape == (4, 18 // size, 1)
    for out in range(4):
        expected = [part.min().item() for part in weight[out].flatten().split(size)]
        assert low[out, :, 0].tolist() == expected
