"""What a reproduction loses: mean squared error and signal-to-quantization-noise ratio."""

import math
from typing import Annotated

from torch import Tensor

from reference_impl.checked import Finite, Where, checked

Values = Finite[Tensor, "*shape"]
Signal = Annotated[Values, Where("other than zero somewhere", lambda x: bool(x.any()))]


@checked
def mean_squared_error(x: Values, x_hat: Values) -> float:
    """Return (1/N) Σ (x − x̂)², in the squared unit of x, summed in float64.

    >>> import torch
    >>> mean_squared_error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    2.0
    """
    return float((x.detach().double() - x_hat.detach().double()).square().mean())


@checked
def sqnr(x: Signal, x_hat: Values) -> float:
    """Return the signal-to-quantization-noise ratio 10 log₁₀(Σ x² / Σ (x − x̂)²), in decibels.

    +6.02 dB halve the error's amplitude; a perfect reproduction gives inf.

    >>> import torch
    >>> round(sqnr(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])), 2)
    20.0

    Equation: eq-rounding-sqnr, chapter 02.
    """
    signal = x.detach().double()
    noise = signal - x_hat.detach().double()
    return 10 * math.log10(signal.square().sum() / noise.square().sum())
