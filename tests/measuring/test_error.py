"""Error measures against scikit-learn, hand values and symmetry."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error as sklearn_mean_squared_error

from reference_impl.measuring import mean_squared_error, sqnr


@given(seed=st.integers(0, 2**31), n=st.integers(1, 200))
def test_mean_squared_error_is_scikit_learns(seed, n):
    """Oracle: sklearn.metrics.mean_squared_error in float64."""
    x, x_hat = torch.randn(2, n, generator=torch.Generator().manual_seed(seed)).double()
    assert mean_squared_error(x, x_hat) == pytest.approx(
        sklearn_mean_squared_error(x.numpy(), x_hat.numpy()), rel=1e-12
    )


@pytest.mark.equation("eq-rounding-sqnr")
def test_sqnr_by_hand():
    """Oracle: Σx² = 25, Σ(x − x̂)² = 0.25, so 10 log₁₀ 100 = 20 dB; parameters count alike."""
    x, x_hat = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    for signal in (x, torch.nn.Parameter(x)):
        assert sqnr(signal, x_hat) == pytest.approx(20.0)
        assert mean_squared_error(signal, x_hat) == pytest.approx(0.125)


@given(scale=st.floats(1e-3, 1e3))
def test_sqnr_ignores_a_common_scale(scale):
    """Oracle: symmetry of a ratio."""
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)).double()
    x_hat = x + 0.1 * x.flip(0)
    assert sqnr(scale * x, scale * x_hat) == pytest.approx(sqnr(x, x_hat), rel=1e-9)


def test_half_the_error_is_six_decibels_more():
    """Oracle: 20 log₁₀ 2."""
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)).double()
    gain = sqnr(x, x + 0.05) - sqnr(x, x + 0.1)
    assert gain == pytest.approx(20 * math.log10(2), rel=1e-6)


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
