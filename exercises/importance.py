"""Exercises of chapter 12: the surgeon by hand, and a unit's Taylor score to implement."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_function, a_tensor, as_numbers, numbers
from reference_impl.pruning import (
    inverse_hessian,
    optimal_brain_surgeon,
    surgeon_update,
    unit_taylor,
)

# -- by hand: two weights, H = [[3, 1], [1, 2]], w = (1, −2) -----------------------------------

_W = torch.tensor([1.0, -2.0], dtype=torch.float64)
_H = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)


def _close(answer: Any, expected: list[float]) -> bool:
    wanted = torch.tensor(expected, dtype=torch.float64)
    return torch.allclose(as_numbers(answer), wanted, rtol=0, atol=0.01)


def _by_hand() -> list[float]:
    """Return both weights' costs and what is left of each once the cheaper one is gone."""
    inverse = inverse_hessian(_H)
    costs = optimal_brain_surgeon(_W, inverse)
    left = _W + surgeon_update(_W, inverse, int(costs.argmin()))
    return [*costs.tolist(), *left.tolist()]


_HAND = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "both costs are right",
            lambda answer: _close(as_numbers(answer)[:2], _by_hand()[:2]),
            "ΔL_q = w_q²/(2 [H⁻¹]_qq): invert H first, then read the diagonal.",
        ),
        Claim(
            "the cheaper weight is gone",
            lambda answer: abs(float(as_numbers(answer)[2])) < 0.01,
            "The weight of the smaller cost goes: its place is 0.",
        ),
        Claim(
            "the other weight makes up",
            lambda answer: abs(float(as_numbers(answer)[3]) - _by_hand()[3]) < 0.01,
            "δw = −(w_q/[H⁻¹]_qq) H⁻¹ e_q: the other moves by the off-diagonal entry's share.",
        ),
    ),
    mistakes=(
        Mistake(
            "These costs are optimal brain damage, ½ [H]_qq w_q²: the surgeon divides by the "
            "diagonal of the inverse.",
            lambda answer: _close(as_numbers(answer)[:2], [1.5, 4.0]),
        ),
        Mistake(
            "You left the factor ½ out of the costs.",
            lambda answer: _close(as_numbers(answer)[:2], [2.5, 20 / 3]),
        ),
        Mistake(
            "You left the other weight where it was: that is optimal brain damage.",
            lambda answer: _close(answer, [*_by_hand()[:2], 0.0, -2.0]),
        ),
        Mistake(
            "The update has the wrong sign: the other weight moves the other way.",
            lambda answer: _close(answer, [*_by_hand()[:2], 0.0, -2.5]),
        ),
        Mistake(
            "You gave the step δw: asked is what is left, w + δw.",
            lambda answer: _close(answer, [*_by_hand()[:2], -1.0, 0.5]),
        ),
        Mistake(
            "You removed the dearer weight: the one of the smaller cost goes.",
            lambda answer: _close(answer, [*_by_hand()[:2], 1 / 3, 0.0]),
        ),
    ),
)

# -- to implement: Taylor's score of whole units ------------------------------------------------

Score = Callable[[Tensor, Tensor], Tensor]


def _a_unit_layer(seed: int, units: int = 5, width: int = 7) -> tuple[Tensor, Tensor]:
    """Return float64 weights of units and their gradients on 11 examples, (n, units, width)."""
    draws = torch.Generator().manual_seed(seed)
    w = torch.randn(units, width, generator=draws, dtype=torch.float64)
    g = torch.randn(11, units, width, generator=draws, dtype=torch.float64)
    return w, g + 0.3


def _equals(formula: Score) -> Callable[[Score], bool]:
    """Return the test whether an answer agrees with ``formula`` on three layers."""

    def holds(answer: Score) -> bool:
        for seed in range(3):
            w, g = _a_unit_layer(seed)
            found = a_tensor(answer(w.clone(), g.clone())).double()
            expected = formula(w, g)
            if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-4):
                return False
        return True

    return holds


def _cancels(answer: Score) -> bool:
    """Return whether two weights of one unit whose contributions cancel score 0."""
    w = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    g = torch.tensor([[[2.0, -1.0]], [[4.0, -2.0]]], dtype=torch.float64)
    return float(a_tensor(answer(w, g)).abs().max()) < 1e-9


def _keeps_images(answer: Score) -> bool:
    """Return whether two images whose contributions cancel do not score 0."""
    w = torch.tensor([[1.0]], dtype=torch.float64)
    g = torch.tensor([[[3.0]], [[-3.0]]], dtype=torch.float64)
    return abs(float(a_tensor(answer(w, g)).flatten()[0]) - 9) < 1e-6


def _leaves_arguments(answer: Score) -> bool:
    w, g = _a_unit_layer(9)
    kept = w.clone(), g.clone()
    answer(w, g)
    return torch.equal(w, kept[0]) and torch.equal(g, kept[1])


def _without_weight(weight: Tensor, gradients: Tensor) -> Tensor:  # noqa: ARG001 — the mistake
    return gradients.sum(dim=2).square().mean(dim=0)


_UNIT = Exercise(
    kind=a_function("score(weight, gradients)"),
    claims=(
        Claim(
            "one score per unit",
            lambda f: tuple(a_tensor(f(*_a_unit_layer(0))).shape) == (5,),
            "Sum over a unit's weights and average over the images: what is left is one axis.",
        ),
        Claim(
            "a unit's weights go together: their contributions may cancel",
            _cancels,
            "Sum g w over the unit's weights before you square.",
        ),
        Claim(
            "images do not cancel",
            _keeps_images,
            "Square each image's sum first, then take the mean over images.",
        ),
        Claim(
            "the scores are right",
            _equals(lambda w, g: (g * w).sum(dim=2).square().mean(dim=0)),
            "mean over images of (sum over the unit's weights of g w)².",
        ),
        Claim(
            "the arguments stay as they were",
            _leaves_arguments,
            "Do not work in place: gradients *= weight changes the caller's tensor.",
        ),
    ),
    mistakes=(
        Mistake(
            "You took the mean over images before the square: gradients of opposite sign cancel.",
            _equals(lambda w, g: unit_taylor(w, g.mean(dim=0))),
        ),
        Mistake(
            "You squared each weight's product before the sum over the unit.",
            _equals(lambda w, g: (g * w).square().sum(dim=2).mean(dim=0)),
        ),
        Mistake(
            "You left the weight out: a slope is not yet a change of the loss.",
            _equals(_without_weight),
        ),
        Mistake(
            "You summed over the images: the score must not grow with their number.",
            _equals(lambda w, g: (g * w).sum(dim=2).square().sum(dim=0)),
        ),
        Mistake(
            "You took the absolute value in the place of the square.",
            _equals(lambda w, g: (g * w).sum(dim=2).abs().mean(dim=0)),
        ),
        Mistake(
            "Your scores are half of what is asked: the ½ belongs to curvature, not to this score.",
            _equals(lambda w, g: 0.5 * (g * w).sum(dim=2).square().mean(dim=0)),
        ),
    ),
)

EXERCISES = {"importance-surgeon": _HAND, "importance-unit": _UNIT}
