"""Where floating point needs care in the losses: half precision, and vectors of length 0."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor


def widened(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return ``x`` in 32 bits or more: a sum of squares soon leaves the range of float16."""
    return x if x.dtype.itemsize >= 4 else x.float()


def unit(x: Float[Tensor, "*shape"], *, dim: int = -1) -> Float[Tensor, "*shape"]:
    """Return x / ‖x‖ along an axis; 0, with the gradient 0, where ‖x‖² is 0 in the type of x.

    ``F.normalize`` divides by 10⁻¹² there, and multiplies the gradient by 10¹².

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    length: Tensor = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    divisor: Tensor = length.masked_fill(length == 0, torch.inf)
    return x / divisor


def finite(loss: Float[Tensor, ""], student: Tensor, teacher: Tensor) -> Float[Tensor, ""]:
    """Return the loss; if it is not finite, name the argument that is not, or say that none is.

    To look at one number is cheaper than to look at all that went into it.

    Raises:
        ValueError: if ``student`` or ``teacher`` holds a nan or an inf, or the loss overflowed.
    """
    value = loss.item()
    if not math.isfinite(value):
        require_float_tensor("student", student)
        require_float_tensor("teacher", teacher)
        raise ValueError(
            f"student and teacher must give a finite loss, got {value}: their numbers are too "
            "large, or a temperature is too small"
        )
    return loss
