"""The range of a tensor, whole or in parts: what an affine quantizer has to represent.

A range estimator is a function (x, axes) → (low, high). The parts are named by the axes along
which they are told apart; every other axis is reduced and kept with length 1, so that the result
broadcasts against x.

===================== ===================== =======================
granularity           axes                  shape of the range
===================== ===================== =======================
tensor                ``()``                (1, 1, …)
channel of axis 0     ``0``                 (C, 1, …)
group of g columns    ``(0, 1)``, after     (rows, columns / g, 1)
                      `split_groups`
===================== ===================== =======================
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_tensor

Axes = int | Sequence[int]


def min_max_range(
    x: Float[Tensor, "*shape"], axes: Axes = ()
) -> tuple[Float[Tensor, "*ranges"], Float[Tensor, "*ranges"]]:
    """Return (min x, max x) of each part of x.

    >>> import torch
    >>> low, high = min_max_range(torch.tensor([[1.0, -2.0], [0.5, 4.0]]), axes=0)
    >>> low.tolist(), high.tolist()
    ([[-2.0], [0.5]], [[1.0], [4.0]])

    Args:
        x: values.
        axes: along which the parts are told apart, counted from 0 or from the end; one integer
            or several. None at all: one range for the whole tensor.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or an axis no integer.
        ValueError: if ``x`` is empty or not finite, an axis is out of range or named twice.
    """
    require_float_tensor("x", x)
    reduced = reduced_axes(x.ndim, axes)
    if not reduced:
        return x.clone(), x.clone()  # amin over no axis would reduce all
    return x.amin(dim=reduced, keepdim=True), x.amax(dim=reduced, keepdim=True)


def reduced_axes(n_axes: int, axes: Axes) -> tuple[int, ...]:
    """Return the axes of a tensor with ``n_axes`` axes that are not among ``axes``.

    >>> reduced_axes(4, axes=0)
    (1, 2, 3)

    Raises:
        TypeError: if ``n_axes`` or an axis is no integer.
        ValueError: if ``n_axes`` is negative, an axis out of range or named twice.
    """
    n_axes = require_int("n_axes", n_axes, 0)
    given = axes if isinstance(axes, Sequence) and not isinstance(axes, str | bytes) else [axes]
    kept = [
        require_int(f"axes[{i}]", axis, -n_axes, n_axes - 1) % n_axes
        for i, axis in enumerate(given)
    ]
    if len(set(kept)) < len(kept):
        raise ValueError(f"axes must name each axis once, got {axes}")
    return tuple(axis for axis in range(n_axes) if axis not in kept)


def split_groups(x: Float[Tensor, "*rows columns"], size: int) -> Float[Tensor, "*rows n_groups g"]:
    """Return x with its last axis of n columns split into n/g groups of g: (…, n) → (…, n/g, g).

    ``flatten(-2)`` is the way back.

    Args:
        x: values; a convolution's weight is flattened to (out, in · k · k) first.
        size: g, a divisor of n.

    Raises:
        TypeError: if ``x`` is no tensor or ``size`` no integer.
        ValueError: if ``x`` is empty or a scalar, or ``size`` does not divide its last axis.
    """
    require_tensor("x", x)
    if x.ndim == 0:
        raise ValueError("x must have an axis to split, got a scalar")
    size = require_int("size", size, 1)
    columns = x.shape[-1]
    if columns % size:
        raise ValueError(f"size must divide the {columns} columns of x, got {size}")
    groups: Tensor = x.unflatten(-1, (columns // size, size))
    return groups
