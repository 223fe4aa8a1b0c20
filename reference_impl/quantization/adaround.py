"""AdaRound: up or down is decided for each weight by what it does to the layer's output.

A layer computes y = W x + β for each row x of a linear layer's input, or each patch that a
convolution sees. The mean squared error of y is a quadratic form of the weight (`LayerLoss`). To
round to the nearest minimizes the error of each weight by itself, but errors can cancel. AdaRound
replaces up or down by a number in [0, 1], minimizes by gradients, and moves it to an end.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import (
    Count,
    Finite,
    FromZero,
    NonNegative,
    Positive,
    Scalar,
    Within,
    checked,
    widened,
)
from reference_impl.quantization.affine import AffineQuantizer

WarmUp = Annotated[float, Within(0, 1, below=True)]
Choices = Annotated[Float[Tensor, "*shape"], Within(0, 1)]
Weight = Finite[Tensor, "groups o k"]
Gram = Finite[Tensor, "groups k k"]
Inputs = Finite[Tensor, "groups k"]
Outputs = Finite[Tensor, "groups o"]

ZETA, GAMMA = 1.1, -0.1
"""Ends to which the sigmoid is stretched before it is cut to [0, 1]."""


@checked
@dataclass(frozen=True, eq=False)
class LayerLoss:
    """L_layer(Ŵ) = min_β E‖y − Ŵ x̂ − β‖² = tr(Ŵ Γ Ŵᵀ) − 2 tr(Ŵ Γ_yxᵀ) + tr Cov(y).

    Γ = Cov(x̂) and Γ_yx = Cov(y, x̂), over the calibration examples; a grouped convolution of k
    inputs and o outputs in a group has one Γ and one Γ_yx for each group, and the sum runs over
    them. If x̂ = x and y = W x + β, then L_layer(Ŵ) = Σ_i Δw_i Γ Δw_iᵀ with the rows Δw_i of Ŵ − W.

    Equation: eq-ptq-taylor, chapter 08.
    """

    gram: Gram  #: Γ
    cross: Weight  #: Γ_yx
    power: NonNegative  #: tr Cov(y)
    input_mean: Inputs  #: E x̂
    output_mean: Outputs  #: E y

    @classmethod
    def of_moments(
        cls, inputs: Inputs, outputs: Outputs, products: Gram, mixed: Weight, power: float
    ) -> "LayerLoss":
        """Return the loss, in float32, of the means E x̂, E y, E x̂ x̂ᵀ, E y x̂ᵀ and E ‖y‖²."""
        gram = products - inputs.unsqueeze(2) * inputs.unsqueeze(1)
        cross = mixed - outputs.unsqueeze(2) * inputs.unsqueeze(1)
        left = max(power - float(outputs.square().sum()), 0.0)  # below 0 by rounding only
        return cls(gram.float(), cross.float(), left, inputs.float(), outputs.float())

    @checked
    def of(self, weight: Float[Tensor, "groups o k"]) -> Float[Tensor, "groups o"]:
        """Return each output's share of tr(Ŵ Γ Ŵᵀ) − 2 tr(Ŵ Γ_yxᵀ); Ŵ has the shape of Γ_yx.

        Equation: eq-ptq-layer, chapter 08.
        """
        if weight.shape != self.cross.shape:
            raise ValueError(f"weight must be {tuple(self.cross.shape)}, got {tuple(weight.shape)}")
        weight = widened(weight)
        gram, cross = self.gram.to(weight.dtype), self.cross.to(weight.dtype)
        return (weight @ gram * weight - 2 * weight * cross).sum(dim=2)

    @checked
    def total(self, weight: Weight) -> float:
        """Return L_layer(Ŵ), summed over the outputs, in the squared unit of y.

        Equation: eq-ptq-loss, chapter 08.
        """
        return max(float(self.of(weight.detach().double()).sum()) + self.power, 0.0)

    @checked
    def bias(self, weight: Weight) -> Float[Tensor, "groups o"]:
        """Return the best bias for a weight, β = E y − Ŵ E x̂: no output is off on average."""
        products = weight.to(self.gram.dtype) @ self.input_mean.unsqueeze(2)
        return self.output_mean - products.squeeze(2)


@checked
@dataclass(frozen=True)
class AdaRoundSettings:
    """How the choices are searched."""

    steps: Count = 500  #: of Adam, each on the whole loss
    learning_rate: Positive = 0.02  #: of Adam
    pressure: NonNegative = 3.0  #: λ, the weight of the regularizer's mean
    warm_up: WarmUp = 0.2  #: share of the steps before the regularizer sets in
    beta: tuple[Positive, Positive] = (20.0, 2.0)  #: its power, in the first and the last step


@checked
def rectified_sigmoid(v: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return up(V) = clip(1.2 / (1 + e^(−V)) − 0.1, 0, 1).

    Unlike the logistic function it reaches 0 and 1, and its slope is not small until it does.

    >>> rectified_sigmoid(torch.tensor([-9.0, 0.0, 9.0])).tolist()
    [0.0, 0.5, 1.0]

    References: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization",
    eq. 23; Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization".
    Equation: eq-ptq-sigmoid, chapter 08.
    """
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


@checked
def inverse_rectified_sigmoid(h: Choices) -> Float[Tensor, "*shape"]:
    """Return the V with up(V) = h: −ln(1.2 / (h + 0.1) − 1)."""
    return -torch.log((ZETA - GAMMA) / (h - GAMMA) - 1)


@checked
def undecidedness(h: Choices, beta: Positive) -> Scalar:
    """Return Σ (1 − |2 h − 1|^β) over h = up(V): 0 where every h is 0 or 1, one for each h = ½.

    It is N times the chapter's undecided(V), and β its power. A large power moves only the nearly
    decided; as it falls, all are moved to the nearer end.

    >>> undecidedness(torch.tensor([0.0, 0.5, 1.0]), beta=2).item()
    1.0

    References: Nagel et al. 2020, eq. 24.
    Equation: eq-ptq-regularizer, chapter 08.
    """
    return (1 - (2 * h - 1).abs() ** beta).sum()


@checked
def annealed(step: FromZero, settings: AdaRoundSettings) -> float | None:
    """Return the power at a step, None in the warm-up: half a cosine from first to last value.

    >>> annealed(0, AdaRoundSettings()), annealed(500, AdaRoundSettings())
    (None, 2.0)
    """
    start = settings.warm_up * settings.steps
    if step < start:
        return None
    first, last = settings.beta
    turned = 0.5 * (1 + math.cos(math.pi * (step - start) / (settings.steps - start)))
    return last + (first - last) * turned


def restored(u: Float[Tensor, "*shape"], quantizer: AffineQuantizer) -> Float[Tensor, "*shape"]:
    """Return s (clip(u + z, q_min, q_max) − z) for codes u + z that need not be integers."""
    grid = quantizer.grid
    codes = (u + quantizer.zero_point).clamp(grid.q_min, grid.q_max)
    return quantizer.scale * (codes - quantizer.zero_point)


@checked
def adaround_objective(
    h: Annotated[Float[Tensor, "groups o k"], Within(0, 1)],
    floor: Annotated[Float[Tensor, "groups o k"], Within()],  # the clip would hide what is infinite
    quantizer: AffineQuantizer,
    loss: LayerLoss,
    settings: AdaRoundSettings,
    *,
    unit: Positive,
    beta: Positive | None,
) -> Scalar:
    """Return L_layer(Ŵ) / L_layer(nearest) + (λ/N) Σ (1 − |2 h − 1|^β) over the N weights.

    Ŵ = s (clip(⌊W/s⌋ + z + h, q_min, q_max) − z): h = up(V) is how far each weight is rounded up,
    the floor is ⌊W/s⌋, the unit L_layer(nearest). Without a β, the chapter's power, in the warm-up,
    it is the first term alone.

    References: Nagel et al. 2020, section 3, with the loss on batches and after the activation.
    Equation: eq-ptq-adaround, chapter 08.
    """
    fit = loss.of(restored(floor + h, quantizer)).sum() / unit
    if beta is None:
        return fit
    return fit + settings.pressure / h.numel() * undecidedness(h, beta)


@checked
def round_adaptively(
    weight: Weight,
    quantizer: AffineQuantizer,
    loss: LayerLoss,
    settings: AdaRoundSettings | None = None,
) -> Float[Tensor, "groups o k"]:
    """Return Ŵ = s (clip(⌊W/s⌋ + z + [up(V) ≥ ½], q_min, q_max) − z), V from the search.

    Adam minimizes `adaround_objective`, in the dtype of the loss, from the V at which Ŵ(V) is W,
    clipping aside. It may end in a local minimum. Each row of W is a problem of its own, and a row
    that the nearest codes serve better gets those: L_layer is at most that of the nearest.
    """
    settings = AdaRoundSettings() if settings is None else settings
    wide = replace(quantizer, scale=quantizer.scale.to(loss.gram.dtype))
    nearest = wide.round_trip(weight.detach().to(loss.gram.dtype))
    unit = loss.total(nearest)
    if unit == 0:
        return quantizer.round_trip(nearest.to(weight.dtype))
    u = weight.detach().to(loss.gram.dtype) * (1 / wide.scale)
    floor = u.floor()
    v = inverse_rectified_sigmoid(u - floor).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=settings.learning_rate)
    with torch.enable_grad():  # the caller may have switched gradients off
        for step in range(settings.steps):
            optimizer.zero_grad()
            h, beta = rectified_sigmoid(v), annealed(step, settings)
            adaround_objective(h, floor, wide, loss, settings, unit=unit, beta=beta).backward()
            optimizer.step()
    decided = rectified_sigmoid(v.detach()) >= 0.5
    found = restored(floor + decided, wide)
    better = loss.of(found) < loss.of(nearest)
    found = torch.where(better.unsqueeze(2), found, nearest)
    return quantizer.round_trip(found.to(weight.dtype))
