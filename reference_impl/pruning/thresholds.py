"""Sparsity by a penalty: the soft and the hard threshold τ, and L1's proximal step."""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, NonNegative, Positive, checked

Weight = Finite[Tensor, "*shape"]
Result = Float[Tensor, "*shape"]


@checked
def soft_threshold(x: Weight, threshold: NonNegative) -> Result:
    """Return soft_τ(x) = sign(x) · max(|x| − τ, 0), the x̂ that minimizes ½ (x̂ − x)² + τ |x̂|.

    >>> soft_threshold(torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0).tolist()
    [2.0, 0.0, 0.0, -1.0]

    References: Tibshirani 1996, the lasso; Parikh & Boyd 2014, "Proximal algorithms", 6.5.2.
    Equation: eq-sparse-scalar, eq-sparse-soft, chapter 13.
    """
    return torch.where(x.abs() > threshold, x - threshold * x.sign(), 0)


@checked
def hard_threshold(x: Weight, threshold: NonNegative) -> Result:
    """Return hard_τ(x): x if |x| > τ, else 0; it minimizes ½ (x̂ − x)² + ½ τ² ‖x̂‖₀.

    >>> hard_threshold(torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0).tolist()
    [3.0, 0.0, 0.0, -2.0]

    Equation: eq-sparse-hard, chapter 13.
    """
    return torch.where(x.abs() > threshold, x, 0)


@checked
def proximal_step(
    weight: Weight, gradient: Weight, *, rate: Positive, penalty: NonNegative
) -> Result:
    """Return soft_τ(w − η ∇L) with τ = η λ: a step of rate η on L, then the penalty λ ‖w‖₁.

    ∇L is the gradient of L without the penalty; λ is in units of L per unit of |w|.

    >>> w, g = torch.tensor([1.0, 0.1]), torch.tensor([2.0, 0.0])
    >>> proximal_step(w, g, rate=0.25, penalty=0.5).tolist()
    [0.375, 0.0]

    References: Parikh & Boyd 2014, "Proximal algorithms", section 4.2.
    Equation: eq-sparse-penalty, eq-sparse-model, eq-sparse-proximal, chapter 13.
    """
    return soft_threshold(weight - rate * gradient, rate * penalty)
