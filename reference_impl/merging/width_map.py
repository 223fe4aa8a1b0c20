"""A layer of n units made one of k: one pair of matrices, for pruning and for merging.

The layer's own rows become W_k = M W, the columns of whatever reads it W'_k = W' U: M selects the
units that are kept, and U is how the kept units stand for each of the old ones.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from reference_impl.checked import Count, Finite, FromZero, checked

Keep = Bool[Tensor, " n"]
Units = Int64[Tensor, " n"]


@checked
@dataclass(frozen=True, eq=False)
class WidthMap:
    """The two sides of a change of width, from n units to k.

    ``merge`` is M, how the new units are made of the old ones, usually by selecting rows;
    ``unmerge`` is U, how an old unit is made of the new ones, as the next layer sees it.
    """

    merge: Finite[Tensor, "k n"]
    unmerge: Finite[Tensor, "n k"]

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
        """Whether each new unit is an old one, unchanged."""
        one_each = ((self.merge != 0).sum(dim=1) == 1).all()
        return bool(one_each and (self.merge.amax(dim=1) == 1).all())

    @cached_property
    def chosen(self) -> Int64[Tensor, " k"]:
        """Which old unit each new one is made of, or mostly; among equals, the first."""
        return self.merge.argmax(dim=1)

    @cached_property
    def only_selects(self) -> bool:
        """Whether it selects units and nothing replaces the removed ones."""
        return self.selects and torch.equal(self.unmerge, self.merge.T)


@checked
def selection(keep: Keep) -> WidthMap:
    """Return the map that keeps the units of a mask and removes the others.

    >>> selection(torch.tensor([True, False, True])).merge
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    if not keep.any():
        raise ValueError("keep must leave a unit or more, got none")
    merge = torch.eye(len(keep), device=keep.device)[keep]
    return WidthMap(merge, merge.T.contiguous())


@checked
def standing_in(keep: Keep, stands_for: Units, scale: Finite[Tensor, " n"]) -> WidthMap:
    """Return the map in which a kept unit also stands, scaled, for units that are removed.

    >>> import torch
    >>> keep, stands_for = torch.tensor([True, False]), torch.tensor([0, 0])
    >>> standing_in(keep, stands_for, torch.tensor([1.0, 2.0])).unmerge
    tensor([[1.],
            [2.]])

    U_ji = c_j where i is the kept unit that ``stands_for`` names for j, else 0: the next layer's
    weights become W'_{:, i} + Σ_j c_j W'_{:, j}. A kept unit stands for itself with c = 1; c = 0
    means that nothing replaces a unit.

    Equation: eq-merge-compensate, chapter 17.
    """
    kept = keep.nonzero().flatten()
    if not torch.isin(stands_for, kept).all():
        raise ValueError(f"stands_for must name kept units, got {stands_for.tolist()}")
    if not torch.equal(stands_for[keep], kept) or (scale[keep] != 1).any():
        raise ValueError("stands_for and scale must be the unit itself and 1 for each kept unit")
    merge = torch.eye(len(keep), dtype=scale.dtype, device=scale.device)[keep]
    return WidthMap(merge, torch.where(stands_for.unsqueeze(1) == kept, scale.unsqueeze(1), 0))


@checked
def map_axis(
    x: Finite[Tensor, "..."],
    axis: FromZero,
    matrix: Finite[Tensor, "after before"],
    repeat: Count = 1,
) -> Float[Tensor, "..."]:
    """Return x with one axis mapped: y_{… a …} = Σ_b matrix_{ab} x_{… b …}, in the dtype of x.

    ``matrix`` is M for an axis that a layer writes, Uᵀ for one that a layer reads. Each unit owns
    ``repeat`` consecutive entries: 16 after a flatten of 4×4 positions.
    """
    after, before = matrix.shape
    if axis >= x.ndim or x.shape[axis] != before * repeat:
        expected = f"{before} · {repeat} entries along axis {axis}"
        raise ValueError(f"x must have {expected}, got {tuple(x.shape)}")
    units = x.movedim(axis, 0)
    mapped = matrix.to(x) @ units.reshape(before, -1)
    return mapped.reshape(after * repeat, *units.shape[1:]).movedim(0, axis).contiguous()
