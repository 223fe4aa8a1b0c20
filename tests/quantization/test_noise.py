"""Closed forms of rounding noise against numerical integration and simulation."""

import math

import pytest
import torch
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from reference_impl import quantization
from reference_impl.measuring import sqnr


@pytest.mark.equation("eq-rounding-noise", "eq-rounding-stochastic-noise")
@given(step=st.floats(1e-3, 1e3))
def test_rounding_noises_are_the_integrals_over_one_cell(step):
    """Oracle: scipy.integrate.quad of e²/s, and of (1 − f)(f s)² + f((1 − f) s)² over f."""
    nearest, _ = integrate.quad(lambda e: e**2 / step, -step / 2, step / 2)
    drawn, _ = integrate.quad(lambda f: ((1 - f) * f**2 + f * (1 - f) ** 2) * step**2, 0, 1)
    assert quantization.rounding_noise(step) == pytest.approx(nearest, rel=1e-12)
    assert quantization.stochastic_rounding_noise(step) == pytest.approx(drawn, rel=1e-12)


@pytest.mark.equation("eq-rounding-clipping")
@given(threshold=st.floats(0, 4))
def test_clipping_noise_is_the_integral_over_the_tails(threshold):
    """Oracle: scipy.stats: twice E[(x − a)²; x > a]."""
    tail = stats.norm.expect(lambda x: (x - threshold) ** 2, lb=threshold)
    assert quantization.gaussian_clipping_noise(threshold) == pytest.approx(2 * tail, rel=1e-6)


@pytest.mark.equation("eq-rounding-decibels")
@pytest.mark.parametrize("bits", [4, 6, 8, 10])
def test_prediction_meets_a_uniform_signal(bits):
    """Oracle: a million uniform draws about 0 and about 5, within 0.05 dB."""
    uniform = torch.rand(1_000_000, generator=generator()).double() * 2 - 1
    for x in (uniform, uniform + 5):
        quantizer = quantization.min_max_quantizer(x, bits)
        power, width = float(x.square().mean()), quantizer.high - quantizer.low
        expected = quantization.predicted_sqnr(power, width, bits)
        assert sqnr(x, quantizer.round_trip(x)) == pytest.approx(expected, abs=0.05)


def test_prediction_with_clipping_meets_a_gaussian_signal():
    """Oracle: a million normal draws at 8 bits on ±4σ; both noises add up."""
    x = normal(1_000_000).double()
    rounding = 10 ** (-quantization.predicted_sqnr(1.0, 8.0, 8) / 10)
    expected = -10 * math.log10(rounding + quantization.gaussian_clipping_noise(4.0))
    found = sqnr(x, quantization.MinMaxQuantizer(-4.0, 4.0, 8).round_trip(x))
    assert found == pytest.approx(expected, abs=0.05)
