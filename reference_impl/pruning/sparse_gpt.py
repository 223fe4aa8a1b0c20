"""A layer without some of its weights: its output's error, the best weights left, SparseGPT.

W has a row per output, X a row per example, and H = 2 Xᵀ X is positive definite, see
`reference_impl.pruning.brain_surgeon.input_hessian`. Everything is computed in float64.
"""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from reference_impl.checked import Count, Finite, checked
from reference_impl.pruning.brain_surgeon import inverse_hessian
from reference_impl.pruning.masks import Sparsity, keep_highest

Weight = Finite[Tensor, "out in"]
Hessian = Finite[Tensor, "in in"]
Errors = Float64[Tensor, " out"]
Pruned = Float64[Tensor, "out in"]


@checked
def reconstruction_error(weight: Weight, pruned: Weight, hessian: Hessian) -> Errors:
    """Return ½ δ_iᵀ H δ_i = ‖X (w_i − ŵ_i)‖² of each output i, with δ = Ŵ − W and H = 2 Xᵀ X."""
    delta = pruned.detach().double() - weight.detach().double()
    return 0.5 * ((delta @ hessian.detach().double()) * delta).sum(dim=1)


@checked
def refit(weight: Weight, hessian: Hessian, keep: Bool[Tensor, "out in"]) -> Pruned:
    """Return for each row the weights, 0 where dropped, of the least ‖X (w − ŵ)‖².

    ŵ_K = w_K + H_KK⁻¹ H_KD w_D, with K the columns kept and D those dropped: each row solves a
    system of its own, which is what SparseGPT saves.
    """
    inverse_hessian(hessian)  # refuses H if it is not positive definite; if it is, so is each H_KK
    w, h = weight.detach().double(), hessian.detach().double()
    best = torch.zeros_like(w)
    for i, row in enumerate(keep):
        if row.any():
            target = h[row][:, ~row] @ w[i, ~row]
            best[i, row] = w[i, row] + torch.linalg.solve(h[row][:, row], target)
    return best


@checked
def sparse_gpt(
    weight: Weight, hessian: Hessian, sparsity: Sparsity, *, block: Count = 128
) -> Pruned:
    """Prune a layer column by column; the columns to the right compensate for each weight.

    >>> import torch
    >>> weight, hessian = torch.tensor([[2.0, 1.0]]), torch.tensor([[5.0, 4.0], [4.0, 5.0]])
    >>> sparse_gpt(weight, hessian, 0.5)  # the left one may not help
    tensor([[2., 0.]], dtype=torch.float64)

    In each ``block`` of columns, over all its rows, the round(sparsity · n) weights of the least
    w_q² / [H_R⁻¹]_qq are dropped (among equals, the first), where R are the columns from q on. Then
    from left to right, for each dropped w_q, w_R ← w_R − (w_q / [H_R⁻¹]_qq) [H_R⁻¹]_{q,R}: the
    surgeon's update. One factor H⁻¹ = Uᵀ U serves all rows: [H_R⁻¹]_qq = U_qq² and
    [H_R⁻¹]_{q,R} = U_qq U_{q,R}. The scale of H does not matter.

    References: Frantar & Alistarh 2023, "SparseGPT", algorithm 1.
    Equation: eq-importance-row, chapter 14.
    """
    u = torch.linalg.cholesky(inverse_hessian(hessian), upper=True)
    w = weight.detach().double().clone()
    for start in range(0, w.shape[1], block):
        end = min(start + block, w.shape[1])
        keep = keep_highest(
            w[:, start:end].square() / u.diagonal()[start:end].square(), share=1 - sparsity
        )
        for j in range(start, end):
            gone = ~keep[:, j - start]
            error = torch.where(gone, w[:, j] / u[j, j], 0)
            w[:, j:] -= torch.outer(error, u[j, j:])
            w[gone, j] = 0  # exactly
    return w
