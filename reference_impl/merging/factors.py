"""By which factor c a ReLU unit stands for another: ReLU(a_j · x) ≈ c ReLU(a_i · x).

Rows a = [w, b] act on x = [inputs, 1]. Pairs are given row by row: kept a_i, gone a_j. Computed in
float64, in units of the kept row's largest weight: no square overflows or vanishes.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_same_shape


def projection_scale(kept: Float[Tensor, "m d"], gone: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Return c = max(⟨a_i, a_j⟩ / ‖a_i‖², 0); 0 is pruning.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is no matrix or not finite, shapes differ, or a kept row is zero.

    Equation: eq-merge-projection, eq-merge-worst, chapter 15.
    """
    dtype = _require_pairs(kept, gone)
    kept, gone, _ = _in_units_of_kept(kept, gone)
    return ((kept * gone).sum(dim=1) / kept.square().sum(dim=1)).clamp(min=0).to(dtype)


def norm_ratio_scale(kept: Float[Tensor, "m d"], gone: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Return c = ‖a_j‖ / ‖a_i‖.

    Raises:
        TypeError, ValueError: as `projection_scale`.

    References:
        Kim, Kim, Park & Jeon (2020), Neuron merging: compensating for pruned neurons.

    Equation: eq-merge-norm-ratio, chapter 15.
    """
    dtype = _require_pairs(kept, gone)
    kept, gone, _ = _in_units_of_kept(kept, gone)
    ratio: Tensor = gone.norm(dim=1) / kept.norm(dim=1)
    return ratio.to(dtype)


def gaussian_scale(kept: Float[Tensor, "m d"], gone: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Return c = κ(cos θ) ‖a_j‖ / ‖a_i‖, the best for isotropic Gaussian x.

    Raises:
        TypeError, ValueError: as `projection_scale`.

    Equation: eq-merge-best, chapter 15.
    """
    dtype = _require_pairs(kept, gone)
    kept, gone, _ = _in_units_of_kept(kept, gone)
    ratio = norm_ratio_scale(kept, gone)
    norms = kept.norm(dim=1) * gone.norm(dim=1)
    cosine = (kept * gone).sum(dim=1) / torch.where(norms > 0, norms, 1)
    return (kappa(cosine.clamp(-1, 1)) * ratio).to(dtype)


def kappa(cosine: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return κ = (sin θ + (π − θ) cos θ) / π, the cosine of two ReLU units' values.

    For unit vectors and isotropic Gaussian x, κ = 2 E[ReLU(a_i · x) ReLU(a_j · x)].

    Raises:
        TypeError: if ``cosine`` is no floating-point tensor.
        ValueError: if it is empty, not finite or outside [−1, 1].

    References:
        Cho & Saul (2009), Kernel methods for deep learning, the arc-cosine kernel of order 1.

    >>> kappa(torch.tensor([-1.0, 1.0]))
    tensor([0., 1.])

    Equation: eq-merge-kernel, eq-merge-kappa, chapter 15.
    """
    require_float_tensor("cosine", cosine)
    if (cosine.abs() > 1).any():
        raise ValueError(f"cosine must be in [-1, 1], got {cosine.abs().max().item()} in magnitude")
    theta = torch.acos(cosine)
    return (((1 - cosine**2).sqrt() + (math.pi - theta) * cosine) / math.pi).clamp(0, 1)


def relative_error(
    cosine: Float[Tensor, "*shape"], ratio: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return E(ReLU(a_j·x) − c ReLU(a_i·x))² / E ReLU(a_j·x)² = 1 + r² − 2 r κ, Gaussian x.

    Args:
        cosine: of a_i and a_j.
        ratio: r = c ‖a_i‖ / ‖a_j‖: 0 prunes, cos θ projects, 1 is the ratio of norms, κ the best.

    Raises:
        TypeError, ValueError: as `kappa`, and if the shapes differ.

    Equation: eq-merge-relative, chapter 15.
    """
    require_float_tensor("ratio", ratio)
    require_same_shape("ratio", ratio, "cosine", cosine)
    return 1 + ratio**2 - 2 * ratio * kappa(cosine)


def error_bound(
    kept: Float[Tensor, "m d"], gone: Float[Tensor, "m d"], scale: Float[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return ‖a_j − c a_i‖ ≥ |ReLU(a_j · x) − c ReLU(a_i · x)| / ‖x‖, for c ≥ 0.

    Since c ReLU(t) = ReLU(c t) and |ReLU(s) − ReLU(t)| ≤ |s − t|, then Cauchy–Schwarz.

    Raises:
        TypeError, ValueError: as `projection_scale`, and if ``scale`` is negative or not (m,).

    Equation: eq-merge-bound, eq-merge-bounds, chapter 15.
    """
    require_float_tensor("scale", scale)
    dtype = torch.promote_types(_require_pairs(kept, gone), scale.dtype)
    if scale.shape != kept.shape[:1] or (scale < 0).any():
        raise ValueError(
            f"scale must be {tuple(kept.shape[:1])} numbers of 0 or more, for ReLU passes no "
            f"negative factor, got {tuple(scale.shape)} with minimum {scale.min().item()}"
        )
    kept, gone, unit = _in_units_of_kept(kept, gone)
    bound: Tensor = (gone - scale.unsqueeze(1) * kept).norm(dim=1)
    return (bound * unit).to(dtype)


def _require_pairs(kept: Tensor, gone: Tensor) -> torch.dtype:
    """Refuse bad pairs; return the dtype of what is computed from both."""
    for name, rows in (("kept", kept), ("gone", gone)):
        require_float_tensor(name, rows)
        if rows.ndim != 2:
            raise ValueError(f"{name} must be a matrix, one row per unit, got {tuple(rows.shape)}")
    require_same_shape("gone", gone, "kept", kept)
    if (kept == 0).all(dim=1).any():
        raise ValueError("kept must have no zero row: no factor makes another unit of it")
    return torch.promote_types(kept.dtype, gone.dtype)


def _in_units_of_kept(
    kept: Float[Tensor, "m d"], gone: Float[Tensor, "m d"]
) -> tuple[Float64[Tensor, "m d"], Float64[Tensor, "m d"], Float64[Tensor, " m"]]:
    """Return both rows of each pair over the largest weight of the kept one, and that weight."""
    unit = kept.detach().double().abs().amax(dim=1, keepdim=True)
    return kept.double() / unit, gone.double() / unit, unit.squeeze(1)
