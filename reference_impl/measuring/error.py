"""What a reproduction loses: mean squared error and signal-to-quantization-noise ratio."""

import math

from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_same_shape


def mean_squared_error(x: Float[Tensor, "*shape"], x_hat: Float[Tensor, "*shape"]) -> float:
    """Return (1/N) Σ (x − x̂)², in the squared unit of x, summed in float64.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, or their shapes differ.
    """
    require_float_tensor("x", x)
    require_float_tensor("x_hat", x_hat)
    require_same_shape("x_hat", x_hat, "x", x)
    return float((x.detach().double() - x_hat.detach().double()).square().mean())


def sqnr(x: Float[Tensor, "*shape"], x_hat: Float[Tensor, "*shape"]) -> float:
    """Return the signal-to-quantization-noise ratio 10 log₁₀(Σ x² / Σ (x − x̂)²), in decibels.

    +6.02 dB halve the error's amplitude; a perfect reproduction gives inf.

    >>> import torch
    >>> round(sqnr(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])), 2)
    20.0

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, their shapes differ, or x is zero everywhere.

    Equation: eq-rounding-sqnr, chapter 02.
    """
    require_float_tensor("x", x)
    require_float_tensor("x_hat", x_hat)
    require_same_shape("x_hat", x_hat, "x", x)
    signal = x.detach().double()
    error = signal - x_hat.detach().double()
    if not signal.any():
        raise ValueError("x must not be zero everywhere: a ratio needs a signal")
    return _level(signal) - _level(error) if error.any() else math.inf


def _level(x: Float[Tensor, "*shape"]) -> float:
    """Return 10 log₁₀((1/N) Σ x²), whatever the scale: the squares of x/max|x| cannot overflow."""
    top = float(x.abs().max())
    return 20 * math.log10(top) + 10 * math.log10(float((x / top).square().mean()))
