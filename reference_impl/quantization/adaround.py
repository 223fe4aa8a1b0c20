"""AdaRound: up or down is decided for each weight by what it does to the layer's output.

Rounding to the nearest minimizes the error of each weight by itself. The output's error is a
quadratic form in all of them, see `reference_impl.quantization.layer_loss`, and errors can
cancel. AdaRound relaxes the choice up or down to a number h in [0, 1], minimizes by gradients,
and presses each h to 0 or 1.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_int, require_real
from reference_impl.quantization.affine import AffineQuantizer
from reference_impl.quantization.layer_loss import LayerLoss

ZETA, GAMMA = 1.1, -0.1
"""Ends to which the sigmoid is stretched before it is cut to [0, 1]."""


@dataclass(frozen=True)
class AdaRoundSettings:
    """How the choices are searched.

    Args:
        steps: of Adam, each on the whole loss.
        learning_rate: of Adam.
        pressure: weight λ of the regularizer's mean, in units of the nearest rounding's loss.
        warm_up: share of the steps, in [0, 1), before the regularizer sets in.
        beta: exponent of the regularizer, from the first to the last step.

    Raises:
        TypeError: if a value is no number.
        ValueError: if one is out of its range.
    """

    steps: int = 500
    learning_rate: float = 0.02
    pressure: float = 3.0
    warm_up: float = 0.2
    beta: tuple[float, float] = (20.0, 2.0)

    def __post_init__(self) -> None:
        require_int("steps", self.steps, 1)
        require_real("learning_rate", self.learning_rate, 0, open_low=True)
        require_real("pressure", self.pressure, 0)
        if require_real("warm_up", self.warm_up, 0, 1) == 1:
            raise ValueError("warm_up must be below 1, got 1.0")
        require_instance("beta", self.beta, tuple)
        if len(self.beta) != 2:
            raise ValueError(f"beta must hold a first and a last exponent, got {self.beta}")
        for end in self.beta:
            require_real("beta", end, 0, open_low=True)


def rectified_sigmoid(v: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return h(V) = clip(σ(V) (ζ − γ) + γ, 0, 1) with ζ = 1.1, γ = −0.1.

    Unlike σ it reaches 0 and 1, and its slope there is not small until it does.

    >>> rectified_sigmoid(torch.tensor([-9.0, 0.0, 9.0])).tolist()
    [0.0, 0.5, 1.0]

    References:
        Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", eq. 23;
        Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization".

    Equation: eq-ptq-sigmoid, chapter 06.
    """
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def inverse_rectified_sigmoid(h: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the V with h(V) = h: −log((ζ − γ)/(h − γ) − 1).

    Raises:
        TypeError: if ``h`` is no floating-point tensor.
        ValueError: if it is empty, not finite, or lies outside [0, 1] somewhere.
    """
    require_float_tensor("h", h)
    if h.min() < 0 or h.max() > 1:
        raise ValueError(f"h must lie in [0, 1], got {h.min().item()} to {h.max().item()}")
    return -torch.log((ZETA - GAMMA) / (h - GAMMA) - 1)


def undecidedness(h: Float[Tensor, "*shape"], beta: float) -> Float[Tensor, ""]:
    """Return Σ (1 − |2 h − 1|^β): 0 where every h is 0 or 1, one for each h = ½.

    A large β leaves all but the nearly decided alone; as β falls, all are pushed to the nearer
    end.

    >>> undecidedness(torch.tensor([0.0, 0.5, 1.0]), beta=2).item()
    1.0

    References:
        Nagel et al. 2020, eq. 24.

    Equation: eq-ptq-regularizer, chapter 06.
    """
    return (1 - (2 * h - 1).abs() ** beta).sum()


def annealed(step: int, settings: AdaRoundSettings) -> float | None:
    """Return β at a step, None in the warm-up: a half cosine from the first value to the last.

    >>> annealed(0, AdaRoundSettings()), annealed(500, AdaRoundSettings())
    (None, 2.0)
    """
    start = settings.warm_up * settings.steps
    if step < start:
        return None
    first, last = settings.beta
    turned = 0.5 * (1 + math.cos(math.pi * (step - start) / (settings.steps - start)))
    return last + (first - last) * turned


def round_adaptively(
    weight: Float[Tensor, "groups o k"],
    quantizer: AffineQuantizer,
    loss: LayerLoss,
    settings: AdaRoundSettings | None = None,
) -> Float[Tensor, "groups o k"]:
    """Return Ŵ = s (clip(⌊W/s⌋ + z + [h(V) ≥ ½], q_min, q_max) − z), V from the search.

    The search minimizes L(Ŵ(V)) / L(nearest) + (λ/N) Σ (1 − |2 h(V) − 1|^β) over the N weights
    with Adam, from the V at which Ŵ(V) is W, clipping aside. It may end in a local minimum. Each
    row of W is a problem of its own, and a row that the nearest codes serve better gets those: L
    is at most that of the nearest.

    Args:
        weight: W.
        quantizer: of W; its scale broadcasts to W.
        loss: L.
        settings: of the search; None for the defaults.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``weight`` is not finite or has not the shape of the loss, or the scale does
            not broadcast to it.

    References:
        Nagel et al. 2020, section 3; there the loss is taken on batches of examples and behind the
        activation function.

    Equation: eq-ptq-adaround, chapter 06.
    """
    require_instance("loss", loss, LayerLoss)
    loss.require_weight(weight)
    require_instance("quantizer", quantizer, AffineQuantizer)
    settings = AdaRoundSettings() if settings is None else settings
    require_instance("settings", settings, AdaRoundSettings)
    dtype = loss.gram.dtype
    if weight.dtype != dtype or quantizer.scale.dtype != dtype:  # search in the dtype of the loss
        other = AffineQuantizer(quantizer.scale.to(dtype), quantizer.zero_point, quantizer.grid)
        found = round_adaptively(weight.detach().to(dtype), other, loss, settings)
        return quantizer.round_trip(found.to(weight.dtype))
    nearest = quantizer.round_trip(weight.detach())
    unit = loss.total(nearest)
    if unit == 0:
        return nearest
    u = weight.detach() * (1 / quantizer.scale)
    v = inverse_rectified_sigmoid(u - u.floor()).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=settings.learning_rate)
    with torch.enable_grad():  # the caller may have switched gradients off
        for step in range(settings.steps):
            h = rectified_sigmoid(v)
            objective = loss.of(restored(u.floor() + h, quantizer)).sum() / unit
            beta = annealed(step, settings)
            if beta is not None:
                pressure = settings.pressure / h.numel()
                objective = objective + pressure * undecidedness(h, beta)
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
    decided = (rectified_sigmoid(v.detach()) >= 0.5).to(u.dtype)
    found = restored(u.floor() + decided, quantizer)
    better = loss.of(found) < loss.of(nearest)
    return torch.where(better.unsqueeze(2), found, nearest)


def restored(u: Float[Tensor, "*shape"], quantizer: AffineQuantizer) -> Float[Tensor, "*shape"]:
    """Return s (clip(u + z, q_min, q_max) − z) for codes u + z that need not be integers."""
    grid = quantizer.grid
    codes = (u + quantizer.zero_point).clamp(grid.q_min, grid.q_max)
    return quantizer.scale * (codes - quantizer.zero_point)
