"""Where floating point needs care in the losses: vectors of length 0."""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import checked, widened


@checked
def unit(x: Float[Tensor, "*shape"], *, dim: int = -1) -> Float[Tensor, "*shape"]:
    """Return x / ‖x‖ along an axis; 0, with the gradient 0, where ‖x‖² is 0 or overflows.

    ``F.normalize`` divides by 10⁻¹² there, and multiplies the gradient by 10¹².

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    length: Tensor = torch.linalg.vector_norm(widened(x), dim=dim, keepdim=True)
    divisor: Tensor = length.masked_fill(length == 0, torch.inf)
    return (x / divisor).to(x.dtype)
