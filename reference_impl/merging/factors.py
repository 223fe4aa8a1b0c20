"""By which factor c a ReLU unit stands for another: ReLU(a_j · x) ≈ c ReLU(a_i · x).

Rows a = [w, β] act on x = [inputs, 1]. Pairs are given row by row: kept a_i, removed a_j. Factors
are computed in float64 and returned in the wider of the rows' types.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, Where, Within, checked, widened

Gone = Finite[Tensor, "m d"]
Kept = Annotated[Gone, Where("without a zero row", lambda rows: bool(rows.any(dim=1).all()))]
Cosines = Annotated[Float[Tensor, "*shape"], Within(-1, 1)]
Factors = Annotated[Float[Tensor, " m"], Within(0)]


@checked
def projection_scale(kept: Kept, gone: Gone) -> Float[Tensor, " m"]:
    """Return c = max(⟨a_i, a_j⟩ / ‖a_i‖², 0); 0 is pruning.

    >>> import torch
    >>> a = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[4.0, -2.0, 4.0]])
    >>> projection_scale(*a)  # 8/9
    tensor([0.8889])

    Equation: eq-merge-projection, eq-merge-worst, chapter 17.
    """
    a_i, a_j = kept.double(), gone.double()
    c = ((a_i * a_j).sum(dim=1) / a_i.square().sum(dim=1)).clamp(min=0)
    return c.to(torch.promote_types(kept.dtype, gone.dtype))


@checked
def norm_ratio_scale(kept: Kept, gone: Gone) -> Float[Tensor, " m"]:
    """Return c = ‖a_j‖ / ‖a_i‖.

    >>> import torch
    >>> norm_ratio_scale(torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[4.0, -2.0, 4.0]]))
    tensor([2.])

    References: Kim et al. 2020, "Neuron merging: compensating for pruned neurons".
    Equation: eq-merge-norm-ratio, chapter 17.
    """
    c: Tensor = gone.double().norm(dim=1) / kept.double().norm(dim=1)
    return c.to(torch.promote_types(kept.dtype, gone.dtype))


@checked
def gaussian_scale(kept: Kept, gone: Gone) -> Float[Tensor, " m"]:
    """Return c = κ(cos θ) ‖a_j‖ / ‖a_i‖, the best for isotropic Gaussian x.

    >>> import torch
    >>> a = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[4.0, -2.0, 4.0]])
    >>> gaussian_scale(*a)
    tensor([1.1450])

    Equation: eq-merge-best, chapter 17.
    """
    a_i, a_j = kept.double(), gone.double()
    cosine = F.cosine_similarity(a_i, a_j, dim=1, eps=1e-300).clamp(-1, 1)  # 0 if a_j = 0
    c = kappa(cosine) * norm_ratio_scale(a_i, a_j)
    return c.to(torch.promote_types(kept.dtype, gone.dtype))


@checked
def kappa(cosine: Cosines) -> Float[Tensor, "*shape"]:
    """Return κ = (sin θ + (π − θ) cos θ) / π, the cosine of two ReLU units' values.

    For unit vectors and isotropic Gaussian x, κ = 2 E[ReLU(a_i · x) ReLU(a_j · x)].

    >>> kappa(torch.tensor([-1.0, 1.0]))
    tensor([0., 1.])

    References: Cho & Saul 2009, "Kernel methods for deep learning", the kernel of order 1.
    Equation: eq-merge-kernel, eq-merge-kappa, chapter 17.
    """
    cosine = widened(cosine)
    theta = torch.acos(cosine)
    return (((1 - cosine**2).sqrt() + (math.pi - theta) * cosine) / math.pi).clamp(0, 1)


@checked
def relative_error(cosine: Cosines, ratio: Finite[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return E(h_j − c h_i)² / E h_j² = 1 + ratio² − 2 κ ratio, with h = ReLU(a · x), Gaussian x.

    >>> import torch
    >>> relative_error(torch.zeros(3), torch.tensor([0.0, 1 / torch.pi, 1.0]))  # at 90°
    tensor([1.0000, 0.8987, 1.3634])

    ratio = c ‖a_i‖ / ‖a_j‖: 0 prunes, cos θ projects, 1 is the ratio of norms, κ is the best.

    Equation: eq-merge-relative, chapter 17.
    """
    ratio, cosine = widened(ratio), widened(cosine)
    return 1 + ratio**2 - 2 * ratio * kappa(cosine)


@checked
def error_bound(kept: Kept, gone: Gone, scale: Factors) -> Float[Tensor, " m"]:
    """Return ‖a_j − c a_i‖ ≥ |ReLU(a_j · x) − c ReLU(a_i · x)| / ‖x‖, for c ≥ 0.

    >>> import torch
    >>> a = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    >>> error_bound(*a, torch.tensor([3.0]))
    tensor([4.])

    Since c ReLU(t) = ReLU(c t) and |ReLU(s) − ReLU(t)| ≤ |s − t|, then Cauchy–Schwarz.

    Equation: eq-merge-bound, eq-merge-bounds, chapter 17.
    """
    bound: Tensor = (gone.double() - scale.unsqueeze(1) * kept.double()).norm(dim=1)
    widest = torch.promote_types(torch.promote_types(kept.dtype, gone.dtype), scale.dtype)
    return bound.to(widest)
