"""Optimal brain surgeon: which weight of a quadratic loss to remove, and what the others then do.

About a minimum, L(w + δ) = L(w) + ½ δᵀ H δ. Everything is computed in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_real


def input_hessian(inputs: Float[Tensor, "n in"], damping: float = 0) -> Float64[Tensor, "in in"]:
    """Return H = 2 Xᵀ X, the Hessian of ‖X (w − ŵ)‖² by one row ŵ of a layer's weights.

    It is the same for every row: that of output i does not depend on i.

    Args:
        inputs: X, what the layer is given, one row per example.
        damping: λ; λ times the mean of the diagonal is added to it, so that H can be inverted.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``inputs`` is no matrix, empty or not finite, or ``damping`` below 0.

    References:
        Frantar & Alistarh (2023), SparseGPT: massive language models can be accurately pruned in
        one shot, section 3.1, where X has one column per example.

    >>> input_hessian(torch.tensor([[1.0, 2.0]]))
    tensor([[2., 4.],
            [4., 8.]], dtype=torch.float64)

    Equation: eq-importance-layer, chapter 12.
    """
    require_float_tensor("inputs", inputs)
    require_real("damping", damping, 0)
    if inputs.ndim != 2:
        raise ValueError(f"inputs must be a matrix, got shape {tuple(inputs.shape)}")
    x = inputs.detach().double()
    hessian = 2 * x.T @ x
    hessian.diagonal().add_(damping * hessian.diagonal().mean())
    return hessian


def inverse_hessian(hessian: Float[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """Return H⁻¹, by Cholesky's factor.

    Raises:
        TypeError: if ``hessian`` is no floating-point tensor.
        ValueError: if it is no square matrix, empty, not finite, not symmetric, or not positive
            definite: an input that is never used, or is a sum of others, needs damping.
    """
    require_float_tensor("hessian", hessian)
    h = hessian.detach().double()
    if h.ndim != 2 or h.shape[0] != h.shape[1]:
        raise ValueError(f"hessian must be a square matrix, got shape {tuple(h.shape)}")
    if not torch.allclose(h, h.T, rtol=1e-4, atol=1e-6 * float(h.abs().max())):
        raise ValueError("hessian must be symmetric")
    factor, failed = torch.linalg.cholesky_ex(h)
    tiny = h.diagonal() * len(h) * torch.finfo(torch.float64).eps
    if failed or (factor.diagonal().square() <= tiny).any():
        raise ValueError("hessian must be positive definite: add damping")
    return torch.cholesky_inverse(factor)


def optimal_brain_surgeon(
    weight: Float[Tensor, "*rows d"], inverse: Float[Tensor, "d d"]
) -> Float64[Tensor, "*rows d"]:
    """Return ΔL_q = w_q² / (2 [H⁻¹]_qq): the loss's change if w_q goes and the others make up.

    Never more than ½ [H]_qq w_q², optimal brain damage, for which the others stay. A weight that
    is 0 costs nothing.

    Args:
        weight: w, or several rows that have the same Hessian.
        inverse: H⁻¹, see `inverse_hessian`.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, the shapes do not fit, or an entry of the
            inverse's diagonal is not positive.

    References:
        Hassibi & Stork (1993), Second order derivatives for network pruning: optimal brain
        surgeon, equation 5.

    >>> optimal_brain_surgeon(torch.tensor([2.0, 1.0]), torch.eye(2) / 4)
    tensor([8., 2.], dtype=torch.float64)

    Equation: eq-importance-surgeon, chapter 12.
    """
    diagonal = _require_inverse(weight, inverse)
    return weight.detach().double().square() / (2 * diagonal)


def surgeon_update(
    weight: Float[Tensor, " d"], inverse: Float[Tensor, "d d"], q: int
) -> Float64[Tensor, " d"]:
    """Return δw = −(w_q / [H⁻¹]_qq) H⁻¹ e_q, the best step of all weights that takes w_q to 0.

    Args:
        weight: w, one row.
        inverse: H⁻¹.
        q: which weight goes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `optimal_brain_surgeon`, or if ``weight`` is no vector or q out of range.

    References:
        Hassibi & Stork (1993), Optimal brain surgeon, equation 5.

    >>> surgeon_update(torch.tensor([2.0, 1.0]), torch.tensor([[2.0, 1.0], [1.0, 2.0]]), 0)
    tensor([-2., -1.], dtype=torch.float64)

    Equation: eq-importance-problem, eq-importance-update, chapter 12.
    """
    diagonal = _require_inverse(weight, inverse)
    _require_vector(weight)
    q = require_int("q", q, 0, len(weight) - 1)
    return -(weight.detach().double()[q] / diagonal[q]) * inverse.detach().double()[:, q]


def without_weight(inverse: Float[Tensor, "d d"], q: int) -> Float64[Tensor, "d d"]:
    """Return H⁻¹ − H⁻¹ e_q e_qᵀ H⁻¹ / [H⁻¹]_qq: the inverse once weight q is gone for good.

    Without row and column q, which are 0, it is the inverse of H without its row and column q.

    Args:
        inverse: H⁻¹; weights that are gone have a row and a column of zeros.
        q: which weight goes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``inverse`` is no square matrix, empty or not finite, q is out of range, or
            is gone already.
    """
    require_float_tensor("inverse", inverse)
    before = inverse.detach().double()
    if before.ndim != 2 or before.shape[0] != before.shape[1]:
        raise ValueError(f"inverse must be a square matrix, got shape {tuple(before.shape)}")
    q = require_int("q", q, 0, len(before) - 1)
    if before[q, q] <= 0:
        raise ValueError(f"q must be a weight that is still there, got {q}")
    after = before - torch.outer(before[:, q], before[q]) / before[q, q]
    after[q], after[:, q] = 0, 0  # exactly
    return after


@dataclass(frozen=True, eq=False)
class Surgery:
    """Weights after a number of removals, which went in which order, and what each one cost."""

    weight: Float64[Tensor, " d"]
    removed: Int64[Tensor, " steps"]
    cost: Float64[Tensor, " steps"]


def remove_by_surgeon(
    weight: Float[Tensor, " d"], hessian: Float[Tensor, "d d"], count: int
) -> Surgery:
    """Remove the cheapest weight, let the others make up, and again, ``count`` times.

    Each step is the best one, all together need not be. What is left is the least-squares answer
    for the weights that are left, and the costs add up to ½ δᵀ H δ.

    Args:
        weight: w, at a minimum of the loss.
        hessian: H, positive definite.
        count: how many to remove, from 0 to d − 1.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``weight`` is no vector, the shapes do not fit, a tensor is empty or not
            finite, ``count`` is out of range, or H cannot be inverted.

    References:
        Hassibi & Stork (1993), Optimal brain surgeon, section 3.
    """
    inverse = inverse_hessian(hessian)
    _require_inverse(weight, inverse)
    _require_vector(weight)
    count = require_int("count", count, 0, weight.numel() - 1)
    w = weight.detach().double().clone()
    alive = torch.ones(len(w), dtype=torch.bool, device=w.device)
    removed, costs = [], []
    for _ in range(count):
        cost = torch.full_like(w, torch.inf)
        cost[alive] = w[alive].square() / (2 * inverse.diagonal()[alive])
        q = int(cost.argmin())
        w = w - (w[q] / inverse[q, q]) * inverse[:, q]  # the update; 0 where a weight is gone
        inverse = without_weight(inverse, q)
        alive[q] = False
        w[~alive] = 0
        removed.append(q)
        costs.append(float(cost[q]))
    steps = torch.tensor(removed, dtype=torch.int64, device=w.device)
    return Surgery(w, steps, torch.tensor(costs, dtype=torch.float64, device=w.device))


def _require_vector(weight: Tensor) -> None:
    if weight.ndim != 1:
        raise ValueError(f"weight must be a vector, got shape {tuple(weight.shape)}")


def _require_inverse(weight: Tensor, inverse: Tensor) -> Tensor:
    """Return the inverse's diagonal in float64, once both are found to be fit."""
    require_float_tensor("weight", weight)
    require_float_tensor("inverse", inverse)
    d = weight.shape[-1] if weight.ndim else 0
    if inverse.shape != (d, d):
        raise ValueError(
            f"inverse must be ({d}, {d}), as long as weight's rows, got {tuple(inverse.shape)}"
        )
    diagonal = inverse.detach().double().diagonal()
    if (diagonal <= 0).any():
        raise ValueError("inverse must have a positive diagonal: H must be positive definite")
    return diagonal
