"""The removed units as functions of those kept, by their values on a few images, without labels.

A matrix of values has a row per example, h, and a column per unit. Everything is computed in
float64. C are the covariances over the examples, or without an intercept the mean products.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from reference_impl.checked import Count, Finite, NonNegative, checked

Values = Finite[Tensor, "m n"]


@checked
@dataclass(frozen=True, eq=False)
class Reproduction:
    """Old units as an affine function of those kept: h ≈ U h_k + e.

    A layer that reads them, W' h + b', becomes (W' U) h_k + (b' + W' e). U is ``unmerge``, as in
    `reference_impl.merging.width_map.WidthMap`; e is ``offset``, 0 without an intercept.
    """

    unmerge: Finite[Tensor, "n k"]
    offset: Finite[Tensor, " n"]


@checked
def reproduce(
    targets: Values,
    regressors: Finite[Tensor, "m k"],
    towards: Finite[Tensor, "n k"],
    *,
    ridge: NonNegative,
    intercept: bool = True,
) -> Reproduction:
    """Return the U, e of the least (1/m) Σ‖h − U h_k − e‖² + λ d ‖U − U_0‖².

    U = U_0 + (C_hk − U_0 C_kk)(C_kk + λ d I)⁻¹ with d the mean of the diagonal of C_kk, so that λ
    has no unit, and e = mean(h) − U mean(h_k). Among several best ones (λ = 0), the nearest to U_0.
    h_k are columns of h, or units of a network already narrowed; U_0 is plain pruning or merging.

    >>> h = torch.tensor([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]])  # the second is 2 · the first + 1
    >>> found = reproduce(h, h[:, :1], torch.tensor([[1.0], [0.0]]), ridge=0)
    >>> found.unmerge.flatten().round(decimals=6).tolist()
    [1.0, 2.0]
    >>> found.offset.round(decimals=6).abs().tolist()
    [0.0, 1.0]

    Equation: eq-merge-least-squares, eq-merge-solution, chapter 18.
    """
    h, kept, start = (x.detach().double() for x in (targets, regressors, towards))
    mean, kept_mean = (x.mean(dim=0) * intercept for x in (h, kept))
    h, kept = h - mean, kept - kept_mean
    cross, gram = h.T @ kept / len(h), kept.T @ kept / len(h)
    damped = gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    unmerge = start + (cross - start @ gram) @ torch.linalg.pinv(damped, hermitian=True)
    return Reproduction(unmerge, mean - unmerge @ kept_mean)


@checked
def greedy_keep(
    values: Values,
    outgoing: Finite[Tensor, "n d"],
    n_kept: Count,
    *,
    ridge: NonNegative,
    intercept: bool = True,
) -> Bool[Tensor, " n"]:
    """Return the units to keep, one after another, for the most of what the next layer would lose.

    With R what the chosen ones leave of C, R = C − C_{:S} C_SS⁻¹ C_{S:}, and A = W'ᵀ W', the loss
    tr(A R) falls by (R A R)_ii / R_ii when i is chosen: a pivoted Cholesky factorization that looks
    at the outputs. R_ii + λ d replaces R_ii, d the mean of the diagonal of C. Among equals, the
    first. W'ᵀ is such as `reference_impl.compress.outgoing_columns`.
    """
    if n_kept > values.shape[1]:
        raise ValueError(f"n_kept must be in [1, {values.shape[1]}], got {n_kept}")
    h, reads = values.detach().double(), outgoing.detach().double()
    h = h - h.mean(dim=0) * intercept
    left = h.T @ h / len(h)
    original = left.diagonal().clone()
    keep = torch.zeros_like(original, dtype=torch.bool)
    for _ in range(n_kept):
        pivot = left.diagonal() + ridge * original.mean()
        gain = (left @ reads).square().sum(dim=1) / pivot
        gain[pivot <= 1e-12 * original] = 0  # the others give its values, up to rounding
        gain[keep] = -1
        best = int(gain.argmax())
        keep[best] = True
        if gain[best] > 0:
            left = left - torch.outer(left[best], left[best]) / pivot[best]
    return keep
