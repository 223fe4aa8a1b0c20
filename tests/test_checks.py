"""The validators: each failure names the argument, the value and the expectation."""

import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.checks import (
    require_arithmetic,
    require_broadcast,
    require_float_tensor,
    require_int,
    require_integer_tensor,
    require_real,
    require_same_shape,
    require_tensor,
)


@given(value=st.integers(-100, 100))
def test_integers_pass_exactly_within_their_range(value: int) -> None:
    """Oracle: Python's own comparison."""
    if -3 <= value <= 12:
        require_int("n", value, -3, 12)
    else:
        with pytest.raises(ValueError, match=rf"n must be in \[-3, 12\], got {value}"):
            require_int("n", value, -3, 12)


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_reals_pass_exactly_within_their_range(value: float) -> None:
    """Oracle: Python's own comparison; nan and inf never pass."""
    if math.isfinite(value) and -1 < value <= 2:
        require_real("x", value, -1, 2, open_low=True)
    else:
        with pytest.raises(ValueError, match="x must be"):
            require_real("x", value, -1, 2, open_low=True)


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=20),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_float_tensors_pass_exactly_when_finite(values: list[float], dtype: torch.dtype) -> None:
    """Oracle: math.isfinite on each element."""
    x = torch.tensor(values, dtype=dtype)
    bad = [value for value in values if not math.isfinite(value)]
    if bad:
        with pytest.raises(ValueError, match=f"x must be finite, got {len(bad)} nan or inf"):
            require_float_tensor("x", x)
    else:
        require_float_tensor("x", x)


def test_numpy_numbers_are_numbers() -> None:
    """Oracle: none needed; a reader's NumPy scalar must not be refused."""
    require_int("n", np.int64(3), 1, 4)
    require_real("x", np.float32(0.5), 0, 1)


def test_what_is_returned_cannot_overflow() -> None:
    """Oracle: Python's own types, for NumPy's short ones."""
    assert type(require_int("n", np.int8(100), 1)) is int
    assert type(require_real("x", np.float16(0.5))) is float
    assert require_real("x", 2, -1, 2) == 2.0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
def test_integer_tensors_of_every_width_pass(dtype: torch.dtype) -> None:
    """Oracle: torch's list of integer types."""
    require_integer_tensor("q", torch.ones(2, dtype=dtype))
    require_arithmetic("q", torch.ones(2, dtype=dtype))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: require_int("n", 2.0, 1), TypeError, r"n must be an integer, got 2.0 \(float\)"),
        (lambda: require_int("n", True, 1), TypeError, "n must be an integer, got True"),
        (lambda: require_int("n", None, 1), TypeError, "n must be an integer, got None"),
        (lambda: require_int("n", 0, 1), ValueError, "n must be at least 1, got 0"),
        (lambda: require_real("x", "1"), TypeError, "x must be a real number, got '1'"),
        (lambda: require_real("x", False), TypeError, "x must be a real number, got False"),
        (lambda: require_real("x", 1j), TypeError, "x must be a real number"),
        (lambda: require_real("x", Decimal(1)), TypeError, "x must be a real number"),
        (lambda: require_real("x", math.nan), ValueError, "x must be finite, got nan"),
        (lambda: require_real("x", 0.0, 0, 1, open_low=True), ValueError, r"in \(0, 1\], got 0.0"),
        (lambda: require_real("x", 1.5, 0, 1), ValueError, r"x must be in \[0, 1\], got 1.5"),
        (lambda: require_real("x", 10**400), ValueError, "x must be finite as a float"),
        (
            lambda: require_float_tensor("x", torch.ones(2).to_sparse()),
            TypeError,
            "x must be a dense tensor with values, got torch.sparse_coo",
        ),
        (
            lambda: require_float_tensor("x", torch.ones(2, device="meta")),
            TypeError,
            "x must be a dense tensor with values",
        ),
        (
            lambda: require_float_tensor("x", torch.tensor([math.nan, math.inf])),
            ValueError,
            "2 nan or inf, the first nan",
        ),
        (lambda: require_tensor("x", np.ones(2)), TypeError, "x must be a torch.Tensor, got nd"),
        (lambda: require_tensor("x", torch.ones(2, 0)), ValueError, r"empty, got shape \(2, 0\)"),
        (lambda: require_float_tensor("x", torch.ones(1).bool()), TypeError, "torch.bool"),
        (
            lambda: require_float_tensor("x", torch.ones(1).to(torch.float8_e5m2)),
            TypeError,
            "float8_e5m2",
        ),
        (lambda: require_integer_tensor("q", torch.ones(1)), TypeError, "torch.float32"),
        (lambda: require_integer_tensor("q", torch.ones(1).bool()), TypeError, "torch.bool"),
        (lambda: require_arithmetic("q", [1]), TypeError, "q must be a torch.Tensor, got list"),
        (lambda: require_arithmetic("q", torch.ones(0).int()), ValueError, "q must not be empty"),
        (lambda: require_arithmetic("q", torch.ones(1)), TypeError, "q must hold integers"),
        *(
            (
                lambda kind=kind: require_arithmetic("q", torch.ones(1).to(kind)),
                TypeError,
                f"q must hold uint8 or signed integers, got dtype {kind}",
            )
            for kind in (torch.uint16, torch.uint32, torch.uint64)
        ),
        (
            lambda: require_same_shape("a", torch.ones(2), "b", torch.ones(1, 2)),
            ValueError,
            r"a must have the shape of b, \(1, 2\), got \(2,\)",
        ),
        (
            lambda: require_broadcast("a", torch.ones(3), torch.ones(2, 3)),
            ValueError,
            r"a must have a shape to which the scale's shape \(2, 3\) broadcasts, got \(3,\)",
        ),
    ],
)
def test_each_failure_says_what_and_why(call, error, message) -> None:
    """Oracle: the sentence a reader should get."""
    with pytest.raises(error, match=message):
        call()
