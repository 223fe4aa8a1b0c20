"""Ranges of a tensor and of its parts against loops, NumPy and torch's observer."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import min_max_range, split_groups
from reference_impl.quantization.ranges import part_means, reduced_axes


@st.composite
def parts(draw: st.DrawFn) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Draw a tensor of 1 to 4 axes and some of its axes, counted from either end."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 2**31))))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    return x, tuple(axis - draw(st.sampled_from([0, len(shape)])) for axis in axes)


@given(case=parts())
def test_each_part_has_its_own_extremes(case: tuple[torch.Tensor, tuple[int, ...]]) -> None:
    """Oracle: a loop over the parts, with Python's min and max."""
    x, axes = case
    low, high = min_max_range(x, axes)
    kept = {axis % x.ndim for axis in axes}
    assert low.shape == tuple(n if i in kept else 1 for i, n in enumerate(x.shape))
    assert high.shape == low.shape
    for place in itertools.product(*map(range, low.shape)):
        part = x[tuple(p if i in kept else slice(None) for i, p in enumerate(place))]
        assert low[place].item() == min(part.flatten().tolist())
        assert high[place].item() == max(part.flatten().tolist())


@given(case=parts())
def test_the_range_is_numpys(case: tuple[torch.Tensor, tuple[int, ...]]) -> None:
    """Oracle: numpy.min and numpy.max with keepdims."""
    x, axes = case
    others = tuple(i for i in range(x.ndim) if i not in {axis % x.ndim for axis in axes})
    low, high = min_max_range(x, axes)
    assert np.array_equal(low, x.numpy().min(axis=others, keepdims=True))
    assert np.array_equal(high, x.numpy().max(axis=others, keepdims=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    """Oracle: the dtype that went in; extremes need no rounding."""
    low, high = min_max_range(torch.tensor([[1.0, -2.5], [0.25, 4.0]], dtype=dtype), axes=1)
    assert low.dtype == high.dtype == dtype
    assert (low.tolist(), high.tolist()) == ([[0.25, -2.5]], [[1.0, 4.0]])


def test_no_axis_means_one_range_and_all_axes_one_for_each_element() -> None:
    """Oracle: by hand."""
    x = torch.tensor([[1.0, -2.0], [0.5, 4.0]])
    assert [end.tolist() for end in min_max_range(x)] == [[[-2.0]], [[4.0]]]
    low, high = min_max_range(x, axes=(0, 1))
    assert torch.equal(low, x)
    assert torch.equal(high, x)


def test_a_scalar_is_its_own_range_in_memory_of_its_own() -> None:
    """Oracle: by hand; a range changed in place must not change x."""
    x = torch.tensor(2.5)
    low, high = min_max_range(x)
    low.fill_(-1), high.fill_(9)
    assert x.item() == 2.5


def test_part_means_are_the_means_of_the_parts() -> None:
    """Oracle: torch.mean, and x itself where every element is a part."""
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(part_means(x, 0), x.mean((1, 2), keepdim=True))
    assert torch.equal(part_means(x, (0, 1, 2)), x)


@given(n_axes=st.integers(1, 6), data=st.data())
def test_reduced_axes_are_the_complement(n_axes: int, data: st.DataObject) -> None:
    """Oracle: Python's sets."""
    axes = data.draw(st.lists(st.integers(0, n_axes - 1), unique=True))
    assert reduced_axes(n_axes, axes) == tuple(sorted(set(range(n_axes)) - set(axes)))
    assert reduced_axes(n_axes, [axis - n_axes for axis in axes]) == reduced_axes(n_axes, axes)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 12])
def test_groups_are_neighbouring_columns_and_flatten_is_the_way_back(size: int) -> None:
    """Oracle: slices of the rows."""
    x = torch.arange(60.0).view(5, 12)
    groups = split_groups(x, size)
    assert groups.shape == (5, 12 // size, size)
    for i in range(12 // size):
        assert torch.equal(groups[:, i], x[:, i * size : (i + 1) * size])
    assert torch.equal(groups.flatten(-2), x)
    low, high = min_max_range(groups, axes=(0, 1))
    assert low.shape == high.shape == (5, 12 // size, 1)


def test_a_convolutions_groups_never_cross_its_filters() -> None:
    """Oracle: the flattened filters one by one."""
    weight = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    low, _ = min_max_range(split_groups(weight.flatten(1), 6), axes=(0, 1))
    for out in range(4):
        expected = [part.min().item() for part in weight[out].flatten().split(6)]
        assert low[out, :, 0].tolist() == expected


X = torch.ones(2, 6)
BAD = {
    "x nan": (lambda: min_max_range(X * math.nan), ValueError, "x must be finite, got 12 nan"),
    "axis too large": (
        lambda: min_max_range(X, 2),
        ValueError,
        "axes must name each of the 2 axes at most once, got 2",
    ),
    "second axis too small": (
        lambda: min_max_range(X, (0, -3)),
        ValueError,
        r"axes must name each of the 2 axes at most once, got \(0, -3\)",
    ),
    "axis twice": (
        lambda: min_max_range(X, (1, -1)),
        ValueError,
        r"axes must name each of the 2 axes at most once, got \(1, -1\)",
    ),
    "axis of a scalar": (
        lambda: min_max_range(torch.tensor(1.0), 0),
        ValueError,
        "axes must name each of the 0 axes at most once, got 0",
    ),
    "axis a float": (
        lambda: min_max_range(X, 0.0),
        TypeError,
        "axes must be an integer or be Sequence, got 0.0",
    ),
    "axis a name": (lambda: min_max_range(X, "0"), TypeError, r"axes\[0\] must be an integer"),
    "size not a divisor": (
        lambda: split_groups(X, 4),
        ValueError,
        "size must divide the 6 columns of x, got 4",
    ),
    "size 0": (lambda: split_groups(X, 0), ValueError, "size must be at least 1, got 0"),
    "groups of a scalar": (
        lambda: split_groups(torch.tensor(1.0), 1),
        ValueError,
        r"x must be \(\*rows, columns\), got shape \(\)",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
