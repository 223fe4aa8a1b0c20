"""Optimal brain surgeon: which weight of a quadratic loss to remove, and how to change the others.

About a minimum, L(w + δ) = L(w) + ½ δᵀ H δ. Everything is computed in float64.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from reference_impl.checked import Finite, FromZero, NonNegative, Where, Within, checked

Vector = Finite[Tensor, " d"]

SYMMETRIC = Where("symmetric", lambda h: torch.allclose(h, h.T, 1e-4, 1e-6 * h.abs().max().item()))
DEFINITE = Where("of a positive diagonal, as H is", lambda h: bool((h.diagonal() > 0).all()))
Hessian = Annotated[Finite[Tensor, "d d"], SYMMETRIC]
Inverse = Annotated[Finite[Tensor, "d d"], DEFINITE]


@checked
def input_hessian(
    inputs: Annotated[Float[Tensor, "n in"], Within(-1e150, 1e150)], damping: NonNegative = 0
) -> Float64[Tensor, "in in"]:
    """Return H = 2 Xᵀ X, the Hessian of ‖X (w − ŵ)‖² by one row ŵ of a layer's weights.

    It is the same for every row. X has the layer's inputs, one row per example. ``damping`` times
    the mean of the diagonal is added to the diagonal, so that H can be inverted.

    >>> input_hessian(torch.tensor([[1.0, 2.0]]))
    tensor([[2., 4.],
            [4., 8.]], dtype=torch.float64)

    References: Frantar & Alistarh 2023, "SparseGPT", section 3.1, where X is transposed.
    Equation: eq-importance-layer, chapter 14.
    """
    x = inputs.detach().double()
    hessian = 2 * x.T @ x
    return hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian)).to(hessian)


@checked
def inverse_hessian(hessian: Hessian) -> Float64[Tensor, "d d"]:
    """Return H⁻¹, by Cholesky's factor.

    Raises:
        ValueError: if H is not positive definite: an input that is a sum of others needs damping.
    """
    h = hessian.detach().double()
    factor, failed = torch.linalg.cholesky_ex(h)
    rounding = h.diagonal() * len(h) * torch.finfo(torch.float64).eps
    if (mean := h.diagonal().mean()) <= 0:
        raise ValueError(
            f"hessian must have a positive diagonal, damped or not, its mean is {mean}"
        )
    if failed or (factor.diagonal().square() <= rounding).any():
        raise ValueError(
            "hessian must be positive definite, here a row is a sum of others: add damping to its "
            "diagonal, such as 0.01 of its mean, or more"
        )
    return torch.cholesky_inverse(factor)


@checked
def optimal_brain_surgeon(
    weight: Finite[Tensor, "*rows d"], inverse: Inverse
) -> Float64[Tensor, "*rows d"]:
    """Return ΔL_q = w_q² / (2 [H⁻¹]_qq), the loss's change if w_q is removed and the others adapt.

    Never more than ½ [H]_qq w_q², optimal brain damage, where the others do not change. ``inverse``
    is H⁻¹; ``weight`` may be several rows that have the same Hessian.

    >>> optimal_brain_surgeon(torch.tensor([2.0, 1.0]), torch.eye(2) / 4)
    tensor([8., 2.], dtype=torch.float64)

    References: Hassibi & Stork 1993, "Optimal brain surgeon", equation 5.
    Equation: eq-importance-surgeon, chapter 14.
    """
    return weight.detach().double().square() / (2 * inverse.detach().double().diagonal())


@checked
def surgeon_update(weight: Vector, inverse: Inverse, q: FromZero) -> Float64[Tensor, " d"]:
    """Return δw = −(w_q / [H⁻¹]_qq) H⁻¹ e_q, the best step of all weights that takes w_q to 0.

    >>> surgeon_update(torch.tensor([2.0, 1.0]), torch.tensor([[2.0, 1.0], [1.0, 2.0]]), 0)
    tensor([-2., -1.], dtype=torch.float64)

    References: Hassibi & Stork 1993, "Optimal brain surgeon", equation 5.
    Equation: eq-importance-problem, eq-importance-update, chapter 14.
    """
    if q >= len(weight):
        raise ValueError(f"q must be in [0, {len(weight) - 1}], got {q}")
    w, h_inverse = weight.detach().double(), inverse.detach().double()
    return -(w[q] / h_inverse[q, q]) * h_inverse[:, q]


@checked
def without_weight(inverse: Finite[Tensor, "d d"], q: FromZero) -> Float64[Tensor, "d d"]:
    """Return H⁻¹ − H⁻¹ e_q e_qᵀ H⁻¹ / [H⁻¹]_qq, the inverse after weight q has been removed.

    Its row and column q are 0, as for each weight removed before. The rest is the inverse of H
    without its row and column q. Weight q must not have been removed before.
    """
    if q >= len(inverse) or inverse[q, q] <= 0:
        raise ValueError(f"q must be below {len(inverse)} and not yet removed, got {q}")
    before = inverse.detach().double()
    after = before - torch.outer(before[:, q], before[q]) / before[q, q]
    after[q], after[:, q] = 0, 0  # exactly
    return after


@dataclass(frozen=True, eq=False)
class Surgery:
    """Weights after a number of removals, the weights removed in order, and what each one cost."""

    weight: Float64[Tensor, " d"]
    removed: Int64[Tensor, " steps"]
    cost: Float64[Tensor, " steps"]


@checked
def remove_by_surgeon(weight: Vector, hessian: Hessian, count: FromZero) -> Surgery:
    """Remove the cheapest weight and update the others, ``count`` times; w is at a minimum.

    Each step is the best one, all together need not be. The weights that are left are the
    least-squares answer, and the costs add up to ½ δᵀ H δ. At least one weight must be left.

    References: Hassibi & Stork 1993, "Optimal brain surgeon", section 3.
    """
    if count >= len(weight):
        raise ValueError(f"count must be in [0, {len(weight) - 1}], got {count}")
    w, inverse = weight.detach().double(), inverse_hessian(hessian)
    gone = torch.zeros_like(w, dtype=torch.bool)
    removed, costs = [], []
    for _ in range(count):
        cost = optimal_brain_surgeon.__wrapped__(w, inverse).masked_fill(gone, torch.inf)
        q = int(cost.argmin())
        w = w + surgeon_update.__wrapped__(w, inverse, q)
        inverse = without_weight.__wrapped__(inverse, q)
        gone[q] = True
        w[gone] = 0  # exactly
        removed.append(q)
        costs.append(float(cost[q]))
    steps = torch.tensor(removed, dtype=torch.int64, device=w.device)
    return Surgery(w, steps, torch.tensor(costs, dtype=torch.float64, device=w.device))
