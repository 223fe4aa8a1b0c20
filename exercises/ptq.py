"""Exercises of chapter 07: equalizing by hand, folding, the best rounding, where to clip."""

import itertools
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    as_numbers,
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

_factors = partial(near, share=0.01)

EXERCISES["equalize-by-hand"] = Exercise(
    kind=numbers(2),
    claims={
        "both factors are above 0": (
            lambda answer: bool((as_numbers(answer) > 0).all()),
            "A ReLU lets only positive factors pass.",
        ),
        "after dividing and multiplying, both layers have the same range in each channel": (
            _factors([3, 1 / 4]),
            "Set r1/s = r2 s and solve for s.",
        ),
    },
    mistakes={
        "These are the factors upside down: layer 1 is divided by s.": _factors([1 / 3, 4]),
        "You left out the square root: then the two ranges change places.": _factors([9, 1 / 16]),
        "These are the ranges that come out, √(r1 r2), not the factors.": _factors([3, 2]),
    },
)

# -- to implement: folding BatchNorm ---------------------------------------------------------------


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
    """Return the test of the folding with a = scale(γ, σ², ε) and b' = shift(a, b, μ, β)."""

    def fold(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> list[Tensor]:
        state = norm.state_dict()
        a = scale(state["weight"], state["running_var"], norm.eps)
        shifted = shift(a, bias, state["running_mean"], state["bias"])
        return [weight * a.view(-1, *[1] * (weight.ndim - 1)), shifted][parts]

    return agrees(fold, _layers, lambda answer, case: _folded(answer, case)[parts])


EXERCISES["fold-batch-norm"] = Exercise(
    kind=a_function("fold(weight, bias, norm)"),
    claims={
        "the weight is right, for linear layers and convolutions": (
            _folds(parts=slice(1)),
            "Multiply the weights of output i by γ_i / √(σ²_i + ε).",
        ),
        "the bias is right": (
            _folds(parts=slice(1, 2)),
            "Put W x + b in the place of u in the formula of BatchNorm, and collect what has no x.",
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
        "You scaled β: BatchNorm adds it after its scale.": _folds(
            shift=lambda a, b, m, beta: a * (b - m + beta)
        ),
        "You subtracted the mean without its scale.": _folds(
            shift=lambda a, b, m, beta: a * b - m + beta
        ),
        "You forgot the mean.": _folds(shift=lambda a, b, _, beta: a * b + beta),
        "You forgot γ.": _folds(lambda _, v, e: 1 / torch.sqrt(v + e)),
    },
)

# -- to implement: the best of all roundings -------------------------------------------------------


def _problem(seed: int, n: int) -> Case:
    """Return a weight of n numbers, a step and the second moments of correlated inputs.

    No w/s lies within 0.06 of a code or of the middle between two.
    """
    u, own, shared = normals(seed, (n,), (100, n), (100, 1))
    u, x = 2.5 * u, (own + shared).relu()
    half = torch.floor(2 * u) / 2
    return 0.4 * (half + 0.06 + 0.76 * (u - half)), 0.4, x.T @ x / 100


def _everywhere(test: Callable[[Tensor, Case], bool]) -> Test:
    """Return the test of the codes, in float64, of five problems."""

    def holds(answer: Callable[..., Any]) -> bool:
        for case in map(_problem, range(5), (1, 2, 5, 6, 7)):
            found = answer(*deepcopy(case))
            found = torch.tensor(found) if isinstance(found, list | tuple) else found
            if not test(shaped_as(case[0], "the weight", found).double(), case):
                return False
        return True

    return holds


def _loss(codes: Tensor, case: Case) -> float:
    """Return Δw G Δwᵀ with Δw = s q − w."""
    weight, step, gram = case
    delta = step * codes - weight.double()
    return float(delta @ gram.double() @ delta)


def _floor(case: Case) -> Tensor:
    return torch.floor(case[0].double() / case[1])


def _losses(case: Case) -> list[float]:
    """Return the losses of all 2^n choices of up or down."""
    choices = itertools.product((0.0, 1.0), repeat=len(case[0]))
    return [_loss(_floor(case) + torch.tensor(up, dtype=torch.float64), case) for up in choices]


def _are_neighbours(codes: Tensor, case: Case) -> bool:
    floor = _floor(case)
    return bool(((codes == floor) | (codes == floor + 1)).all())


def _are_values(found: Tensor, case: Case) -> bool:
    codes = found / case[1]
    whole = torch.round(codes)
    return torch.allclose(codes, whole, atol=1e-4) and _are_neighbours(whole, case)


def _least(codes: Tensor, case: Case) -> bool:
    """Return whether no other rounding has a noticeably smaller loss: ties are as good."""
    return _loss(codes, case) <= (1 + 1e-4) * min(_losses(case)) + 1e-9


def _least_sum(codes: Tensor, case: Case) -> bool:
    """Return whether (Σ Δw)² is least: all roundings with as many up tie, and each counts."""
    return _are_neighbours(codes, case) and _least(codes, (*case[:2], torch.ones_like(case[2])))


EXERCISES["best-rounding"] = Exercise(
    kind=a_function("best_rounding(weight, step, gram)"),
    claims={
        "every code is one of the two neighbours of w/s": (
            _everywhere(_are_neighbours),
            "Codes are whole numbers, ⌊w/s⌋ or ⌊w/s⌋ + 1; w itself may be negative.",
        ),
        "no other rounding has a smaller loss": (
            _everywhere(_least),
            "Try all 2^n combinations, and compute Δw G Δwᵀ with Δw = s q − w for each.",
        ),
    },
    mistakes={
        "This is rounding to the nearest: it looks at each weight alone.": _everywhere(
            lambda codes, case: torch.equal(codes, torch.round(case[0].double() / case[1]))
        ),
        "You rounded down everywhere.": _everywhere(
            lambda codes, case: torch.equal(codes, _floor(case))
        ),
        "This is the worst rounding: take the least loss.": _everywhere(
            lambda codes, case: _loss(codes, case) >= (1 - 1e-4) * max(_losses(case))
        ),
        "You summed the errors without the second moments: Δw G Δwᵀ.": _everywhere(_least_sum),
        "You returned values, s q: return the codes q.": _everywhere(_are_values),
    },
)

# -- to explore: where to clip ---------------------------------------------------------------------


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


EXERCISES["where-to-clip"] = Exercise(
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
        "This clips nothing: it is the range of min–max.": near(_largest, 0.1),
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
