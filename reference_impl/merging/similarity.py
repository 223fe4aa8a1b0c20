"""How alike the units of a layer are: the cosine of their weights, all pairs in one product."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor

TILE = 256
"""Rows of a tile: small enough for a tile to stay in the cache while it is mirrored."""


def cosine_similarity(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """Return S_ij = a_i · a_j / (‖a_i‖ ‖a_j‖) = (U Uᵀ)_ij, with u_i = a_i / ‖a_i‖.

    Args:
        rows: one unit's incoming weights a row, flattened, with its bias if it has one.

    Returns:
        Cosines in [−1, 1], without a unit; symmetric.

    Raises:
        TypeError: if ``rows`` is no floating-point tensor.
        ValueError: if it is no matrix, empty, not finite, or a row is zero: it has no direction.

    >>> cosine_similarity(torch.tensor([[3.0, 4.0], [6.0, 8.0], [-4.0, 3.0]])).round(decimals=6)
    tensor([[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 1.]])

    Equation: eq-merge-similarity, eq-merge-product, chapter 15.
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
    wide = unit.double() if unit.dtype == torch.float64 else unit.float()  # as numpy has them
    return _cosines(wide.cpu()).to(rows)


def _cosines(unit: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    """Return U Uᵀ within [−1, 1], half of it computed: tiles on and above the diagonal, mirrored.

    Exactly symmetric, which no whole product promises. NumPy's product is taken, which knows of
    A Aᵀ that it is symmetric.
    """
    gram = unit.new_empty(len(unit), len(unit))
    u, products = unit.numpy(), gram.numpy()
    for i in range(0, len(u), TILE):
        for j in range(i, len(u), TILE):
            here, there = slice(i, i + TILE), slice(j, j + TILE)
            np.matmul(u[here], u[there].T, out=products[here, there])
            gram[here, there].clamp_(-1, 1)
            if j > i:
                gram[there, here] = gram[here, there].T
    return gram
