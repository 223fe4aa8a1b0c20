"""What the units that stay say of those that go, on a few images; labels are not needed.

A matrix of values has a row per example, h, and a column per unit. Computed in float64, in units of
a power of two near the largest value: no square overflows or vanishes, and no digit changes.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_int, require_real


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Old units as an affine function of those that stay: h ≈ U h_k + e.

    A layer that reads them, W' h + b', becomes (W' U) h_k + (b' + W' e).

    Args:
        unmerge: U, as `reference_impl.merging.width_map.WidthMap` takes it.
        offset: e, zeros if there was no intercept.
    """

    unmerge: Float64[Tensor, "n k"]
    offset: Float64[Tensor, " n"]


def reproduce(
    targets: Float[Tensor, "m n"],
    regressors: Float[Tensor, "m k"],
    towards: Float[Tensor, "n k"],
    *,
    ridge: float,
    intercept: bool = True,
) -> Reproduction:
    """Return the U, e of the least (1/m) Σ‖h − U h_k − e‖² + λ d ‖U − U_0‖²; d has h_k's scale.

    With C the covariances over the m examples, d the mean of the diagonal of C_kk,
    U = U_0 + (C_hk − U_0 C_kk)(C_kk + λ d I)⁻¹ and e = mean(h) − U mean(h_k). Of several best
    ones (λ = 0) the nearest to U_0. Without an intercept e = 0 and C are the mean products.

    Args:
        targets: h, what the units were.
        regressors: h_k, what is left to say it: columns of h, or of a network already narrowed.
        towards: U_0, what the ridge pulls to: plain pruning or merging, say.
        ridge: λ ≥ 0, without unit.
        intercept: whether there is an e; the next layer's bias takes it.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty or not finite, the shapes do not fit, or λ is negative or
            not finite.

    >>> h = torch.tensor([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]])  # the second is 2 · the first + 1
    >>> found = reproduce(h, h[:, :1], torch.tensor([[1.0], [0.0]]), ridge=0)
    >>> found.unmerge.flatten().round(decimals=6).tolist()
    [1.0, 2.0]
    >>> found.offset.round(decimals=6).abs().tolist()
    [0.0, 1.0]

    Equation: eq-merge-least-squares, eq-merge-solution, chapter 15.
    """
    for name, value in (("targets", targets), ("regressors", regressors), ("towards", towards)):
        _require_matrix(name, value)
    require_real("ridge", ridge, 0)
    require_instance("intercept", intercept, bool)
    (m, n), k = targets.shape, regressors.shape[1]
    if len(regressors) != m or towards.shape != (n, k):
        raise ValueError(
            f"regressors must be ({m}, k) and towards ({n}, k), "
            f"got {tuple(regressors.shape)} and {tuple(towards.shape)}"
        )
    unit = max(_power_of_two(targets), _power_of_two(regressors))
    h, kept = (x.detach().double() / unit for x in (targets, regressors))
    start = towards.detach().double()
    mean, kept_mean = h.mean(dim=0), kept.mean(dim=0)
    if intercept:
        h, kept = h - mean, kept - kept_mean
    cross, gram = h.T @ kept / m, kept.T @ kept / m
    damped = gram + ridge * gram.diagonal().mean() * torch.eye(k, dtype=gram.dtype)
    unmerge = start + (cross - start @ gram) @ torch.linalg.pinv(damped, hermitian=True)
    offset = mean - unmerge @ kept_mean if intercept else torch.zeros_like(mean)
    return Reproduction(unmerge, offset * unit)


def greedy_keep(
    values: Float[Tensor, "m n"],
    outgoing: Float[Tensor, "n d"],
    n_kept: int,
    *,
    ridge: float,
    intercept: bool = True,
) -> Bool[Tensor, " n"]:
    """Return the units to keep, one after another, for the most of what the next layer would lose.

    With R what the chosen ones leave of the covariances C, R = C − C_{:S} C_SS⁻¹ C_{S:}, and
    A = W'ᵀ W', the loss tr(A R) falls by (R A R)_ii / R_ii when i is chosen: a pivoted Cholesky
    factorization that looks at the outputs. Of equals the first.

    Args:
        values: h, what the units are.
        outgoing: W'ᵀ, all weights that read a unit in a row, such as
            `reference_impl.compress.units.outgoing_columns`.
        n_kept: how many stay.
        ridge: λ ≥ 0; R_ii + λ d stands for R_ii, d the mean of the diagonal of C.
        intercept: whether C are covariances, or mean products.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty or not finite, the shapes do not fit, ``n_kept`` is not
            in [1, n], or λ < 0.
    """
    _require_matrix("values", values)
    _require_matrix("outgoing", outgoing)
    n = values.shape[1]
    if len(outgoing) != n:
        raise ValueError(f"outgoing must be ({n}, d), got {tuple(outgoing.shape)}")
    require_int("n_kept", n_kept, 1, n)
    require_real("ridge", ridge, 0)
    require_instance("intercept", intercept, bool)
    h = values.detach().double() / _power_of_two(values)
    if intercept:
        h = h - h.mean(dim=0)
    reads = outgoing.detach().double() / _power_of_two(outgoing)
    left = h.T @ h / len(h)
    original = left.diagonal().clone()
    keep = torch.zeros(n, dtype=torch.bool, device=left.device)
    for _ in range(n_kept):
        pivot = left.diagonal() + ridge * original.mean()
        gain = (left @ reads).square().sum(dim=1) / pivot
        gain[pivot <= 1e-12 * original] = 0  # said by the others already, but for rounding
        gain[keep] = -1
        best = int(gain.argmax())
        keep[best] = True
        if gain[best] > 0:
            left = left - torch.outer(left[best], left[best]) / pivot[best]
    return keep


def _power_of_two(x: Tensor) -> float:
    """Return the largest one that is not above the largest magnitude; 1 of zeros."""
    largest = x.detach().abs().max().item()
    return 2.0 ** (math.frexp(largest)[1] - 1) if largest > 0 else 1.0


def _require_matrix(name: str, value: Tensor) -> None:
    require_float_tensor(name, value)
    if value.ndim != 2:
        raise ValueError(f"{name} must be a matrix, got shape {tuple(value.shape)}")
