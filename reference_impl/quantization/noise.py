"""What rounding costs in theory: noise power and signal-to-noise ratio, in closed form."""

import math

from reference_impl.checks import require_int, require_real
from reference_impl.quantization.min_max import MAX_BITS

MAX_STEP = 1e150
"""The largest step whose square is a float64."""


def rounding_noise(step: float) -> float:
    """Return s²/12, the mean squared error of rounding to the nearest multiple of s.

    It holds where the error is uniform on [−s/2, s/2]: ∫ e²/s de = s²/12.

    Args:
        step: s, in the unit of the signal, above 0.

    Raises:
        TypeError, ValueError: if ``step`` is no positive number.

    References:
        Bennett 1948, "Spectra of Quantized Signals", section 2.

    Equation: eq-rounding-noise, chapter 02.
    """
    step = require_real("step", step, 0, MAX_STEP, open_low=True)
    return step**2 / 12


def stochastic_rounding_noise(step: float) -> float:
    """Return s²/6, the mean squared error of stochastic rounding to multiples of s.

    At the fraction f the error is −f s with probability 1 − f and (1 − f) s with probability f:
    its mean is 0, its mean square f (1 − f) s², and ∫ f (1 − f) df = 1/6.

    Args:
        step: s, in the unit of the signal, above 0.

    Raises:
        TypeError, ValueError: if ``step`` is no positive number.

    Equation: eq-rounding-stochastic-noise, chapter 02.
    """
    step = require_real("step", step, 0, MAX_STEP, open_low=True)
    return step**2 / 6


def predicted_sqnr(power: float, width: float, bits: int) -> float:
    """Return 20 log₁₀(2^b − 1) + 10 log₁₀(12 P / R²), in decibels.

    That is 10 log₁₀(P / (s²/12)) with s = R / (2^b − 1): rounding alone, nothing clipped. For a
    signal uniform over the whole range P = R²/12, and the second term is 0.

    >>> round(predicted_sqnr(power=1 / 12, width=1.0, bits=8), 2)
    48.13

    Args:
        power: P, the mean square of the signal.
        width: R = max − min, in the unit of the signal.
        bits: b, 1 to 16.

    Raises:
        TypeError, ValueError: if ``power`` or ``width`` is no positive number, or ``bits`` no
            integer from 1 to 16.

    Equation: eq-rounding-decibels, chapter 02.
    """
    power = require_real("power", power, 0, open_low=True)
    width = require_real("width", width, 0, open_low=True)
    bits = require_int("bits", bits, 1, MAX_BITS)
    fill = math.log10(12) + math.log10(power) - 2 * math.log10(width)  # 12 P / R² can overflow
    return 20 * math.log10(2**bits - 1) + 10 * fill


def gaussian_clipping_noise(threshold: float) -> float:
    """Return E[(|x| − a)²; |x| > a] = 2 ((1 + a²) Q(a) − a φ(a)) for a standard normal x.

    φ is the density and Q the upper tail, Q(a) = ½ erfc(a/√2). For a normal signal with standard
    deviation σ clipped at ±a σ, multiply by σ².

    Args:
        threshold: a, in standard deviations, at least 0.

    Raises:
        TypeError, ValueError: if ``threshold`` is no number of at least 0.

    Equation: eq-rounding-clipping, chapter 02.
    """
    threshold = require_real("threshold", threshold, 0)
    if threshold > 39:  # below the smallest float64
        return 0.0
    tail = 0.5 * math.erfc(threshold / math.sqrt(2))
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    return 2 * ((1 + threshold**2) * tail - threshold * density)
