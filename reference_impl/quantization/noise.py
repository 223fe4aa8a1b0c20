"""What rounding costs in theory: noise power and signal-to-noise ratio, in closed form."""

import math

from reference_impl.checked import NonNegative, Positive, checked
from reference_impl.quantization.grid import Bits


@checked
def rounding_noise(step: Positive) -> float:
    """Return s²/12, the mean squared error of rounding to the nearest multiple of s.

    >>> rounding_noise(6.0)
    3.0

    It holds where the error is uniform on [−s/2, s/2]: ∫ e²/s de = s²/12.

    References: Bennett 1948, "Spectra of Quantized Signals", section 2.
    Equation: eq-rounding-noise, chapter 02.
    """
    return step**2 / 12


@checked
def stochastic_rounding_noise(step: Positive) -> float:
    """Return s²/6, the mean squared error of stochastic rounding to multiples of s.

    >>> stochastic_rounding_noise(6.0)
    6.0

    At the fraction f the error is −f s with probability 1 − f and (1 − f) s with probability f:
    its mean is 0, its mean square f (1 − f) s², and ∫ f (1 − f) df = 1/6.

    Equation: eq-rounding-stochastic-noise, chapter 02.
    """
    return step**2 / 6


@checked
def predicted_sqnr(power: Positive, width: Positive, bits: Bits) -> float:
    """Return 20 log₁₀(2^b − 1) + 10 log₁₀(12 P / R²), in decibels.

    That is 10 log₁₀(P / (s²/12)) with s = R / (2^b − 1): rounding alone, nothing clipped. For a
    signal uniform over the whole range P = R²/12, and the second term is 0. The power P is the
    mean square of the signal, and the width R = max − min.

    >>> round(predicted_sqnr(power=1 / 12, width=1.0, bits=8), 2)
    48.13

    Equation: eq-rounding-decibels, chapter 02.
    """
    return 20 * math.log10(2**bits - 1) + 10 * math.log10(12 * power / width**2)


@checked
def gaussian_clipping_noise(threshold: NonNegative) -> float:
    """Return E[(|x| − a)²; |x| > a] = 2 ((1 + a²) Q(a) − a φ(a)) for a standard normal x.

    >>> gaussian_clipping_noise(0.0)  # all become 0: the variance
    1.0
    >>> round(gaussian_clipping_noise(4.0) * 1e6, 1)
    6.2

    φ is the density and Q the upper tail, Q(a) = ½ erfc(a/√2). The threshold a is in standard
    deviations: for a normal signal with standard deviation σ clipped at ±a σ, multiply by σ².

    Equation: eq-rounding-clipping, chapter 02.
    """
    tail = 0.5 * math.erfc(threshold / math.sqrt(2))
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    return 2 * ((1 + threshold**2) * tail - threshold * density)
