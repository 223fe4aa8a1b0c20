"""Scores of single weights: the larger, the more a loss is expected to grow without the weight.

Tensors go in and a score of the weight's shape comes out; what a network must be run for, such as
the gradient g of the mean loss by the weight w, is an argument. Scores carry no gradient; those
of half precision are computed and returned in float32, as products of small numbers leave it.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, Within, checked, widened

Weight = Finite[Tensor, "*shape"]
MeanSquare = Annotated[Float[Tensor, "*shape"], Within(0)]
InputNorm = Annotated[Float[Tensor, " in"], Within(0)]
ByName = Mapping[str, Finite[Tensor, "..."]]
Score = Float[Tensor, "*shape"]


@checked
def magnitude(weight: Weight) -> Score:
    """Return |w|, in the weight's unit.

    >>> magnitude(torch.tensor([-2.0, 0.5]))
    tensor([2.0000, 0.5000])

    References: Han et al. 2015, "Learning both weights and connections", section 3.1.
    Equation: eq-importance-magnitude, chapter 14.
    """
    return weight.detach().abs()


@checked
def taylor(weight: Weight, gradient: Weight) -> Score:
    """Return (g w)², the square of the loss's change when w is set to 0, to first order.

    The mean over examples comes before the square. In a minimum this is 0 for every weight;
    `mean_square_taylor` is not.

    >>> taylor(torch.tensor([2.0, 3.0]), torch.tensor([-1.0, 0.0]))
    tensor([4., 0.])

    References: Molchanov et al. 2019, "Importance estimation for neural network pruning", eq. 8.
    Equation: eq-importance-taylor, chapter 14.
    """
    return (widened(gradient) * weight).square().detach()


@checked
def mean_square_taylor(weight: Weight, mean_square_gradient: MeanSquare) -> Score:
    """Return mean_n (g_n w)² = w² mean_n g_n²: the square comes before the mean over examples.

    It is never less than `taylor`; the difference is w² times the gradients' variance. Half of it
    is optimal brain damage with the empirical Fisher diagonal in place of the Hessian's.

    >>> mean_square_taylor(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 4.0]))
    tensor([ 4., 36.])

    Equation: eq-importance-mean-square, chapter 14.
    """
    return (mean_square_gradient * widened(weight).square()).detach()


@checked
def snip(weights: ByName, gradients: ByName) -> dict[str, Float[Tensor, "..."]]:
    """Return |g w| / Σ |g w|, the sum over all weights of all tensors: their shares, together 1.

    >>> import torch
    >>> snip({"a": torch.tensor([1.0, -2.0])}, {"a": torch.tensor([1.0, 1.5])})
    {'a': tensor([0.2500, 0.7500])}

    |g w| is |∂L/∂c| at c = 1, with each weight multiplied by a connection c. It is meant for one
    batch before training, and ranks weights as `taylor` does. Not every g w may be 0.

    References: Lee et al. 2019, "SNIP", equations 5 and 6.
    Equation: eq-importance-snip, chapter 14.
    """
    shapes, expected = ({n: tuple(x.shape) for n, x in d.items()} for d in (gradients, weights))
    if shapes != expected or not shapes:
        raise ValueError(f"gradients must be those of the weights {expected}, got {shapes}")
    products = {name: (widened(gradients[name]) * w).abs().detach() for name, w in weights.items()}
    total = torch.stack([product.double().sum() for product in products.values()]).sum()
    if total == 0:
        raise ValueError("gradients must not be 0 for every weight that is not 0, got only 0")
    return {name: product / total for name, product in products.items()}


@checked
def optimal_brain_damage(weight: Weight, curvature: Weight) -> Score:
    """Return ½ h w², the change of a quadratic loss at its minimum when w alone is set to 0.

    h is the diagonal of the loss's Hessian; it may be negative. The score is exact for one weight.
    The sum over several is right only where no two of them interact.

    >>> optimal_brain_damage(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 4.0]))
    tensor([ 2., 18.])

    References: LeCun et al. 1990, "Optimal brain damage", equation 4.
    Equation: eq-importance-damage, chapter 14.
    """
    return (0.5 * curvature * widened(weight).square()).detach()


@checked
def second_order(weight: Weight, gradient: Weight, curvature: Weight) -> Score:
    """Return −g w + ½ h w², the change of the loss when w alone is set to 0, with its sign.

    Taylor's series to second order: brain damage without the assumption of a minimum. Where it is
    negative, the loss falls without the weight.

    >>> second_order(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([3.0]))
    tensor([4.])

    References: LeCun et al. 1990, "Optimal brain damage", equation 2, its first two sums.
    Equation: eq-importance-expansion, chapter 14.
    """
    return optimal_brain_damage(weight, curvature) - (widened(gradient) * weight).detach()


@checked
def wanda(weight: Finite[Tensor, "out in"], input_norm: InputNorm) -> Float[Tensor, "out in"]:
    """Return |W_ij| ‖X_j‖₂, how far output i moves, over all inputs, when W_ij is set to 0.

    ‖X_j‖₂ = √Σ_n x_nj², over the examples that the layer was given. Rank the scores within each
    row: then every output keeps as many inputs.

    >>> wanda(torch.tensor([[3.0, -1.0]]), torch.tensor([1.0, 5.0]))
    tensor([[3., 5.]])

    References: Sun et al. 2024, "A simple and effective pruning approach", equation 1.
    Equation: eq-importance-wanda, chapter 14.
    """
    return (widened(weight).abs() * input_norm).detach()
