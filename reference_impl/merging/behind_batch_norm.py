"""Two units after BatchNorm whose weights are parallel: one is an affine function of the other."""

from typing import Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checked import Finite, NonNegative, Within, checked, widened

PerUnit = Finite[Tensor, " units"]
Variance = Annotated[Float[Tensor, " units"], Within(0)]
Units = Annotated[Int64[Tensor, " pairs"], Within(0)]
PerPair = Float[Tensor, " pairs"]
Factor = Float[Tensor, " units"]


@checked
def batch_norm_factor(gamma: PerUnit, variance: Variance, *, eps: NonNegative) -> Factor:
    """Return γ / √(variance + ε), by which BatchNorm multiplies a unit in evaluation mode."""
    return gamma / torch.sqrt(variance + eps)


@checked
def normalised_relation(
    factor: Finite[Tensor, " pairs"],
    pairs: tuple[Units, Units],
    *,
    gamma: PerUnit,
    beta: PerUnit,
    mean: PerUnit,
    variance: Variance,
    eps: NonNegative,
) -> tuple[PerPair, PerPair]:
    """Return c_fold, β_fold of a_j · x = c_fold (a_i · x) + β_fold, where w_j = c w_i.

    a are the rows with BatchNorm folded, w the filters before it. c_fold = c (γ_j/σ_j) / (γ_i/σ_i)
    with σ = √(variance + ε), and β_fold = β_j − c_fold β_i with the folded biases
    β_norm − γ mean / σ, the running mean less the layer's own bias if there is one. ``pairs`` are
    the kept units i and the units j. γ_i must not be 0: unit i is then constant. Through ReLU the
    relation passes only where c_fold > 0 and β_fold = 0, or where c_fold = 0 ≤ β_fold.

    References: Kim et al. 2020, "Neuron merging: compensating for pruned neurons".
    Equation: eq-merge-norm, chapter 17.
    """
    i, j = pairs
    if max(i.max(), j.max()) >= len(gamma):
        raise ValueError(f"pairs must be of units 0 to {len(gamma) - 1}, got {pairs}")
    if not gamma[i].all():
        raise ValueError(f"gamma must not be 0 for a kept unit, got 0 for {i[gamma[i] == 0]}")
    gamma, variance, mean = widened(gamma), widened(variance), widened(mean)
    a = batch_norm_factor(gamma, variance, eps=eps)
    b = beta - a * mean
    scale = factor * a[j] / a[i]
    return scale, b[j] - scale * b[i]
