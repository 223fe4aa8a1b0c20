"""The layers of chapter 07's exercise on bias correction, and the test of a formula for it."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Case, Test, agrees, normals, shaped_as


def layers_with_inputs() -> list[Case]:
    """Return W, Ŵ, β, x and x̂ of linear layers, and of a 1 × 1 convolution.

    No mean is 0, and those of the channels differ.
    """
    cases: list[Case] = []
    for seed, shape in enumerate(((5, 3), (6, 2), (4, 3, 5, 2))):
        size, like = shape[1], (1, shape[1], *[1] * (len(shape) - 2))
        shapes = (4, size), (4,), shape, shape, like, like
        weight, bias, x, error, mean, shift = normals(seed, *shapes)
        x = (x + 2 * mean).relu() + 0.1
        x_hat = x + 0.1 * error + 0.2 * shift
        cases.append((weight, torch.round(2 * weight) / 2, bias, x, x_hat))
    return cases


def _mean(x: Tensor) -> Tensor:
    """Return the mean of each channel, over images and positions."""
    return x.transpose(0, 1).flatten(1).mean(dim=1)


def _corrected(answer: Callable[..., Any], case: Case) -> Tensor:
    return shaped_as(case[2], "the bias", answer(*deepcopy(case))).detach()


def corrects(formula: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]) -> Test:
    """Return the test of β' = formula(W, Ŵ, β, E[x], E[x̂])."""

    def bias(w: Tensor, w_hat: Tensor, beta: Tensor, x: Tensor, x_hat: Tensor) -> Tensor:
        return formula(w, w_hat, beta, _mean(x), _mean(x_hat))

    return agrees(bias, layers_with_inputs, _corrected)
