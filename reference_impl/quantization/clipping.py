"""Ranges that clip: what is cut off at the ends against finer steps for all the rest.

Each function is a range estimator (x, axes) → (low, high), to be used in the place of
`reference_impl.quantization.ranges.min_max_range`; bind the other arguments with
``functools.partial``. Ranges are computed in float32 or wider.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import (
    require_float_tensor,
    require_instance,
    require_int,
    require_real,
    require_tensor,
)
from reference_impl.quantization.affine import AffineQuantizer, affine_from_range
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.ranges import Axes, min_max_range, reduced_axes

Range = tuple[Float[Tensor, "*ranges"], Float[Tensor, "*ranges"]]

FromRange = Callable[[Tensor, Tensor, IntegerGrid], AffineQuantizer]
"""(low, high, grid) → quantizer, such as `affine_from_range`."""


def percentile_range(
    x: Float[Tensor, "*shape"], axes: Axes = (), *, percent: float = 99.9
) -> Range:
    """Return the quantiles of x at (100 − p)/2 and 100 − (100 − p)/2 percent.

    At most (100 − p) percent of the values are clipped, half of them at each end; at least half
    of that allowance is lost on values that are never negative and often 0, such as those behind
    a ReLU. Between two values the quantile is interpolated linearly.

    >>> low, high = percentile_range(torch.arange(101.0), percent=90)
    >>> low.item(), high.item()
    (5.0, 95.0)

    Args:
        x: values.
        axes: along which the parts are told apart.
        percent: p, above 0; 100 gives the minimum and the maximum.

    Raises:
        TypeError: if ``x`` is no floating-point tensor, or a number is none.
        ValueError: if ``x`` is empty or not finite, an axis is out of range or named twice, or
            ``percent`` lies outside (0, 100].

    Equation: eq-ptq-percentile, chapter 06.
    """
    require_float_tensor("x", x)
    percent = require_real("percent", percent, 0, 100, open_low=True)
    wide = _wide(x)
    reduced = reduced_axes(x.ndim, axes)
    if not reduced:
        return wide, wide
    tail = (100 - percent) / 200
    # numpy.quantile selects; torch.quantile sorts, and refuses more than 16 million values
    ends = np.quantile(wide.numpy(), [tail, 1 - tail], axis=reduced, keepdims=True)
    low, high = torch.from_numpy(ends.astype(wide.numpy().dtype))
    return low, high


def mse_range(
    x: Float[Tensor, "*shape"],
    axes: Axes = (),
    *,
    grid: IntegerGrid,
    from_range: FromRange = affine_from_range,
    candidates: int = 100,
) -> Range:
    """Return the [α min x, α max x] of the least mean (x − x̂)², α in {1/n, 2/n, …, 1}.

    The error is that of the quantizer itself, rounding and clipping together. Each part has an
    α of its own; of equal errors the widest range wins.

    >>> spiky = torch.tensor([0.0, 1.0, 2.0, 3.0, 3.5]).repeat(10)
    >>> low, high = mse_range(spiky, grid=IntegerGrid(bits=2), candidates=70)
    >>> round(high.item(), 2)
    3.2

    Args:
        x: values.
        axes: along which the parts are told apart.
        grid: the codes for which the range is to be good.
        from_range: makes the quantizer.
        candidates: n, how many ranges are tried; the time grows with it.

    Raises:
        TypeError: if ``x`` is no floating-point tensor, or an argument of the wrong kind.
        ValueError: if ``x`` is empty or not finite, an axis is out of range or named twice, or
            ``candidates`` is below 1.

    References:
        Choukroun et al. 2019, "Low-bit Quantization of Neural Networks for Efficient Inference",
        section 3.

    Equation: eq-ptq-trade-off, eq-ptq-mse-range, chapter 06.
    """
    low, high = min_max_range(x, axes)
    require_instance("grid", grid, IntegerGrid)
    if not callable(from_range):
        raise TypeError(f"from_range must be a function, got {from_range!r}")
    n = require_int("candidates", candidates, 1)
    values, low, high = _wide(x), _wide(low), _wide(high)
    best = torch.ones_like(low)
    least = torch.full_like(low, torch.inf)
    for k in range(n, 0, -1):
        x_hat = from_range(low * (k / n), high * (k / n), grid).round_trip(values)
        error = mean_over(x_hat.sub_(values).square_(), low.shape)
        best = torch.where(error < least, k / n, best)
        least = torch.minimum(error, least)
    return low * best, high * best


def mean_over(x: Float[Tensor, "*shape"], shape: torch.Size) -> Float[Tensor, "*ranges"]:
    """Return the mean of x over the axes whose length in ``shape`` is 1.

    Raises:
        TypeError: if ``x`` is no tensor.
        ValueError: if it is empty, or ``shape`` has an axis of another length that is not 1.
    """
    require_tensor("x", x)
    if len(shape) != x.ndim or any(
        kept not in (1, size) for kept, size in zip(shape, x.shape, strict=True)
    ):
        raise ValueError(f"shape must reduce {tuple(x.shape)} axis by axis, got {tuple(shape)}")
    reduced = [
        axis for axis, (kept, size) in enumerate(zip(shape, x.shape, strict=True)) if kept != size
    ]
    return x.mean(dim=reduced, keepdim=True) if reduced else x


def _wide(x: Tensor) -> Tensor:
    """Return x without its gradient, in float32 or wider."""
    return x.detach().to(torch.promote_types(x.dtype, torch.float32))
