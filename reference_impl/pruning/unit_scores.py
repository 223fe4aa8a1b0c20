"""Scores of whole units: neurons of a layer, channels of a convolution; one number for each.

Tensors go in, one row per unit (or one column per unit, of a matrix of examples), and a score per
unit comes out: the larger, the more worth keeping.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_real, require_same_shape


def row_norm(rows: Float[Tensor, "units d"], order: float = 2) -> Float[Tensor, " units"]:
    """Return ‖a_i‖_p = (Σ_d |a_id|^p)^(1/p), the magnitude of each unit.

    Args:
        rows: all weights of a unit in a row, such as `reference_impl.compress.units.incoming_rows`.
        order: p; 1 and 2 are usual.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``rows`` is no matrix, empty or not finite, or ``order`` below 1.

    References:
        Li, Kadav, Durdanovic, Samet & Graf (2017), Pruning filters for efficient ConvNets: p = 1.

    >>> row_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([5., 1.])
    """
    require_real("order", order, 1)
    norms: Tensor = torch.linalg.vector_norm(_matrix("rows", rows), ord=order, dim=1)
    return norms


def unit_taylor(
    weights: Float[Tensor, "units d"], gradients: Float[Tensor, "units d"]
) -> Float[Tensor, " units"]:
    """Return (Σ_d g w)², the loss's change without the unit, to first order, squared.

    The sum over the unit's weights comes before the square: they go together. g is the gradient of
    the mean loss, so the mean over examples comes before the square as well.

    Args:
        weights: of one unit in each row: those that write it, with its bias (and without those of
            a BatchNorm before it), or those that read it.
        gradients: of the mean loss by these weights.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is no matrix, empty or not finite, or their shapes differ.

    References:
        Molchanov et al. (2019), Importance estimation for neural network pruning, equation 9.

    >>> unit_taylor(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, -1.0]]))
    tensor([0.])
    """
    return _product(weights, gradients).sum(dim=1).square()


def summed_weight_taylor(
    weights: Float[Tensor, "units d"], gradients: Float[Tensor, "units d"]
) -> Float[Tensor, " units"]:
    """Return Σ_d (g w)², the sum of the weights' own scores: the square comes before the sum.

    Contributions of opposite sign do not cancel, as they do when the unit goes as a whole.

    Args:
        weights: as `unit_taylor` takes them.
        gradients: of the mean loss by these weights.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is no matrix, empty or not finite, or their shapes differ.

    References:
        Molchanov et al. (2019), Importance estimation for neural network pruning, section 3.1.

    >>> summed_weight_taylor(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, -1.0]]))
    tensor([8.])
    """
    return _product(weights, gradients).square().sum(dim=1)


def gate_taylor(gate_gradients: Float[Tensor, "n units"]) -> Float[Tensor, " units"]:
    """Return (mean_n c_n)² with c_n = ∂L_n/∂m at m = 1, the unit's output multiplied by a gate m.

    c_n = Σ a ∂L_n/∂a over the unit's positions. It is `unit_taylor` of the weights that read the
    unit, since these occur in the product W a only.

    Args:
        gate_gradients: c, one row per example.

    Raises:
        TypeError: if it is no floating-point tensor.
        ValueError: if it is no matrix, empty or not finite.

    References:
        Molchanov et al. (2019), Importance estimation for neural network pruning, section 3.2.

    >>> gate_taylor(torch.tensor([[1.0, 3.0], [-1.0, 1.0]]))
    tensor([0., 4.])

    Equation: eq-importance-unit, chapter 12.
    """
    return _matrix("gate_gradients", gate_gradients).mean(dim=0).square()


def mean_square_gate_taylor(gate_gradients: Float[Tensor, "n units"]) -> Float[Tensor, " units"]:
    """Return mean_n c_n², the same with the square before the mean: never less than `gate_taylor`.

    Args:
        gate_gradients: c, one row per example.

    Raises:
        TypeError: if it is no floating-point tensor.
        ValueError: if it is no matrix, empty or not finite.

    References:
        Theis, Korshunova, Tejani & Huszár (2018), Faster gaze prediction with dense networks and
        Fisher pruning, equation 8 (there with a factor ½).

    >>> mean_square_gate_taylor(torch.tensor([[1.0, 3.0], [-1.0, 1.0]]))
    tensor([1., 5.])

    Equation: eq-importance-gate, chapter 12.
    """
    return _matrix("gate_gradients", gate_gradients).square().mean(dim=0)


def output_change(
    outgoing: Float[Tensor, "units d"], mean_square: Float[Tensor, " units"]
) -> Float[Tensor, " units"]:
    """Return ‖W'_{:,i}‖² mean_n a_ni², how far the next layer's output moves without unit i.

    The mean over examples of the squared distance; the unit's column of Wanda, squared and summed.

    Args:
        outgoing: all weights that read a unit in a row, such as
            `reference_impl.compress.units.outgoing_columns`.
        mean_square: mean_n a_ni² of what the unit puts out (not centred).

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if one is empty or not finite, the shapes do not fit, or a mean square is
            below 0.

    >>> output_change(torch.tensor([[3.0, 4.0]]), torch.tensor([2.0]))
    tensor([50.])

    Equation: eq-importance-output, chapter 12.
    """
    squares = _matrix("outgoing", outgoing).square().sum(dim=1)
    require_float_tensor("mean_square", mean_square)
    if mean_square.shape != squares.shape:
        raise ValueError(
            f"mean_square must be {tuple(squares.shape)}, got {tuple(mean_square.shape)}"
        )
    if (mean_square < 0).any():
        raise ValueError(f"mean_square must be at least 0, got {mean_square.min().item()}")
    return squares * mean_square.detach()


def batch_norm_scale(gamma: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return |γ_i|, the factor by which BatchNorm multiplies a channel of variance 1.

    Meant for a network trained with a penalty Σ |γ|, which drives some of them to 0.

    Args:
        gamma: BatchNorm's weight, one per channel.

    Raises:
        TypeError: if it is no floating-point tensor.
        ValueError: if it is no vector, empty or not finite.

    References:
        Liu, Li, Shen, Huang, Yan & Zhang (2017), Learning efficient convolutional networks through
        network slimming, section 3.

    >>> batch_norm_scale(torch.tensor([-1.0, 0.5]))
    tensor([1.0000, 0.5000])

    Equation: eq-importance-scale, chapter 12.
    """
    require_float_tensor("gamma", gamma)
    if gamma.ndim != 1:
        raise ValueError(f"gamma must be a vector, one per channel, got {tuple(gamma.shape)}")
    return gamma.detach().abs()


def geometric_median_distance(rows: Float[Tensor, "units d"]) -> Float[Tensor, " units"]:
    """Return Σ_j ‖a_i − a_j‖₂, the sum of a unit's distances from all others.

    It is least for the unit nearest to the geometric median of all: what it does, the others are
    thought to do together. It says nothing of how large a unit is.

    Args:
        rows: all weights of a unit in a row.

    Raises:
        TypeError: if ``rows`` is no floating-point tensor.
        ValueError: if it is no matrix, empty or not finite.

    References:
        He, Liu, Wang, Hu & Yang (2019), Filter pruning via geometric median, equation 5.

    >>> geometric_median_distance(torch.tensor([[0.0], [1.0], [5.0]]))
    tensor([6., 5., 9.])

    Equation: eq-importance-median, chapter 12.
    """
    a = _matrix("rows", rows)
    wide = a if a.dtype == torch.float64 else a.float()  # cdist knows no half precision
    distances = torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist")  # exact at 0
    return distances.sum(dim=1).to(a.dtype)


def _matrix(name: str, value: Tensor) -> Tensor:
    require_float_tensor(name, value)
    if value.ndim != 2:
        raise ValueError(f"{name} must be a matrix, got shape {tuple(value.shape)}")
    return value.detach()


def _product(weights: Tensor, gradients: Tensor) -> Tensor:
    w, g = _matrix("weights", weights), _matrix("gradients", gradients)
    require_same_shape("gradients", g, "weights", w)
    return g * w
