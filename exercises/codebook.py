"""Exercises of chapter 05 on clusters: the best pair by hand, and a step of Lloyd's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_function, a_tensor, as_numbers, numbers

# -- by hand: the best two values for six numbers ----------------------------------------------

_SIX = torch.tensor([1.0, 2.0, 3.0, 8.0, 9.0, 22.0], dtype=torch.float64)


def _pair(answer: Any) -> Tensor:
    return as_numbers(answer).sort().values


def _is(low: float, high: float) -> Callable[[Any], bool]:
    """Return the test whether an answer is this pair, to a tenth."""
    wanted = torch.tensor([low, high], dtype=torch.float64)
    return lambda answer: torch.allclose(_pair(answer), wanted, rtol=0, atol=0.05)


def _error(pair: Tensor) -> float:
    return float((_SIX[:, None] - pair).square().amin(dim=1).sum())


def _means_of_the_nearest(answer: Any) -> bool:
    pair = _pair(answer)
    return torch.allclose(_step(_SIX, pair), pair, rtol=0, atol=0.05)


_BY_HAND = Exercise(
    kind=numbers(2),
    claims=(
        Claim(
            "each value is the mean of the numbers nearest to it",
            _means_of_the_nearest,
            "Give each number to the nearer of your two values; both must be means of theirs.",
        ),
        Claim(
            "no other pair has a smaller squared error",
            lambda answer: _error(_pair(answer)) < 53.3,
            "There are five ways to cut six numbers in two: compute the cost of each.",
        ),
    ),
    mistakes=(
        Mistake(
            "Three numbers each, 2 and 13, is a fixed point of Lloyd's iteration, with the squared "
            "error 124; another cut has less than half of it.",
            _is(2, 13),
        ),
        Mistake("These are the ends: the two values of min–max rounding.", _is(1, 22)),
        Mistake("You took medians: the squared error is least about the mean.", _is(3, 22)),
    ),
)

# -- to implement: one step of Lloyd's ---------------------------------------------------------

Step = Callable[[Tensor, Tensor], Tensor]


def _step(x: Tensor, centroids: Tensor) -> Tensor:
    """Return the means of the values nearest to each centroid; one without values stays."""
    nearest = (x[:, None] - centroids).abs().argmin(dim=1)
    means = [
        x[nearest == k].mean() if bool((nearest == k).any()) else centroids[k]
        for k in range(len(centroids))
    ]
    return torch.stack(means)


def _returned(result: Any) -> Tensor:
    """Return what an answer returned, a tensor or an array of NumPy's, as a float64 tensor."""
    return a_tensor(torch.tensor(result) if isinstance(result, np.ndarray) else result).double()


def _draws(*, gap: bool) -> list[tuple[Tensor, Tensor]]:
    """Return values with starts; with ``gap`` one centroid lies where no value is nearest."""
    generator = torch.Generator().manual_seed(5)
    cases = []
    for size in (1, 2, 5, 16):
        x = torch.randn(400, generator=generator)
        start = torch.linspace(-1.5, 1.5, size) if size > 1 else torch.tensor([0.3])
        cases.append((x, torch.cat([start, torch.tensor([90.0])]) if gap else start))
    return cases


def _agrees(formula: Step, *, gap: bool = False) -> Callable[[Step], bool]:
    """Return the test whether an answer agrees with ``formula`` on four draws."""

    def holds(answer: Step) -> bool:
        for x, start in _draws(gap=gap):
            found = _returned(answer(x.clone(), start.clone()))
            expected = formula(x, start).double()
            if found.shape != expected.shape:
                return False
            if not torch.allclose(found, expected, rtol=0, atol=1e-4, equal_nan=True):
                return False
        return True

    return holds


def _leaves_its_arguments(answer: Step) -> bool:
    x, start = _draws(gap=False)[2]
    before, start_before = x.clone(), start.clone()
    answer(x, start)
    return torch.equal(x, before) and torch.equal(start, start_before)


def _with_empty(value: Callable[[Tensor], Tensor]) -> Step:
    """Return a step that gives ``value(centroid)`` to one without values."""

    def step(x: Tensor, centroids: Tensor) -> Tensor:
        nearest = (x[:, None] - centroids).abs().argmin(dim=1)
        empty = torch.tensor([not bool((nearest == k).any()) for k in range(len(centroids))])
        return torch.where(empty, value(centroids), _step(x, centroids))

    return step


def _of_medians(x: Tensor, centroids: Tensor) -> Tensor:
    nearest = (x[:, None] - centroids).abs().argmin(dim=1)
    return torch.stack([x[nearest == k].median() for k in range(len(centroids))])


def _cut_at_centroids(x: Tensor, centroids: Tensor) -> Tensor:
    below = (torch.bucketize(x, centroids) - 1).clamp_min(0)
    return torch.stack([x[below == k].mean() for k in range(len(centroids))])


_LLOYD_STEP = Exercise(
    kind=a_function("step(x, centroids)"),
    claims=(
        Claim(
            "each centroid moves to the mean of the values nearest to it",
            _agrees(_step),
            "For each value find the nearest centroid; then average the values of each centroid.",
        ),
        Claim(
            "a centroid without values stays where it is",
            _agrees(_step, gap=True),
            "No value may be nearest to a centroid: keep it, and do not divide by 0.",
        ),
        Claim(
            "x and centroids are left as they were",
            _leaves_its_arguments,
            "Work on new tensors.",
        ),
    ),
    mistakes=(
        Mistake(
            "A centroid without values became nan: the mean of nothing.",
            _agrees(_with_empty(lambda c: torch.full_like(c, torch.nan)), gap=True),
        ),
        Mistake(
            "A centroid without values became 0: the sum of nothing, divided by something else.",
            _agrees(_with_empty(torch.zeros_like), gap=True),
        ),
        Mistake(
            "You took medians: the squared error is least about the mean.", _agrees(_of_medians)
        ),
        Mistake(
            "You cut at the centroids themselves: nearest means half-way between two of them.",
            _agrees(_cut_at_centroids),
        ),
        Mistake("You returned the centroids as they were.", _agrees(lambda _, start: start)),
    ),
)

EXERCISES = {
    "best-pair": _BY_HAND,
    "lloyd-step": _LLOYD_STEP,
}
