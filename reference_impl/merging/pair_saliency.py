"""What it costs to let one unit stand for another as it is, from the weights alone.

w has a row of incoming weights per unit, with its bias; a has a row of the weights that read it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, FromZero, checked, widened
from reference_impl.merging.width_map import WidthMap, standing_in

Rows = Finite[Tensor, "n d"]
Outgoing = Finite[Tensor, "n out"]


@checked
def pair_saliency(rows: Rows, outgoing: Outgoing) -> Float[Tensor, "n n"]:
    """Return s_ij = ⟨a_j²⟩ ‖w_i − w_j‖²: what it costs if j is removed and i stands for it.

    ⟨a_j²⟩ is the mean over the next layer of the squared weights that read j. By ReLU's Lipschitz
    constant and Cauchy–Schwarz, s_ij ‖[x, 1]‖² is at least the mean over that layer of its
    squared change. s is not symmetric; s_ii = 0 has no meaning. Computed in float64.

    >>> pair_saliency(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [1.0]]))
    tensor([[ 0.,  4.],
            [36.,  0.]])

    References: Srinivas & Babu 2015, "Data-free parameter pruning", equation 4.
    Equation: eq-merge-saliency, chapter 18.
    """
    w, a = rows.detach().double(), outgoing.detach().double()
    distance = torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist")  # exact near 0
    saliency = a.square().mean(dim=1) * distance.square()
    return saliency.to(torch.promote_types(widened(rows).dtype, outgoing.dtype))


@checked
def least_pair(saliency: Finite[Tensor, "n n"]) -> tuple[int, int]:
    """Return the i ≠ j of the least s_ij, among equals the first: j can be removed, i replaces it.

    >>> least_pair(torch.tensor([[0.0, 4.0], [36.0, 0.0]]))
    (0, 1)
    """
    if len(saliency) == 1:
        raise ValueError("saliency must cover two units or more, got 1")
    pairs = saliency.detach().clone().fill_diagonal_(torch.inf)
    i, j = divmod(int(pairs.argmin()), len(pairs))
    return i, j


@checked
def merge_by_saliency(
    rows: Rows, outgoing: Outgoing, n_gone: FromZero, *, normalised: bool = False
) -> WidthMap:
    """Return the map in which ``n_gone`` times the j of the least s_ij is removed: a_i ← a_i + a_j.

    The next saliencies are those of the new outgoing weights; i also replaces what j had replaced.
    With ``normalised``, directions w / ‖w‖ are compared, with the norms in the outgoing weights, as
    ReLU allows; then the scale of j is ‖w_j‖ / ‖w_i‖ instead of 1.

    References: Srinivas & Babu 2015, "Data-free parameter pruning", section 3.
    """
    units = torch.arange(len(rows), device=rows.device)
    if n_gone >= len(units):
        raise ValueError(f"n_gone must be in [0, {len(units) - 1}], got {n_gone}")
    w = rows.detach().double()
    norms: Tensor = w.norm(dim=1) if normalised else torch.ones_like(w[:, 0])
    if not norms.all():
        raise ValueError(f"rows must not be zero, got row {int(norms.argmin())} of 0")
    a = outgoing.detach().double() * norms.unsqueeze(1)
    squared_distance = pair_saliency(w / norms.unsqueeze(1), torch.ones_like(a))  # ⟨1⟩ ‖w_i − w_j‖²
    stands_for = units.clone()
    for _ in range(n_gone):
        gone = stands_for != units
        s = a.square().mean(dim=1) * squared_distance
        i, j = least_pair.__wrapped__(s.masked_fill(gone | gone.unsqueeze(1), torch.inf))
        a[i] += a[j]
        stands_for[stands_for == j] = i
    scale = (norms / norms[stands_for]).to(rows.dtype)
    return standing_in(stands_for == units, stands_for, scale)
