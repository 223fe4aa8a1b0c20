"""A layer of n units made one of k: one pair of matrices, for pruning and for merging.

The layer's own rows become W_k = M W, the columns of whatever reads it W'_k = W' U: units that
are kept are selected by M, and U says which kept units stand for each of the old ones.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_tensor


@dataclass(frozen=True, eq=False)
class WidthMap:
    """The two sides of a change of width, from n units to k.

    Args:
        merge: M, how the units that remain are made of the old ones; selecting rows is the rule.
        unmerge: U, how an old unit is made of those that remain, as the next layer sees it.

    Raises:
        TypeError: if one is no floating-point tensor.
        ValueError: if one is empty or not finite, or their shapes are not (k, n) and (n, k).
    """

    merge: Float[Tensor, "k n"]
    unmerge: Float[Tensor, "n k"]

    def __post_init__(self) -> None:
        for name in ("merge", "unmerge"):
            require_float_tensor(name, value := getattr(self, name))
            if value.ndim != 2:
                raise ValueError(f"{name} must be a matrix, got {tuple(value.shape)}")
        if self.unmerge.shape != self.merge.T.shape:
            raise ValueError(
                f"unmerge must be {tuple(self.merge.T.shape)}, got {tuple(self.unmerge.shape)}"
            )

    @property
    def n(self) -> int:
        """Units before."""
        return self.merge.shape[1]

    @property
    def k(self) -> int:
        """Units after."""
        return self.merge.shape[0]

    @cached_property
    def selects(self) -> bool:
        """Whether each unit that remains is an old one, as it was."""
        one_each = ((self.merge != 0).sum(dim=1) == 1).all()
        return bool(one_each and (self.merge.amax(dim=1) == 1).all())

    @cached_property
    def chosen(self) -> Int64[Tensor, " k"]:
        """Which old unit each one that remains is made of, or mostly, or the first of equals."""
        return self.merge.argmax(dim=1)

    @cached_property
    def only_selects(self) -> bool:
        """Whether, besides, nothing stands for the units that are gone."""
        return self.selects and torch.equal(self.unmerge, self.merge.T)


def selection(keep: Bool[Tensor, " n"]) -> WidthMap:
    """Return the map that keeps the units of a mask and lets the others go.

    Args:
        keep: true for a unit that stays.

    Raises:
        TypeError: if ``keep`` is no tensor of booleans.
        ValueError: if it is no vector, or no unit stays.

    >>> selection(torch.tensor([True, False, True])).merge
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    merge = torch.eye(len(_require_keep(keep)), device=keep.device)[keep]
    return WidthMap(merge, merge.T.contiguous())


def standing_in(
    keep: Bool[Tensor, " n"], stands_for: Int64[Tensor, " n"], scale: Float[Tensor, " n"]
) -> WidthMap:
    """Return the map in which a kept unit also stands, scaled, for units that go.

    U_{j, i} = c_j where i is the place, among the kept, of the unit that stands for j; so the next
    layer's weights become W'_{:, i} + Σ_j c_j W'_{:, j}. A kept unit stands for itself.

    Args:
        keep: true for a unit that stays.
        stands_for: for each old unit the one, of those kept, that takes its place.
        scale: c; 1 for a kept unit, 0 for one that nothing replaces.

    Raises:
        TypeError: if an argument holds the wrong kind of numbers.
        ValueError: if the lengths differ, no unit stays, a unit is represented by one that does
            not, or a kept one by another or with a scale other than 1.

    Equation: eq-merge-compensate, chapter 15.
    """
    n = len(_require_keep(keep))
    require_float_tensor("scale", scale)
    require_tensor("stands_for", stands_for)
    if stands_for.dtype != torch.int64:
        raise TypeError(f"stands_for must hold {torch.int64}, got {stands_for.dtype}")
    if stands_for.shape != (n,) or scale.shape != (n,):
        raise ValueError(
            f"stands_for and scale must be ({n},), got {tuple(stands_for.shape)} "
            f"and {tuple(scale.shape)}"
        )
    if not ((stands_for >= 0) & (stands_for < n)).all() or not keep[stands_for].all():
        raise ValueError("stands_for must name units that are kept")
    if not torch.equal(stands_for[keep], keep.nonzero().flatten()) or (scale[keep] != 1).any():
        raise ValueError("stands_for and scale must leave a kept unit to itself, with scale 1")
    merge = torch.eye(n, dtype=scale.dtype, device=scale.device)[keep]
    place = keep.cumsum(0) - 1
    unmerge = torch.zeros(n, int(keep.sum()), dtype=scale.dtype, device=scale.device)
    unmerge[torch.arange(n), place[stands_for]] = scale
    return WidthMap(merge, unmerge)


def map_axis(
    x: Float[Tensor, "..."], axis: int, matrix: Float[Tensor, "after before"], repeat: int = 1
) -> Float[Tensor, "..."]:
    """Return x with one axis mapped: y_{… a …} = Σ_b matrix_{ab} x_{… b …}.

    Args:
        x: any shape; its dtype is kept.
        axis: which axis, counted from 0.
        matrix: M for an axis that a layer writes, Uᵀ for one that a layer reads.
        repeat: consecutive entries that each unit owns: 16 behind a flatten of 4×4 positions.

    Raises:
        TypeError: if ``x`` or ``matrix`` is no floating-point tensor.
        ValueError: if one is empty or not finite, ``matrix`` has not two axes, the axis is out of
            range, or its length is not ``before`` · ``repeat``.
    """
    require_float_tensor("x", x)
    require_float_tensor("matrix", matrix)
    if matrix.ndim != 2:
        raise ValueError(f"matrix must have two axes, got {tuple(matrix.shape)}")
    require_int("axis", axis, 0, x.ndim - 1)
    require_int("repeat", repeat, 1)
    after, before = matrix.shape
    if x.shape[axis] != before * repeat:
        raise ValueError(
            f"x must have {before} · {repeat} entries along axis {axis}, got {tuple(x.shape)}"
        )
    units = x.movedim(axis, 0)
    mapped = matrix.to(x.dtype) @ units.reshape(before, -1)
    return mapped.reshape(after * repeat, *units.shape[1:]).movedim(0, axis).contiguous()


def _require_keep(keep: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    require_tensor("keep", keep)
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must hold booleans, got {keep.dtype}")
    if keep.layout != torch.strided or keep.is_meta:
        raise TypeError(f"keep must be a dense tensor with values, got {keep.layout}")
    if keep.ndim != 1:
        raise ValueError(f"keep must be a vector, one entry per unit, got {tuple(keep.shape)}")
    if not keep.any():
        raise ValueError("keep must leave a unit or more, got none")
    return keep
