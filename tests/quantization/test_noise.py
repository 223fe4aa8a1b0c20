"""Closed forms of rounding noise against numerical integration and simulation."""

import math

import pytest
import torch
from scipy import integrate, stats

from reference_impl.measuring import sqnr
from reference_impl.quantization import (
    MinMaxQuantizer,
    gaussian_clipping_noise,
    min_max_quantizer,
    predicted_sqnr,
    rounding_noise,
    stochastic_rounding_noise,
)


@pytest.mark.parametrize("step", [0.01, 1.0, 3.7])
def test_rounding_noise_is_the_integral_over_one_cell(step: float) -> None:
    """Oracle: scipy.integrate.quad of e²/s over [−s/2, s/2].

    Equation: eq-rounding-noise.
    """
    integral, _ = integrate.quad(lambda e: e**2 / step, -step / 2, step / 2)
    assert rounding_noise(step) == pytest.approx(integral, rel=1e-12)


@pytest.mark.parametrize("step", [0.01, 1.0, 3.7])
def test_stochastic_noise_is_the_integral_over_the_fractions(step: float) -> None:
    """Oracle: scipy.integrate.quad of (1 − f)(f s)² + f((1 − f) s)² over f.

    Equation: eq-rounding-stochastic-noise.
    """
    integral, _ = integrate.quad(
        lambda f: (1 - f) * (f * step) ** 2 + f * ((1 - f) * step) ** 2, 0, 1
    )
    assert stochastic_rounding_noise(step) == pytest.approx(integral, rel=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 1.0, 2.5, 4.0])
def test_clipping_noise_is_the_integral_over_the_tails(threshold: float) -> None:
    """Oracle: scipy.integrate.quad of (x − a)² φ(x) over both tails.

    Equation: eq-rounding-clipping.
    """
    tail, _ = integrate.quad(
        lambda x: (x - threshold) ** 2 * stats.norm.pdf(x), threshold, 40, points=[10], limit=200
    )
    assert gaussian_clipping_noise(threshold) == pytest.approx(2 * tail, rel=1e-6)


@pytest.mark.parametrize("bits", [4, 6, 8, 10])
def test_prediction_meets_a_uniform_signal(bits: int) -> None:
    """Oracle: a million uniform draws, within 0.05 dB.

    Equation: eq-rounding-decibels.
    """
    x = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    quantizer = MinMaxQuantizer(-1.0, 1.0, bits)
    assert sqnr(x, quantizer.round_trip(x)) == pytest.approx(
        predicted_sqnr(1 / 3, 2.0, bits), abs=0.05
    )


def test_prediction_with_clipping_meets_a_gaussian_signal() -> None:
    """Oracle: a million normal draws at 8 bits on ±4σ; both noises add up."""
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)).double()
    rounding = 10 ** (-predicted_sqnr(1.0, 8.0, 8) / 10)
    expected = -10 * math.log10(rounding + gaussian_clipping_noise(4.0))
    assert sqnr(x, MinMaxQuantizer(-4.0, 4.0, 8).round_trip(x)) == pytest.approx(expected, abs=0.05)


def test_each_bit_adds_six_decibels_in_the_limit() -> None:
    """Oracle: 20 log₁₀ 2."""
    gain = predicted_sqnr(1.0, 8.0, 16) - predicted_sqnr(1.0, 8.0, 15)
    assert gain == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_quantizer_measured_agrees_with_its_own_prediction() -> None:
    """Oracle: sqnr of the round trip; the range is the data's own."""
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(3)).double() + 5
    quantizer = min_max_quantizer(x, 8)
    predicted = predicted_sqnr(float(x.square().mean()), quantizer.high - quantizer.low, 8)
    assert sqnr(x, quantizer.round_trip(x)) == pytest.approx(predicted, abs=0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rounding_noise(0.0), ValueError, "step must be above 0, got 0.0"),
        (lambda: rounding_noise("1"), TypeError, "step must be a real number, got '1'"),
        (lambda: stochastic_rounding_noise(math.nan), ValueError, "step must be finite"),
        (lambda: predicted_sqnr(1.0, 0.0, 8), ValueError, "width must be above 0"),
        (lambda: predicted_sqnr(1.0, 1.0, 17), ValueError, r"bits must be in \[1, 16\], got 17"),
        (lambda: gaussian_clipping_noise(-0.1), ValueError, "threshold must be at least 0"),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
