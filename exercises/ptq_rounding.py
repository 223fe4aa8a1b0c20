"""Exercises of chapter 06 on rounding: the best of all, and where to clip."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.framework import (
    Claim,
    Exercise,
    Mistake,
    WrongResultError,
    a_function,
    a_number,
    as_number,
)

# -- to implement: the best of all roundings ---------------------------------------------------

BestRounding = Callable[[Tensor, float, Tensor], Any]


def _case(seed: int, n: int) -> tuple[Tensor, float, Tensor]:
    """Return a weight of n numbers, a step and the second moments of correlated inputs."""
    draws = torch.Generator().manual_seed(seed)
    weight = torch.randn(n, generator=draws)
    x = (torch.randn(100, n, generator=draws) + torch.randn(100, 1, generator=draws)).relu()
    return weight, 0.4, x.T @ x / 100


_CASES = tuple(_case(seed, n) for seed, n in enumerate((1, 2, 5, 6, 7)))


def _codes(answer: BestRounding, case: tuple[Tensor, float, Tensor]) -> Tensor:
    """Return the codes that an answer returned, in float64.

    Raises:
        WrongResultError: if they are no tensor with one number per weight.
    """
    result = answer(*case)
    if not isinstance(result, Tensor | np.ndarray | list | tuple):
        raise WrongResultError(
            f"The function must return a tensor; it returned a {type(result).__name__}."
        )
    codes = torch.as_tensor(result).double()
    if codes.shape != case[0].shape:
        raise WrongResultError(
            f"The function must return one code for each of the {len(case[0])} weights; it "
            f"returned the shape {tuple(codes.shape)}."
        )
    return codes


def _loss(codes: Tensor, case: tuple[Tensor, float, Tensor]) -> float:
    """Return Δw G Δwᵀ with Δw = s q − w."""
    weight, step, gram = case
    delta = step * codes - weight.double()
    return float(delta @ gram.double() @ delta)


def _neighbours(case: tuple[Tensor, float, Tensor]) -> Tensor:
    """Return all 2^n choices of up or down, as codes."""
    weight, step, _ = case
    floor = torch.floor(weight.double() / step)
    return floor + torch.tensor(
        list(itertools.product((0.0, 1.0), repeat=len(weight))), dtype=torch.float64
    )


_LEAST = [min(_loss(codes, case) for codes in _neighbours(case)) for case in _CASES]


def _everywhere(
    test: Callable[[Tensor, tuple[Tensor, float, Tensor]], bool],
) -> Callable[[BestRounding], bool]:
    return lambda answer: all(test(_codes(answer, case), case) for case in _CASES)


def _are_neighbours(codes: Tensor, case: tuple[Tensor, float, Tensor]) -> bool:
    floor = torch.floor(case[0].double() / case[1])
    return bool(((codes == floor) | (codes == floor + 1)).all())


def _are_values(found: Tensor, case: tuple[Tensor, float, Tensor]) -> bool:
    codes = found / case[1]
    whole = torch.round(codes)
    return torch.allclose(codes, whole, atol=1e-4) and _are_neighbours(whole, case)


def _is_least(answer: BestRounding) -> bool:
    return all(
        _loss(_codes(answer, case), case) <= least * (1 + 1e-4)
        for case, least in zip(_CASES, _LEAST, strict=True)
    )


def _made_by(formula: BestRounding) -> Callable[[BestRounding], bool]:
    return _everywhere(lambda codes, case: torch.equal(codes, formula(*case).double()))


def _worst(weight: Tensor, step: float, gram: Tensor) -> Tensor:
    case = (weight, step, gram)
    codes: Tensor = max(_neighbours(case), key=lambda codes: _loss(codes, case))
    return codes


def _nearest(weight: Tensor, step: float, _: Tensor) -> Tensor:
    return torch.round(weight / step)


def _down(weight: Tensor, step: float, _: Tensor) -> Tensor:
    return torch.floor(weight / step)


def _least_sum(weight: Tensor, step: float, gram: Tensor) -> Tensor:
    case = (weight, step, torch.ones_like(gram))
    codes: Tensor = min(_neighbours(case), key=lambda codes: _loss(codes, case))
    return codes


_BEST = Exercise(
    kind=a_function("best_rounding(weight, step, gram)"),
    claims=(
        Claim(
            "every code is one of the two neighbours of w/s",
            _everywhere(_are_neighbours),
            "Codes are whole numbers, ⌊w/s⌋ or ⌊w/s⌋ + 1; w itself may be negative.",
        ),
        Claim(
            "no other rounding has a smaller loss",
            _is_least,
            "Try all 2^n combinations, and compute Δw G Δwᵀ with Δw = s q − w for each.",
        ),
    ),
    mistakes=(
        Mistake(
            "This is rounding to the nearest: it looks at each weight alone.", _made_by(_nearest)
        ),
        Mistake("You rounded down everywhere.", _made_by(_down)),
        Mistake("This is the worst rounding: take the least loss.", _made_by(_worst)),
        Mistake(
            "You summed the errors without the second moments: Δw G Δwᵀ.", _made_by(_least_sum)
        ),
        Mistake("You returned values, s q: return the codes q.", _everywhere(_are_values)),
    ),
)

# -- to explore: where to clip -----------------------------------------------------------------

CLIP_BITS = 3


def exponential_signal() -> Tensor:
    """Return 10,000 numbers with the density e^(−x), x ≥ 0."""
    draws = torch.Generator().manual_seed(6)
    return -torch.log1p(-torch.rand(10_000, generator=draws, dtype=torch.float64))


def clipping_error(end: float) -> float:
    """Return the mean squared error of the signal in 3 unsigned bits over the range [0, end]."""
    x = exponential_signal()
    step = end / (2**CLIP_BITS - 1)
    return float((torch.round(x.clamp(0, end) / step) * step - x).square().mean())


def _no_clipping() -> float:
    return float(exponential_signal().max())


def _least_error() -> float:
    return min(clipping_error(k / 20) for k in range(20, 201))


_CLIP = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the end is positive and not above the largest value",
            lambda answer: 0 < as_number(answer) <= _no_clipping() + 0.01,
            "The range is [0, end], and a range beyond the largest value wastes codes.",
        ),
        Claim(
            "clipping there is better than not clipping",
            lambda answer: clipping_error(as_number(answer)) < clipping_error(_no_clipping()),
            "Compute the error for some ends below the largest value.",
        ),
        Claim(
            "no other end has an error smaller by more than 2 %",
            lambda answer: clipping_error(as_number(answer)) <= 1.02 * _least_error(),
            "Compute the error for ends from 1 to 10 and take the least.",
        ),
    ),
    mistakes=(
        Mistake(
            "This clips nothing: it is the range of min–max.",
            lambda answer: abs(as_number(answer) - _no_clipping()) < 0.1,
        ),
        Mistake(
            "You gave the step; the question is for the end of the range, 7 steps.",
            lambda answer: (
                0 < as_number(answer) < 1
                and clipping_error(7 * as_number(answer)) <= 1.02 * _least_error()
            ),
        ),
        Mistake(
            "This clips too much: the squared distance of what is cut off outweighs the finer "
            "steps of the rest.",
            lambda answer: 0 < as_number(answer) < 4.6,
        ),
        Mistake(
            "This clips too little: the steps are too coarse for the many small values.",
            lambda answer: 5.5 < as_number(answer) <= _no_clipping(),
        ),
    ),
)

EXERCISES = {"best-rounding": _BEST, "where-to-clip": _CLIP}
