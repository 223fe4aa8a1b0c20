"""Scores of whole units: neurons of a layer, channels of a convolution; one number for each.

Tensors go in, with a row per unit, such as `reference_impl.compress.incoming_rows`, or with a
row per example and a column per unit. Units with higher scores are kept. Scores carry no gradient;
those of half precision are computed and returned in float32.
"""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, Within, checked, widened
from reference_impl.pruning.weight_scores import taylor

Rows = Finite[Tensor, "units d"]
PerExample = Finite[Tensor, "n units"]
MeanSquare = Annotated[Float[Tensor, " units"], Within(0)]
Order = Annotated[float, Within(1)]
Score = Float[Tensor, " units"]


@checked
def row_norm(rows: Rows, order: Order = 2) -> Score:
    """Return ‖a_i‖_p = (Σ_d |a_id|^p)^(1/p), the magnitude of each unit; p is 1 or 2 as a rule.

    >>> row_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([5., 1.])

    References: Li et al. 2017, "Pruning filters for efficient ConvNets": p = 1.
    """
    norms: Tensor = torch.linalg.vector_norm(widened(rows.detach()), ord=order, dim=1)
    return norms


@checked
def unit_taylor(weights: Rows, gradients: Rows) -> Score:
    """Return (Σ_d g w)², the loss's change without the unit, to first order, squared.

    The sum comes before the square: the unit's weights are removed together. They are those that
    write it, with its bias (and without those of a BatchNorm before it), or those that read it.

    >>> unit_taylor(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, -1.0]]))
    tensor([0.])

    References: Molchanov et al. 2019, "Importance estimation", equation 9.
    """
    return (widened(gradients) * weights).sum(dim=1).square().detach()


@checked
def summed_weight_taylor(weights: Rows, gradients: Rows) -> Score:
    """Return Σ_d (g w)², the sum of the weights' own scores: the square comes before the sum.

    Contributions of opposite sign do not cancel, as they do when the whole unit is removed.

    >>> summed_weight_taylor(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, -1.0]]))
    tensor([8.])

    References: Molchanov et al. 2019, "Importance estimation", section 3.1.
    """
    return taylor(weights, gradients).sum(dim=1)


@checked
def gate_taylor(gate_gradients: PerExample) -> Score:
    """Return (mean_n c_n)² with c_n = ∂L_n/∂m at m = 1, the unit's output multiplied by a gate m.

    c_n = Σ a ∂L_n/∂a over the unit's positions. It is `unit_taylor` of the weights that read the
    unit, since these occur in the product W a only.

    >>> gate_taylor(torch.tensor([[1.0, 3.0], [-1.0, 1.0]]))
    tensor([0., 4.])

    References: Molchanov et al. 2019, "Importance estimation", section 3.2.
    Equation: eq-importance-unit, chapter 14.
    """
    return widened(gate_gradients.detach()).mean(dim=0).square()


@checked
def mean_square_gate_taylor(gate_gradients: PerExample) -> Score:
    """Return mean_n c_n², the same with the square before the mean: never less than `gate_taylor`.

    >>> mean_square_gate_taylor(torch.tensor([[1.0, 3.0], [-1.0, 1.0]]))
    tensor([1., 5.])

    References: Theis et al. 2018, "Faster gaze prediction", equation 8 (there with a factor ½).
    Equation: eq-importance-gate, chapter 14.
    """
    return widened(gate_gradients.detach()).square().mean(dim=0)


@checked
def output_change(outgoing: Rows, mean_square: MeanSquare) -> Score:
    """Return ‖W'_{:,i}‖² mean_n a_ni², how far the next layer's output moves without unit i.

    The mean over examples of the squared distance; the unit's column of Wanda, squared and summed.
    For a channel it is an estimate: positions under one kernel are counted as if uncorrelated.
    ``outgoing`` is such as `reference_impl.compress.outgoing_columns`.

    >>> output_change(torch.tensor([[3.0, 4.0]]), torch.tensor([2.0]))
    tensor([50.])

    Equation: eq-importance-output, chapter 14.
    """
    return (widened(outgoing).square().sum(dim=1) * mean_square).detach()


@checked
def batch_norm_scale(gamma: Finite[Tensor, " units"]) -> Score:
    """Return |γ_i|, the factor by which BatchNorm multiplies a channel of variance 1.

    Meant for a network trained with a penalty Σ |γ|, which drives some of them to 0.

    >>> batch_norm_scale(torch.tensor([-1.0, 0.5]))
    tensor([1.0000, 0.5000])

    References: Liu et al. 2017, "Learning efficient convolutional networks", section 3.
    Equation: eq-importance-scale, chapter 14.
    """
    return gamma.detach().abs()


@checked
def geometric_median_distance(rows: Rows) -> Score:
    """Return Σ_j ‖a_i − a_j‖₂, the sum of a unit's distances from all others.

    It is least for the unit nearest to the geometric median of all: the others can replace it best.

    >>> geometric_median_distance(torch.tensor([[0.0], [1.0], [5.0]]))
    tensor([6., 5., 9.])

    References: He et al. 2019, "Filter pruning via geometric median", equation 5.
    Equation: eq-importance-median, chapter 14.
    """
    a = widened(rows.detach())
    distances = torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist")  # exact at 0
    return distances.sum(dim=1)
