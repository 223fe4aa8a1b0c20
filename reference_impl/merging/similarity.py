"""How alike the units of a layer are: the cosine of their weights, all pairs in one product."""

from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor


def cosine_similarity(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """Return S_ij = a_i · a_j / (‖a_i‖ ‖a_j‖) = (U Uᵀ)_ij, with u_i = a_i / ‖a_i‖.

    Args:
        rows: one unit's incoming weights a row, flattened, with its bias if it has one.

    Returns:
        Cosines in [−1, 1], without a unit; symmetric.

    Raises:
        TypeError: if ``rows`` is no floating-point tensor.
        ValueError: if it is no matrix, empty, not finite, or a row is zero: it has no direction.

    >>> import torch
    >>> cosine_similarity(torch.tensor([[3.0, 4.0], [6.0, 8.0], [-4.0, 3.0]]))
    tensor([[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 1.]])
    """
    require_float_tensor("rows", rows)
    if rows.ndim != 2:
        raise ValueError(f"rows must be a matrix, one row per unit, got {tuple(rows.shape)}")
    largest = rows.detach().abs().amax(dim=1, keepdim=True)
    zero = (largest == 0).flatten().nonzero().flatten().tolist()
    if zero:
        raise ValueError(f"rows must not be zero, which has no direction, got row {zero[0]} of 0")
    unit = rows.detach() / largest  # no square of it overflows or vanishes
    unit = unit / unit.norm(dim=1, keepdim=True)
    cosine: Tensor = unit @ unit.T
    return cosine.clamp_(-1, 1)
