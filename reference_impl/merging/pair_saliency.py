"""What it costs to let one unit stand for another as it is, from the weights alone."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int
from reference_impl.merging.width_map import WidthMap, standing_in


def pair_saliency(
    rows: Float[Tensor, "n d"], outgoing: Float[Tensor, "n out"]
) -> Float[Tensor, "n n"]:
    """Return s_ij = ⟨a_j²⟩ ‖ε_ij‖², ε_ij = w_i − w_j: what it costs if j goes and i stands for it.

    ⟨a_j²⟩ is the mean over the next layer of the squared weights that read j. By ReLU's Lipschitz
    constant and Cauchy–Schwarz, s_ij ‖[x, 1]‖² is no less than the mean over that layer of its
    squared change. s is not symmetric; s_ii = 0 says nothing. Computed in float64.

    Args:
        rows: w, one unit's incoming weights a row, with its bias.
        outgoing: a, the weights that read a unit in a row.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is no matrix, empty or not finite, or their lengths differ.

    References:
        Srinivas & Babu (2015), Data-free parameter pruning for deep neural networks, equation 4.

    >>> pair_saliency(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [1.0]]))
    tensor([[ 0.,  4.],
            [36.,  0.]])

    Equation: eq-merge-saliency, chapter 15.
    """
    _require_units(rows, outgoing)
    dtype = torch.promote_types(rows.dtype, outgoing.dtype)
    return _saliency(rows.detach().double(), outgoing.detach().double()).to(dtype)


def least_pair(saliency: Float[Tensor, "n n"]) -> tuple[int, int]:
    """Return the i ≠ j of the least s_ij, of equals the first: j can go, i stands for it.

    Raises:
        TypeError: if ``saliency`` is no floating-point tensor.
        ValueError: if it is not square, not finite, or has no pair.

    >>> least_pair(torch.tensor([[0.0, 4.0], [36.0, 0.0]]))
    (0, 1)
    """
    require_float_tensor("saliency", saliency)
    if saliency.ndim != 2 or saliency.shape != saliency.T.shape or len(saliency) == 1:
        raise ValueError(
            f"saliency must be square, of two units or more, got {tuple(saliency.shape)}"
        )
    return _least(saliency.detach().clone().fill_diagonal_(torch.inf))


def merge_by_saliency(
    rows: Float[Tensor, "n d"],
    outgoing: Float[Tensor, "n out"],
    n_gone: int,
    *,
    normalised: bool = False,
) -> WidthMap:
    """Return the map in which, pair by pair, the least s_ij goes: a_i ← a_i + a_j.

    After each, the saliencies of i are those of its new outgoing weights. What stood for a unit
    that goes hands it on.

    Args:
        rows: w, as `pair_saliency` takes them.
        outgoing: a, as `pair_saliency` takes them.
        n_gone: how many go.
        normalised: compare the directions w / ‖w‖, with the norms in the outgoing weights, as
            ReLU allows; then the scale of j is ‖w_j‖ / ‖w_i‖ instead of 1.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is no matrix, empty or not finite, their lengths differ, ``n_gone``
            is not in [0, n − 1], or a row is zero and ``normalised``: it has no direction.

    References:
        Srinivas & Babu (2015), Data-free parameter pruning for deep neural networks, section 3.
    """
    _require_units(rows, outgoing)
    n = len(rows)
    require_int("n_gone", n_gone, 0, n - 1)
    w, a = (_over_largest(x.detach().double()) for x in (rows, outgoing))
    norms = w.norm(dim=1) if normalised else torch.ones_like(w[:, 0])
    if (norms == 0).any():
        zero = int((norms == 0).nonzero()[0])
        raise ValueError(f"rows must not be zero, which has no direction, got row {zero} of 0")
    a *= norms.unsqueeze(1)
    squared_distances = _saliency(w / norms.unsqueeze(1), torch.ones_like(a))
    no_pair = torch.eye(n, dtype=torch.bool, device=w.device)
    stands_for = torch.arange(n, device=w.device)
    for _ in range(n_gone):
        s = a.square().mean(dim=1) * squared_distances
        i, j = _least(s.masked_fill(no_pair, torch.inf))
        a[i] += a[j]
        stands_for[stands_for == j] = i
        no_pair[j] = no_pair[:, j] = True
    keep = stands_for == torch.arange(n, device=w.device)
    return standing_in(keep, stands_for, (norms / norms[stands_for]).to(rows.dtype))


def _saliency(w: Float64[Tensor, "n d"], a: Float64[Tensor, "n out"]) -> Float64[Tensor, "n n"]:
    distance = torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist")  # exact near 0
    return a.square().mean(dim=1) * distance.square()


def _over_largest(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "n d"]:
    """Return x in units of its largest entry, which change no comparison; a copy."""
    largest = x.abs().max()
    return x / torch.where(largest > 0, largest, 1)


def _least(saliency: Tensor) -> tuple[int, int]:
    i, j = divmod(int(saliency.argmin()), len(saliency))
    return i, j


def _require_units(rows: Tensor, outgoing: Tensor) -> None:
    for name, value in (("rows", rows), ("outgoing", outgoing)):
        require_float_tensor(name, value)
        if value.ndim != 2:
            raise ValueError(f"{name} must be a matrix, one row per unit, got {tuple(value.shape)}")
    if len(rows) != len(outgoing):
        raise ValueError(
            f"outgoing must be of the {len(rows)} units of rows, got {tuple(outgoing.shape)}"
        )
