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

from jaxtyping import Float, Shaped
from torch import Tensor

from reference_impl.checked import Count, FromZero, Values, checked

Axes = int | Sequence[int]
"""The axes along which parts are told apart, from either end; none: one part, the whole."""

Range = tuple[Float[Tensor, "*ranges"], Float[Tensor, "*ranges"]]
"""(low, high), one of each for each part."""


@checked
def min_max_range(x: Values, axes: Axes = ()) -> Range:
    """Return (min x, max x) of each part of x.

    >>> import torch
    >>> low, high = min_max_range(torch.tensor([[1.0, -2.0], [0.5, 4.0]]), axes=0)
    >>> low.tolist(), high.tolist()
    ([[-2.0], [0.5]], [[1.0], [4.0]])
    """
    reduced = reduced_axes(x.ndim, axes)
    if not reduced:
        return x.clone(), x.clone()  # amin over no axis would reduce all
    return x.amin(dim=reduced, keepdim=True), x.amax(dim=reduced, keepdim=True)


def part_means(x: Float[Tensor, "*shape"], axes: Axes = ()) -> Float[Tensor, "*ranges"]:
    """Return the mean of each part of x."""
    reduced = reduced_axes(x.ndim, axes)
    return x.mean(dim=reduced, keepdim=True) if reduced else x


@checked
def reduced_axes(n_axes: FromZero, axes: Axes) -> tuple[int, ...]:
    """Return the axes of a tensor with ``n_axes`` axes that are not among ``axes``.

    >>> reduced_axes(4, axes=0)
    (1, 2, 3)
    """
    named = [axes] if isinstance(axes, int) else axes
    kept = {axis % n_axes for axis in named if -n_axes <= axis < n_axes}
    if len(kept) < len(named):
        raise ValueError(f"axes must name each of the {n_axes} axes at most once, got {axes}")
    return tuple(axis for axis in range(n_axes) if axis not in kept)


@checked
def split_groups(
    x: Shaped[Tensor, "*rows columns"], size: Count
) -> Shaped[Tensor, "*rows n_groups g"]:
    """Return x with its last axis of n columns split into n/g groups of g: (…, n) → (…, n/g, g).

    ``flatten(-2)`` is the way back. A convolution's weight is flattened to (out, in · k · k) first.
    The ``size`` g must divide n.
    """
    columns = x.shape[-1]
    if columns % size:
        raise ValueError(f"size must divide the {columns} columns of x, got {size}")
    groups: Tensor = x.unflatten(-1, (columns // size, size))
    return groups
