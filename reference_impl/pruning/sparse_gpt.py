"""A layer without some of its weights: its output's error, the best that is left, SparseGPT.

W has a row per output, X a row per example, and H = 2 Xᵀ X; the error is ‖X (W − Ŵ)ᵀ‖². Everything
is computed in float64.
"""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_same_shape
from reference_impl.pruning.brain_surgeon import inverse_hessian
from reference_impl.pruning.masks import keep_highest


def reconstruction_error(
    weight: Float[Tensor, "out in"],
    pruned: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
) -> Float64[Tensor, " out"]:
    """Return ½ δ_iᵀ H δ_i = ‖X (w_i − ŵ_i)‖² of each output i, with δ = Ŵ − W and H = 2 Xᵀ X.

    Args:
        weight: W.
        pruned: Ŵ.
        hessian: H, see `reference_impl.pruning.brain_surgeon.input_hessian`.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, or the shapes do not fit.
    """
    require_float_tensor("pruned", pruned)
    w, h = _require_layer(weight, hessian)
    require_same_shape("pruned", pruned, "weight", weight)
    delta = pruned.detach().double() - w
    return 0.5 * ((delta @ h) * delta).sum(dim=1)


def refit(
    weight: Float[Tensor, "out in"], hessian: Float[Tensor, "in in"], keep: Bool[Tensor, "out in"]
) -> Float64[Tensor, "out in"]:
    """Return for each row the weights, 0 where dropped, of the least ‖X (w − ŵ)‖².

    ŵ_K = w_K + H_KK⁻¹ H_KD w_D, with K the columns kept and D those dropped: each row solves a
    system of its own, which is what SparseGPT saves.

    Args:
        weight: W.
        hessian: H, positive definite.
        keep: true for a weight that stays.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is empty or not finite, the shapes do not fit, or H cannot be inverted.
    """
    w, h = _require_layer(weight, hessian)
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool:
        raise TypeError("keep must be a torch.Tensor of booleans")
    require_same_shape("keep", keep, "weight", weight)
    inverse_hessian(h)  # positive definite, so is each of its parts
    best = torch.zeros_like(w)
    for i, row in enumerate(keep):
        if row.any():
            target = h[row][:, ~row] @ w[i, ~row]
            best[i, row] = w[i, row] + torch.linalg.solve(h[row][:, row], target)
    return best


def sparse_gpt(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    sparsity: float,
    *,
    block: int = 128,
) -> Float64[Tensor, "out in"]:
    """Prune a layer column by column; the columns not yet done make up for what a weight did.

    For each block of columns, over all its rows, the round(sparsity · n) weights of the least
    w_q² / [H_R⁻¹]_qq go (of equals the first), where R are the columns from q on. Then from left
    to right, for each w_q that goes, w_R ← w_R − (w_q / [H_R⁻¹]_qq) [H_R⁻¹]_{q,R}. One factor
    H⁻¹ = Uᵀ U serves all rows: [H_R⁻¹]_qq = U_qq² and [H_R⁻¹]_{q,R} = U_qq U_{q,R}.

    Args:
        weight: W.
        hessian: H, positive definite; its scale does not matter.
        sparsity: share of the weights of each block to drop, in [0, 1).
        block: columns whose mask is chosen at once.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty or not finite, the shapes do not fit, H cannot be
            inverted, ``sparsity`` is outside [0, 1) or ``block`` below 1.

    References:
        Frantar & Alistarh (2023), SparseGPT: massive language models can be accurately pruned in
        one shot, algorithm 1.

    Equation: eq-importance-row, chapter 12.
    """
    w, h = _require_layer(weight, hessian)
    block = require_int("block", block, 1)
    keep_highest(w, sparsity)  # refuses a bad sparsity before anything is done
    u = torch.linalg.cholesky(inverse_hessian(h), upper=True)
    w = w.clone()
    for start in range(0, w.shape[1], block):
        end = min(start + block, w.shape[1])
        keep = keep_highest(w[:, start:end].square() / u.diagonal()[start:end].square(), sparsity)
        for j in range(start, end):
            gone = ~keep[:, j - start]
            error = torch.where(gone, w[:, j] / u[j, j], 0)
            w[:, j:] -= torch.outer(error, u[j, j:])
            w[gone, j] = 0  # exactly
    return w


def _require_layer(weight: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
    require_float_tensor("weight", weight)
    require_float_tensor("hessian", hessian)
    if weight.ndim != 2 or hessian.shape != (weight.shape[1], weight.shape[1]):
        raise ValueError(
            "weight must be (out, in) and hessian (in, in), "
            f"got {tuple(weight.shape)} and {tuple(hessian.shape)}"
        )
    return weight.detach().double(), hessian.detach().double()
