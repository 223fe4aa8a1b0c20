"""How alike the units of a layer are: the cosine of their weights, all pairs in one product."""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, checked, widened


@checked
def cosine_similarity(rows: Finite[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """Return cos θ_ij = a_i · a_j / (‖a_i‖ ‖a_j‖) = (Â Âᵀ)_ij, where row i of Â is a_i / ‖a_i‖.

    A row has a unit's incoming weights, with its bias if there is one; a zero row has no direction.
    The result is exactly symmetric: NumPy computes one half of Â Âᵀ and mirrors it, torch computes
    both. A cosine that rounding alone keeps below 1 is 1: a row and its copy are parallel.

    >>> cosine_similarity(torch.tensor([[3.0, 4.0], [6.0, 8.0], [-4.0, 3.0]])).round(decimals=6)
    tensor([[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 1.]])

    Equation: eq-merge-similarity, eq-merge-product, chapter 17.
    """
    wide = widened(rows.detach()).cpu()
    norm = wide.norm(dim=1, keepdim=True)
    if not norm.all():
        zero = int(norm.argmin())
        raise ValueError(f"rows must not be zero, which has no direction, got row {zero} of 0")
    u = (wide / norm).numpy()
    similarity = torch.from_numpy(u @ u.T).clamp_(-1, 1)
    almost = 1 - 8 * torch.finfo(similarity.dtype).eps
    return similarity.masked_fill_(similarity > almost, 1).to(rows)
