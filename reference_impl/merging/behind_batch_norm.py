"""Two units behind BatchNorm whose weights are parallel: one is an affine function of the other."""

from typing import Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checked import Finite, NonNegative, Within, checked
from reference_impl.checks import (
    require_float_tensor,
    require_integer_tensor,
    require_real,
    require_same_shape,
)

NotNegative = Annotated[Float[Tensor, " units"], Within(0)]


@checked
def batch_norm_factor(
    gamma: Finite[Tensor, " units"], variance: NotNegative, *, eps: NonNegative
) -> Float[Tensor, " units"]:
    """Return a = γ / √(σ² + ε), by which BatchNorm multiplies each unit in evaluation mode."""
    return gamma / torch.sqrt(variance + eps)


def normalised_relation(
    factor: Float[Tensor, " pairs"],
    pairs: tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]],
    *,
    gamma: Float[Tensor, " units"],
    beta: Float[Tensor, " units"],
    mean: Float[Tensor, " units"],
    variance: Float[Tensor, " units"],
    eps: float,
) -> tuple[Float[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """Return S, B of y_j = S y_i + B behind BatchNorm, where w_j = s w_i before it.

    S = s (γ_j / γ_i)(σ_i / σ_j) with σ = √(variance + ε), and B = b_j − S b_i with the folded
    biases b = β − γ mean / σ. Through ReLU the relation passes only where S > 0 and B = 0, or where
    S = 0 ≤ B and y_j is constant.

    Args:
        factor: s.
        pairs: the units i that stay, and the units j.
        gamma: γ, BatchNorm's weight.
        beta: β, its bias.
        mean: its running mean; less the layer's own bias, if that has one.
        variance: its running variance.
        eps: ε.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty or not finite, the shapes do not fit, there is no such
            unit, a variance is negative, ε < 0, a variance + ε is 0, or a γ_i is 0: y_i is then
            constant.

    References:
        Kim, Kim, Park & Jeon (2020), Neuron merging: compensating for pruned neurons.

    Equation: eq-merge-norm, chapter 15.
    """
    kept, gone = pairs
    norm = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    for name, value in norm.items():
        require_float_tensor(name, value)
        require_same_shape(name, value, "gamma", gamma)
    if gamma.ndim != 1:
        raise ValueError(f"gamma must have an entry for each unit, got shape {tuple(gamma.shape)}")
    require_float_tensor("factor", factor)
    for name, units in (("pairs[0]", kept), ("pairs[1]", gone)):
        require_integer_tensor(name, units)
        if units.dtype != torch.int64:  # torch takes uint8 for a mask
            raise TypeError(f"{name} must hold {torch.int64}, got {units.dtype}")
        require_same_shape(name, units, "factor", factor)
        if (units < 0).any() or (units >= len(gamma)).any():
            raise ValueError(f"{name} must be units 0 to {len(gamma) - 1}, got {units.tolist()}")
    require_real("eps", eps, 0)
    if (variance < 0).any():
        raise ValueError(f"variance must be at least 0, got {variance.min().item()}")
    if (variance + eps == 0).any():
        raise ValueError("variance + eps must be more than 0, got 0: there is nothing to divide by")
    if (gamma[kept] == 0).any():
        dead = kept[gamma[kept] == 0].tolist()
        raise ValueError(f"gamma of a unit that stays must not be 0, got 0 for {dead}")
    sigma = torch.sqrt(variance + eps)
    bias = beta - gamma * mean / sigma
    scale = factor * (gamma[gone] / gamma[kept]) * (sigma[kept] / sigma[gone])
    return scale, bias[gone] - scale * bias[kept]
