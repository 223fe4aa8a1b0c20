"""Markov kernels over inputs: matrices whose row i is a distribution over inputs j."""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_real
from reference_impl.distillation.numerics import widened

Kernel = Float[Tensor, "m m"]

ROW_SUM_TOLERANCE = 1e-5
"""By how much a row's sum may differ from 1."""


def gaussian_kernel(x: Float[Tensor, "m ..."], *, width: float) -> Kernel:
    """Return K_ij = w_ij / Σ_k w_ik with w_ij = exp(−‖x_i − x_j‖² / (2 σ²)).

    Args:
        x: m inputs, flattened to rows.
        width: σ > 0, in the unit of x.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``x`` is empty or not finite, or σ is not above 0.
    """
    sigma = require_real("width", width, 0, open_low=True)
    kernel = torch.softmax(-(_distances(x) / sigma).square() / 2, dim=1)
    return kernel.to(widened(x).dtype)


def neighbour_kernel(x: Float[Tensor, "m ..."], *, neighbours: int) -> Kernel:
    """Return K_ij = w_ij / Σ_k w_ik; w_ij is 1 if i is among j's nearest or j among i's, else 0.

    No input is its own neighbour. Of two that are equally far, the first is nearer.

    Args:
        x: m inputs, flattened to rows.
        neighbours: how many are the nearest, at least 1 and below m.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``x`` is empty or not finite, or there are not as many neighbours.
    """
    distances = _distances(x)
    if len(distances) < 2:
        raise ValueError(f"x must hold two inputs or more, got shape {tuple(x.shape)}")
    k = require_int("neighbours", neighbours, 1, len(distances) - 1)
    nearest = distances.fill_diagonal_(torch.inf).argsort(dim=1, stable=True)[:, :k]
    chosen = torch.zeros_like(distances).scatter_(1, nearest, 1.0)
    weights = torch.maximum(chosen, chosen.T).to(widened(x).dtype)
    return weights / weights.sum(dim=1, keepdim=True)


def require_kernel(name: str, kernel: Tensor, *, square: bool = True) -> None:
    """Refuse what is no matrix of rows that are distributions.

    Raises:
        TypeError: if ``kernel`` is no tensor of float32 or float64.
        ValueError: if it is no (square) matrix, has a negative entry, or a row whose sum is not 1.
    """
    require_float_tensor(name, kernel)
    if kernel.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be of float32 or float64, got {kernel.dtype}")
    if kernel.ndim != 2 or (square and kernel.shape[0] != kernel.shape[1]):
        shape = "(m, m)" if square else "a matrix"
        raise ValueError(f"{name} must be {shape}, got shape {tuple(kernel.shape)}")
    if kernel.min() < 0:
        raise ValueError(f"{name} must not be negative, got {kernel.min().item()}")
    sums = kernel.double().sum(dim=1)
    worst = int((sums - 1).abs().argmax())
    if abs(sums[worst].item() - 1) > ROW_SUM_TOLERANCE:
        raise ValueError(
            f"{name} must have rows that sum to 1, row {worst} sums to {sums[worst].item():.6g}"
        )


def _distances(x: Tensor) -> Tensor:
    """Return ‖x_i − x_j‖ in float64, without the cancellation of ‖x_i‖² − 2 ⟨x_i, x_j⟩ + ‖x_j‖²."""
    require_float_tensor("x", x)
    if x.ndim < 2:
        raise ValueError(f"x must be (m, ...), got shape {tuple(x.shape)}")
    rows = x.double().flatten(1)
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    if not distances.isfinite().all():
        raise ValueError(f"x must have finite distances, got numbers up to {x.abs().max().item()}")
    return distances
