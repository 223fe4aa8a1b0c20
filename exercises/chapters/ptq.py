"""Exercises of chapter 07: equalizing, folding, where to clip, correcting a bias."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from exercises.chapters.ptq_bias import corrects, layers_with_inputs
from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    as_numbers,
    at,
    leaves,
    near,
    normals,
    numbers,
    shaped_as,
    tensors,
    value,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: equalizing two channels, r1 = (9, 0.5) and r2 = (1, 8) -------------------------------

_factors = partial(near)

EXERCISES["ptq-equalize"] = Exercise(
    kind=numbers(2),
    claims={
        "both factors are above 0": (
            lambda answer: bool((as_numbers(answer) > 0).all()),
            "A ReLU lets only positive factors pass.",
        ),
        "after dividing and multiplying, both layers have the same range in each channel": (
            _factors([3, 1 / 4]),
            "Set r1/c = r2 c and solve for c.",
        ),
    },
    mistakes={
        "These are the factors upside down: layer 1 is divided by c.": _factors([1 / 3, 4]),
        "You left out the square root: then the two ranges change places.": _factors([9, 1 / 16]),
        "These are the ranges that come out, √(r1 r2), not the factors.": _factors([3, 2]),
    },
)

# -- spot the bug: folding BatchNorm ---------------------------------------------------------------


def _layers() -> list[Case]:
    """Return weight and bias of three layers and their norms, in float64."""
    cases: list[Case] = []
    for seed, shape in enumerate(((2, 3), (4, 2, 3, 3), (3, 1, 3, 3))):
        shapes = (shape, *[shape[:1]] * 5)
        weight, bias, gamma, beta, mean, spread = normals(seed, *shapes, dtype=torch.float64)
        norm = nn.BatchNorm2d(len(bias), eps=0.25, dtype=torch.float64)
        state = {"weight": gamma, "bias": beta, "running_mean": mean}
        state |= {"running_var": spread.abs() + 0.1, "num_batches_tracked": torch.tensor(1)}
        norm.load_state_dict(state)
        cases.append((weight, bias, norm.eval().requires_grad_(requires_grad=False)))
    return cases


def _folded(answer: Callable[..., Any], case: Case) -> list[Tensor]:
    names = ("the weight", "the bias")
    parts = zip(case[:2], names, tensors(answer(*deepcopy(case)), *names), strict=True)
    return [shaped_as(model, name, part).detach() for model, name, part in parts]


def _folds(
    scale: Callable[[Tensor, Tensor, float], Tensor] = lambda g, v, e: g / torch.sqrt(v + e),
    shift: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda a, b, m, t: a * (b - m) + t,
    parts: slice = slice(2),
) -> Test:
    """Return the test of the folding with a = scale(γ, σ², ε) and β' = shift(a, β, μ, β_norm)."""

    def fold(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> list[Tensor]:
        state = norm.state_dict()
        a = scale(state["weight"], state["running_var"], norm.eps)
        shifted = shift(a, bias, state["running_mean"], state["bias"])
        return [weight * a.view(-1, *[1] * (weight.ndim - 1)), shifted][parts]

    return agrees(fold, _layers, lambda answer, case: _folded(answer, case)[parts])


EXERCISES["ptq-fold"] = Exercise(
    kind=a_function("fold(weight, bias, norm)"),
    claims={
        "the weight is right, for linear layers and convolutions": (
            _folds(parts=slice(1)),
            "Multiply the weights of output i by γ_i / √(σ²_i + ε).",
        ),
        "the bias is right": (
            _folds(parts=slice(1, 2)),
            "Put W x + β in the place of y_pre in BatchNorm's formula, and collect what has no x.",
        ),
        "the arguments are left as they were": (
            leaves(lambda: _layers()[1]),
            "Your function changed one of its arguments: make new tensors.",
        ),
    },
    mistakes={
        "You left ε, norm.eps, out: here it is 0.25, and counts.": _folds(
            lambda g, v, _: g / torch.sqrt(v)
        ),
        "You added ε to the root: it belongs under it.": _folds(
            lambda g, v, e: g / (torch.sqrt(v) + e)
        ),
        "You divided by the variance: BatchNorm divides by its root.": _folds(
            lambda g, v, e: g / (v + e)
        ),
        "You left out the layer's own bias: it passes through BatchNorm too.": _folds(
            shift=lambda a, _, m, beta: beta - a * m
        ),
        "You scaled β_norm: BatchNorm adds it after its scale.": _folds(
            shift=lambda a, b, m, beta: a * (b - m + beta)
        ),
        "You subtracted the mean without its scale.": _folds(
            shift=lambda a, b, m, beta: a * b - m + beta
        ),
        "You forgot the mean.": _folds(shift=lambda a, b, _, beta: a * b + beta),
        "You forgot γ.": _folds(lambda _, v, e: 1 / torch.sqrt(v + e)),
    },
)

# -- implement: correcting a bias ------------------------------------------------------------------


EXERCISES["ptq-correct"] = Exercise(
    kind=a_function("corrected_bias(weight, rounded, bias, x, x_hat)"),
    claims={
        "the mean output of every channel is that of the layer before rounding": (
            corrects(lambda w, w_hat, beta, x, x_hat: beta + w @ x - w_hat @ x_hat),
            "Compute W E[x] − Ŵ E[x̂], with one mean for each input channel.",
        ),
        "the arguments are left as they were": (
            leaves(lambda: layers_with_inputs()[2]),
            "Your function changed one of its arguments: make new tensors.",
        ),
    },
    mistakes={
        "This is the shift alone: add it to the old bias.": corrects(
            lambda w, w_hat, _, x, x_hat: w @ x - w_hat @ x_hat
        ),
        "Your sign is wrong: this doubles the mean error.": corrects(
            lambda w, w_hat, beta, x, x_hat: beta - w @ x + w_hat @ x_hat
        ),
        "Both layers do not read the same: the quantized one reads x_hat.": corrects(
            lambda w, w_hat, beta, x, _: beta + (w - w_hat) @ x
        ),
        "The full-precision layer reads x, without the errors of earlier layers.": corrects(
            lambda w, w_hat, beta, _, x_hat: beta + (w - w_hat) @ x_hat
        ),
        "You corrected for the errors of the inputs only: the weights are rounded too.": corrects(
            lambda w, _, beta, x, x_hat: beta + w @ (x - x_hat)
        ),
        "You took one mean over all output channels: each has its own bias.": corrects(
            lambda w, w_hat, beta, x, x_hat: beta + (w @ x - w_hat @ x_hat).mean()
        ),
    },
)

# -- predict: where to clip ------------------------------------------------------------------------


def exponential_signal() -> Tensor:
    """Return 10,000 numbers with the density e^(−x), x ≥ 0."""
    draws = torch.Generator().manual_seed(6)
    return -torch.log1p(-torch.rand(10_000, generator=draws, dtype=torch.float64))


def clipping_error(end: float) -> float:
    """Return the mean squared error of the signal in 3 unsigned bits over the range [0, end]."""
    x = exponential_signal()
    step = end / 7
    return float((torch.round(x.clamp(0, end) / step) * step - x).square().mean())


@cache
def _largest() -> float:
    return float(exponential_signal().max())


@cache
def _least_error() -> float:
    return min(clipping_error(k / 20) for k in range(20, 201))


EXERCISES["ptq-clip"] = Exercise(
    kind=a_number,
    claims={
        "the end is positive and not above the largest value": (
            value(lambda end: 0 < end <= _largest() + 0.01),
            "The range is [0, end], and a range beyond the largest value wastes codes.",
        ),
        "clipping there is better than not clipping": (
            value(lambda end: clipping_error(end) < 0.999 * clipping_error(_largest())),
            "Compute the error for some ends below the largest value.",
        ),
        "no other end has an error smaller by more than 2 %": (
            value(lambda end: clipping_error(end) <= 1.02 * _least_error()),
            "Compute the error for ends from 1 to 10 and take the least.",
        ),
    },
    mistakes={
        "This clips nothing: it is the range of min–max.": near(_largest),
        "You gave the step; the question is for the end of the range, 7 steps.": value(
            lambda step: 0 < step < 1 and clipping_error(7 * step) <= 1.02 * _least_error()
        ),
        "This clips too much: the squared distance of what is cut off outweighs the finer "
        "steps of the rest.": value(lambda end: 0 < end < 4.6),
        "This clips too little: the steps are too coarse for the many small values.": value(
            lambda end: 5.5 < end <= _largest()
        ),
    },
)

# -- transfer: a residual block --------------------------------------------------------------------

#: the four ranges of a channel, divided by c where it is written and multiplied where it is read
_BLOCK = 9 / 1.5, 5 / 1.5, 1 * 1.5, 4 * 1.5


def _range(place: int) -> Test:
    return at(place, _BLOCK[place - 1])


EXERCISES["ptq-residual"] = Exercise(
    kind=numbers(5),
    claims={
        "the largest writing range equals the largest reading range": (
            at(0, 1.5),
            "Set max(9, 5)/c = max(1, 4) c and solve for c.",
        ),
        "both layers that write are divided by c": (
            lambda answer: all(_range(i)(answer) for i in (1, 2)),
            "Their sum is divided by c only if both of its terms are.",
        ),
        "both layers that read are multiplied by c": (
            lambda answer: all(_range(i)(answer) for i in (3, 4)),
            "The channel is smaller by the factor c, so each reader must make up for it.",
        ),
    },
    mistakes={
        "This is the factor upside down: layers that write are divided by c.": at(0, 1 / 1.5),
        "You left out the square root.": at(0, 9 / 4),
        "You took the sums of the ranges: a range is the largest magnitude of all.": at(
            0, (14 / 5) ** 0.5
        ),
        "You equalized the first writer and the first reader: the others share their channel.": at(
            0, 3
        ),
    },
)
