"""Scores of single weights: the larger, the more a loss is thought to grow without the weight.

Tensors go in and a score of the weight's shape comes out; what is gathered from a network, such as
a gradient, is an argument.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_same_shape


def magnitude(weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return |w|, in the weight's unit.

    Raises:
        TypeError: if ``weight`` is no floating-point tensor.
        ValueError: if it is empty or not finite.

    References:
        Han, Pool, Tran & Dally (2015), Learning both weights and connections, section 3.1.

    >>> magnitude(torch.tensor([-2.0, 0.5]))
    tensor([2.0000, 0.5000])

    Equation: eq-importance-magnitude, chapter 12.
    """
    require_float_tensor("weight", weight)
    return weight.detach().abs()


def taylor(
    weight: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return (g w)², the square of the loss's change when w goes to 0, to first order.

    g is the gradient of the *mean* loss: the mean over examples comes before the square. In a
    minimum it is 0 for every weight; `mean_square_taylor` is not.

    Args:
        weight: any shape.
        gradient: of the mean loss by the weight.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, or their shapes differ.

    References:
        Molchanov, Mallya, Tyree, Frosio & Kautz (2019), Importance estimation for neural network
        pruning, equation 8 for a single parameter.

    >>> taylor(torch.tensor([2.0, 3.0]), torch.tensor([-1.0, 0.0]))
    tensor([4., 0.])

    Equation: eq-importance-taylor, chapter 12.
    """
    return (_detached("gradient", gradient, weight) * weight.detach()).square()


def mean_square_taylor(
    weight: Float[Tensor, "*shape"], mean_square_gradient: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return mean_n (g_n w)² = w² mean_n g_n²: the square comes before the mean over examples.

    It is never less than `taylor`; the difference is w² times the gradients' variance. Half of it
    is optimal brain damage with the empirical Fisher diagonal in the Hessian's place.

    Args:
        weight: any shape.
        mean_square_gradient: mean_n g_n², with g_n the gradient of one example's loss.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, their shapes differ, or a mean square is below 0.

    >>> mean_square_taylor(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 4.0]))
    tensor([ 4., 36.])

    Equation: eq-importance-mean-square, chapter 12.
    """
    squares = _detached("mean_square_gradient", mean_square_gradient, weight)
    if (squares < 0).any():
        raise ValueError(f"mean_square_gradient must be at least 0, got {squares.min().item()}")
    return squares * weight.detach().square()


def snip(
    weights: Mapping[str, Float[Tensor, "..."]], gradients: Mapping[str, Float[Tensor, "..."]]
) -> dict[str, Float[Tensor, "..."]]:
    """Return |g w| / Σ |g w|, the sum over all weights of all tensors: their shares, together 1.

    |∂L/∂c| at c = 1, with each weight multiplied by a connection c. Meant for a network before its
    training, and one batch; the order is that of `taylor`.

    Args:
        weights: name → weight.
        gradients: name → gradient of the mean loss by it, the same names.

    Raises:
        TypeError: if an argument is no mapping, or holds what is no floating-point tensor.
        ValueError: if a tensor is empty or not finite, shapes or names differ, or every g w is 0.

    References:
        Lee, Ajanthan & Torr (2019), SNIP: single-shot network pruning based on connection
        sensitivity, equations 5 and 6.

    Equation: eq-importance-snip, chapter 12.
    """
    require_instance("weights", weights, Mapping)
    require_instance("gradients", gradients, Mapping)
    if not weights or set(weights) != set(gradients):
        raise ValueError(
            "weights and gradients must have the same names, one or more, "
            f"got {[*weights]} and {[*gradients]}"
        )
    products = {
        name: (_detached(f"gradients[{name!r}]", gradients[name], weight) * weight.detach()).abs()
        for name, weight in weights.items()
    }
    total = torch.stack([product.double().sum() for product in products.values()]).sum()
    if total == 0:
        raise ValueError("gradients must not vanish for every weight that is not 0")
    return {name: product / total for name, product in products.items()}


def optimal_brain_damage(
    weight: Float[Tensor, "*shape"], curvature: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return ½ h w², the change of a quadratic loss at its minimum when w goes to 0 alone.

    With h the diagonal of the Hessian it is exact for one weight. The sum over several weights is
    right only where no two of them interact.

    Args:
        weight: any shape.
        curvature: h, the second derivative of the loss by each weight; may be negative.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, or their shapes differ.

    References:
        LeCun, Denker & Solla (1990), Optimal brain damage, equation 4.

    >>> optimal_brain_damage(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 4.0]))
    tensor([ 2., 18.])

    Equation: eq-importance-damage, chapter 12.
    """
    return 0.5 * _detached("curvature", curvature, weight) * weight.detach().square()


def second_order(
    weight: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    curvature: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """Return −g w + ½ h w², the change of the loss when w goes to 0 alone, with its sign.

    Taylor's series to second order: brain damage without the assumption of a minimum. A negative
    one says that the loss falls without the weight.

    Args:
        weight: any shape.
        gradient: g, of the mean loss by the weight.
        curvature: h, the second derivative of the mean loss by each weight.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, or their shapes differ.

    References:
        LeCun, Denker & Solla (1990), Optimal brain damage, equation 2, its first two sums.

    >>> second_order(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([3.0]))
    tensor([4.])

    Equation: eq-importance-expansion, chapter 12.
    """
    slope = _detached("gradient", gradient, weight) * weight.detach()
    return optimal_brain_damage(weight, curvature) - slope


def wanda(
    weight: Float[Tensor, "out in"], input_norm: Float[Tensor, " in"]
) -> Float[Tensor, "out in"]:
    """Return |W_ij| ‖X_j‖₂, how far output i moves, over all inputs, when W_ij goes to 0.

    To be ranked within each row: then every output keeps as many inputs.

    Args:
        weight: one row per output.
        input_norm: ‖X_j‖₂ = √Σ_n x_nj², over the examples that the layer was given.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, the shapes do not fit, or a norm is below 0.

    References:
        Sun, Liu, Bair & Kolter (2024), A simple and effective pruning approach for large language
        models, equation 1.

    >>> wanda(torch.tensor([[3.0, -1.0]]), torch.tensor([1.0, 5.0]))
    tensor([[3., 5.]])

    Equation: eq-importance-wanda, chapter 12.
    """
    require_float_tensor("weight", weight)
    require_float_tensor("input_norm", input_norm)
    if weight.ndim != 2 or input_norm.shape != weight.shape[1:]:
        raise ValueError(
            "weight must be a matrix and input_norm as long as its rows, "
            f"got {tuple(weight.shape)} and {tuple(input_norm.shape)}"
        )
    if (input_norm < 0).any():
        raise ValueError(f"input_norm must be at least 0, got {input_norm.min().item()}")
    return weight.detach().abs() * input_norm.detach()


def _detached(name: str, value: Tensor, weight: Tensor) -> Tensor:
    """Return a statistic that goes with a weight, both checked."""
    require_float_tensor("weight", weight)
    require_float_tensor(name, value)
    require_same_shape(name, value, "weight", weight)
    return value.detach()
