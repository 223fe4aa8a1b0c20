"""Error measures against scikit-learn, hand values and symmetry."""

import math

import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error as peer

from reference_impl.measuring import mean_squared_error, sqnr


@pytest.mark.equation("eq-rounding-sqnr")
@given(seed=st.integers(0, 2**31), n=st.integers(1, 200))
def test_the_mean_squared_error_and_its_ratio_in_decibels_are_scikit_learns(seed, n):
    """Oracle: sklearn's mean squared error in float64, of x̂ and of 0; parameters count alike."""
    x, x_hat = normal(2, n, seed=seed).double()
    noise, power = (peer(x.numpy(), y.numpy()) for y in (x_hat, 0 * x))
    for signal in (x, torch.nn.Parameter(x)):
        assert mean_squared_error(signal, x_hat) == pytest.approx(noise, rel=1e-12)
        assert sqnr(signal, x_hat) == pytest.approx(10 * math.log10(power / noise), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_types_are_measured_in_float64(dtype):
    """Oracle: 300² overflows in half precision, 1e-30² underflows in float32."""
    large = torch.tensor([300.0], dtype=dtype)
    assert mean_squared_error(large, 0 * large) == float(large.double() ** 2)
    tiny = torch.tensor([1e-30], dtype=torch.float32)
    assert mean_squared_error(tiny, 0 * tiny) == pytest.approx(1e-60)


def test_the_ratio_is_infinite_without_noise():
    """Oracle: the limit."""
    assert sqnr(torch.ones(3), torch.ones(3)) == math.inf
