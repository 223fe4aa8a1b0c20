"""Exercises of chapter 06 on layers: equalizing by hand, folding BatchNorm."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exercises.framework import (
    Claim,
    Exercise,
    Mistake,
    WrongResultError,
    a_function,
    as_numbers,
    numbers,
)

# -- by hand: equalizing two channels ----------------------------------------------------------

_R1, _R2 = (9.0, 0.5), (1.0, 8.0)
_FACTORS = [math.sqrt(a / b) for a, b in zip(_R1, _R2, strict=True)]


def _close(expected: list[float]) -> Callable[[Any], bool]:
    """Return the test whether an answer is this list of numbers, to a hundredth of each."""
    wanted = torch.tensor(expected, dtype=torch.float64)
    return lambda answer: torch.allclose(as_numbers(answer), wanted, rtol=0.01, atol=0)


def _equal_ranges(answer: Any) -> bool:
    s1, s2 = as_numbers(answer).tolist()
    return all(
        s > 0 and math.isclose(r1 / s, r2 * s, rel_tol=0.02)
        for s, r1, r2 in zip((s1, s2), _R1, _R2, strict=True)
    )


_EQUALIZE = Exercise(
    kind=numbers(2),
    claims=(
        Claim(
            "both factors are above 0",
            lambda answer: bool((as_numbers(answer) > 0).all()),
            "A ReLU lets only positive factors pass.",
        ),
        Claim(
            "after dividing and multiplying, both layers have the same range in each channel",
            _equal_ranges,
            "Set r1/s = r2 s and solve for s.",
        ),
    ),
    mistakes=(
        Mistake(
            "These are the factors upside down: layer 1 is divided by s.",
            _close([1 / s for s in _FACTORS]),
        ),
        Mistake(
            "You left out the square root: then the two ranges change places.",
            _close([a / b for a, b in zip(_R1, _R2, strict=True)]),
        ),
        Mistake(
            "These are the ranges that come out, √(r1 r2), not the factors.",
            _close([math.sqrt(a * b) for a, b in zip(_R1, _R2, strict=True)]),
        ),
    ),
)

# -- to implement: folding BatchNorm -----------------------------------------------------------

Fold = Callable[[Tensor, Tensor, nn.BatchNorm2d], Any]
_SHAPES = ((2, 3), (4, 2, 3, 3), (3, 1, 3, 3))


def _case(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor, nn.BatchNorm2d]:
    """Return weight and bias of one layer and its norm, in float64."""
    draws = torch.Generator().manual_seed(seed)
    channels = shape[0]
    weight = torch.randn(shape, generator=draws, dtype=torch.float64)
    bias, gamma, beta, mean = torch.randn(4, channels, generator=draws, dtype=torch.float64)
    norm = nn.BatchNorm2d(channels, eps=0.25, dtype=torch.float64)
    state = {"weight": gamma, "bias": beta, "running_mean": mean}
    state["running_var"] = torch.rand(channels, generator=draws, dtype=torch.float64) + 0.1
    state["num_batches_tracked"] = torch.tensor(1)
    norm.load_state_dict(state)
    return weight, bias, norm.eval().requires_grad_(requires_grad=False)


def _returned(result: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pair that an answer returned.

    Raises:
        WrongResultError: if it is no pair of tensors in the shapes of weight and bias.
    """
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise WrongResultError("The function must return two tensors: the weight and the bias.")
    found = [
        torch.as_tensor(part).detach() if isinstance(part, Tensor | np.ndarray) else None
        for part in result
    ]
    if found[0] is None or found[1] is None:
        raise WrongResultError("The function must return two tensors: the weight and the bias.")
    if found[0].shape != weight.shape or found[1].shape != weight.shape[:1]:
        raise WrongResultError(
            f"For a weight of shape {tuple(weight.shape)} the results must have that shape and "
            f"{tuple(weight.shape[:1])}; they have {tuple(found[0].shape)} and "
            f"{tuple(found[1].shape)}."
        )
    return found[0].double(), found[1].double()


def _agrees(formula: Fold, part: int | None = None) -> Callable[[Fold], bool]:
    """Return the test whether an answer agrees with a formula, in one part or both."""

    def holds(answer: Fold) -> bool:
        for seed, shape in enumerate(_SHAPES):
            expected = formula(*_case(shape, seed))
            case = _case(shape, seed)
            found = _returned(answer(*case), case[0])
            parts = (0, 1) if part is None else (part,)
            if not all(torch.allclose(found[i], expected[i], rtol=1e-4, atol=1e-6) for i in parts):
                return False
        return True

    return holds


def _leaves_arguments(answer: Fold) -> bool:
    weight, bias, norm = _case(_SHAPES[1], 9)
    answer(weight, bias, norm)
    old_weight, old_bias, old_norm = _case(_SHAPES[1], 9)
    state = norm.state_dict()
    return (
        torch.equal(weight, old_weight)
        and torch.equal(bias, old_bias)
        and all(torch.equal(state[key], value) for key, value in old_norm.state_dict().items())
    )


Scale = Callable[[Tensor, Tensor, float], Tensor]
"""(γ, σ², ε) → a."""

Shift = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(a, b, μ, β) → b'."""


def _with(scale: Scale, shift: Shift) -> Fold:
    """Return the folding with its own a and b'."""

    def fold(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        state = norm.state_dict()
        a = scale(state["weight"], state["running_var"], norm.eps)
        shifted = shift(a, bias, state["running_mean"], state["bias"])
        return weight * a.view(-1, *[1] * (weight.ndim - 1)), shifted

    return fold


def _root(gamma: Tensor, variance: Tensor, eps: float) -> Tensor:
    return gamma / torch.sqrt(variance + eps)


def _shifted(a: Tensor, bias: Tensor, mean: Tensor, beta: Tensor) -> Tensor:
    return a * (bias - mean) + beta


_RIGHT = _with(_root, _shifted)

_FOLD = Exercise(
    kind=a_function("fold(weight, bias, norm)"),
    claims=(
        Claim(
            "the weight is right, for linear layers and convolutions",
            _agrees(_RIGHT, 0),
            "Multiply the weights of output i by γ_i / √(σ²_i + ε).",
        ),
        Claim(
            "the bias is right",
            _agrees(_RIGHT, 1),
            "Put W x + b in the place of u in the formula of BatchNorm, and collect what has no x.",
        ),
        Claim(
            "the arguments are left as they were",
            _leaves_arguments,
            "Your function changed one of its arguments: make new tensors.",
        ),
    ),
    mistakes=(
        Mistake(
            "You left ε, norm.eps, out: here it is 0.25, and counts.",
            _agrees(_with(lambda g, v, _: g / torch.sqrt(v), _shifted)),
        ),
        Mistake(
            "You added ε to the root: it belongs under it.",
            _agrees(_with(lambda g, v, e: g / (torch.sqrt(v) + e), _shifted)),
        ),
        Mistake(
            "You divided by the variance: BatchNorm divides by its root.",
            _agrees(_with(lambda g, v, e: g / (v + e), _shifted)),
        ),
        Mistake(
            "You left out the layer's own bias: it passes through BatchNorm too.",
            _agrees(_with(_root, lambda a, _, m, beta: beta - a * m)),
        ),
        Mistake(
            "You scaled β: BatchNorm adds it after its scale.",
            _agrees(_with(_root, lambda a, b, m, beta: a * (b - m + beta))),
        ),
        Mistake(
            "You subtracted the mean without its scale.",
            _agrees(_with(_root, lambda a, b, m, beta: a * b - m + beta)),
        ),
        Mistake("You forgot the mean.", _agrees(_with(_root, lambda a, b, _, beta: a * b + beta))),
        Mistake("You forgot γ.", _agrees(_with(lambda _, v, e: 1 / torch.sqrt(v + e), _shifted))),
    ),
)

EXERCISES = {"equalize-by-hand": _EQUALIZE, "fold-batch-norm": _FOLD}
