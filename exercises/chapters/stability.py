"""Exercises of chapter 15: numbers by hand, stable units, blind choices, pairs, patients."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.chapters import stability_pairs
from exercises.framework import (
    PRECISION,
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
    agrees,
    at,
    leaves,
    near,
    normals,
    numbers,
    value,
)
from reference_impl.pruning import choose_highest, selection_frequency

EXERCISES: dict[str, Exercise] = {**stability_pairs.EXERCISES}

# -- by hand: a frequency, a variation, the bound, the most to choose ------------------------------


_entry = partial(at)


EXERCISES["stability-hand"] = Exercise(
    kind=numbers(4),
    claims={
        "unit 1 is chosen from four of five halves": (
            _entry(0, 0.8),
            "Count the halves that choose unit 1, and divide by the number of halves, 5.",
        ),
        "the coefficient of variation is the deviation over the mean": (
            _entry(1, 0.5),
            "The mean is 4; the sum of squared deviations, 8, is divided by 3 − 1.",
        ),
        "the bound is chosen² / ((2π − 1) C)": (
            _entry(2, 5),
            "400 over 0.4 · 200.",
        ),
        "the largest number chosen is √(limit (2π − 1) C), rounded down": (
            _entry(3, 12),
            "Solve chosen² ≤ limit (2π − 1) C with limit = 2 and C = 200.",
        ),
    },
    mistakes={
        "You counted the choices of unit 0 or 1, not their share.": _entry(0, 4),
        "You divided by the number of choices, 10: divide by the number of halves, 5.": _entry(
            0, 0.4
        ),
        "You divided by 3 samples, not by 3 − 1, in the variance.": _entry(1, 1 / math.sqrt(6)),
        "That is the variance over the mean: take the root of the variance first.": _entry(1, 1),
        "That is the deviation: divide it by the mean.": _entry(1, 2),
        "You left 2π − 1 out of the bound.": _entry(2, 2),
        "You divided by π instead of 2π − 1.": _entry(2, 400 / (0.7 * 200)),
        "You did not square the number chosen in the bound.": _entry(2, 20 / (0.4 * 200)),
        "The number chosen is a whole number, rounded down.": _entry(3, 160**0.5),
        "You rounded up: 13² is above 160.": _entry(3, 13),
        "That is for one null: the limit is 2.": _entry(3, 8),
    },
)

# -- implement: stable units of scores, with a threshold that rounding must not move ---------------

Stable = Callable[[Tensor, int, float], Any]

_CASES = ((9, 6, 2, 0.6), (20, 8, 3, 0.51), (40, 12, 4, 0.89), (10, 5, 1, 0.75), (7, 9, 5, 0.95))
"""Samples, units, number chosen and π; no share is exactly π."""


def _run(answer: Stable, case: Case) -> Tensor:
    """Return what an answer returned as booleans: a tensor, an array or a list of them."""
    result = answer(*deepcopy(case))
    if not isinstance(result, Tensor | np.ndarray | list | tuple):
        raise WrongResultError(
            f"The function must return a boolean for each unit, not a {type(result).__name__}."
        )
    found = torch.as_tensor(result)
    if found.ndim != 1:
        raise WrongResultError(
            f"The result must have one axis, the units; it has the shape {tuple(found.shape)}."
        )
    if not bool(((found == 0) | (found == 1)).all()):
        raise WrongResultError("The function must return booleans; it returned other numbers.")
    return found.bool()


def _scores(seed: int, samples: int, units: int) -> Tensor:
    """Return scores, some negative, of units the first of which tend to be higher."""
    return normals(seed, (samples, units))[0] - 0.3 * torch.arange(units)


def _made_by(formula: Callable[[Tensor, int, float], Tensor]) -> Test:
    """Return the test whether an answer agrees with ``formula`` on five random cases."""
    return agrees(
        formula,
        lambda: [(_scores(seed, n, units), *rest) for seed, (n, units, *rest) in enumerate(_CASES)],
        _run,
    )


def _right(scores: Tensor, q: int, threshold: float) -> Tensor:
    return selection_frequency(choose_highest(scores, q)) >= threshold - 1e-9


def _in_columns(scores: Tensor, q: int, threshold: float) -> Tensor:
    """Return which units are often among the q highest of their own column."""
    highest = choose_highest(scores.T.contiguous(), min(q, len(scores)))
    return highest.double().mean(dim=1) >= threshold - 1e-9


def _keeps(*cases: tuple[int, int, float]) -> Test:
    """Return the test whether a unit chosen in exactly the share π is stable, and in less not."""

    def first_is_stable(answer: Stable, hits: int, samples: int, threshold: float) -> bool:
        first = (torch.arange(samples) < hits).float()
        scores = torch.stack([first, 1 - first], dim=1)
        return bool(_run(answer, (scores, 1, threshold))[0])

    return lambda answer: all(
        first_is_stable(answer, hits, n, pi) and not first_is_stable(answer, hits - 1, n, pi)
        for hits, n, pi in cases
    )


_meets_the_threshold = _keeps((3, 4, 0.75), (7, 8, 0.875), (6, 8, 0.75))  # exact in any dtype
_survives_rounding = _keeps(
    (55, 100, 0.55), (56, 100, 0.56), (57, 100, 0.57), (7, 10, 0.7), (90, 100, 0.9)
)

EXERCISES["stability-implement"] = Exercise(
    kind=a_function("stable(scores, n_chosen, threshold)"),
    claims={
        "of random scores the stable units are right": (
            _made_by(_right),
            "Mark the highest scores of each row; a unit's share is the mean of its column.",
        ),
        "a share equal to the threshold is stable, a smaller one is not": (
            _meets_the_threshold,
            "The condition is a share of at least π: ≥, not >.",
        ),
        "55 of 100 meet 0.55, whatever the rounding": (
            _survives_rounding,
            "0.55 · 100 is above 55 in floating point, and float32 shares are off as well: "
            "allow a difference of 1e-6, say.",
        ),
        "the scores are left as they were": (
            leaves(lambda: (_scores(11, 6, 4), 2, 0.6)),
            "Do not write into the tensor that you are given: make a new one for the choices.",
        ),
    },
    mistakes={
        "You chose the lowest scores.": _made_by(lambda scores, *rest: _right(-scores, *rest)),
        "You chose by magnitude: rank the scores with their sign.": _made_by(
            lambda scores, *rest: _right(scores.abs(), *rest)
        ),
        "You averaged the scores and chose once: choose on each sample, then count.": _made_by(
            lambda scores, q, _: choose_highest(scores.mean(dim=0), q)
        ),
        "You chose the highest of each unit's column: choose among the units of each "
        "sample.": _made_by(_in_columns),
        "You required more than the threshold: at least is enough.": lambda answer: (
            _made_by(_right)(answer) and not _meets_the_threshold(answer)
        ),
        "You compared with threshold times samples, or a float32 share, without allowing for "
        "its rounding.": lambda answer: (
            _meets_the_threshold(answer) and not _survives_rounding(answer)
        ),
    },
)

# -- predict: how low may the threshold be? -----------------------------------------------------

UNITS, CHOSEN, SAMPLES, ACCEPTED = 300, 60, 50, 0.01
"""Of the exercise: units, chosen, samples, and how many may be stable by chance."""


def _tail(k: int, samples: int) -> float:
    """Return the binomial P(count ≥ k): the chance that a unit is chosen blindly k times."""
    rate = CHOSEN / UNITS
    return sum(
        math.comb(samples, i) * rate**i * (1 - rate) ** (samples - i) for i in range(k, samples + 1)
    )


def smallest_threshold(
    samples: int = SAMPLES, units: int = UNITS, accepted: float = ACCEPTED
) -> float:
    """Return the least k/B at which fewer than ``accepted`` units are stable by chance."""
    least = next(k for k in range(samples + 1) if units * _tail(k, samples) < accepted)
    return least / samples


EXERCISES["stability-threshold"] = Exercise(
    kind=a_number,
    claims={
        "at this threshold fewer than 0.01 units are stable by chance": (
            value(lambda pi: pi >= smallest_threshold() * (1 - PRECISION)),
            "300 · P(count ≥ 50 π) must be below 0.01; the count is binomial: 50 trials, 60/300.",
        ),
        "and at 1/50 less there are more": (
            value(lambda pi: pi <= smallest_threshold() * (1 + PRECISION)),
            "Go down in steps of 1/50: one of them still has fewer than 0.01.",
        ),
    },
    mistakes={
        "That is the number of choices: divide it by 50.": near(
            lambda: SAMPLES * smallest_threshold()
        ),
        "sf(k) is P(count > k): at least k is sf(k − 1).": near(
            lambda: smallest_threshold() - 1 / SAMPLES
        ),
        "That is for one unit: there are 300, so multiply by 300.": near(
            lambda: smallest_threshold(units=1)
        ),
        "You counted 50 pairs, which are 100 choices: the exercise has 50.": near(
            lambda: smallest_threshold(samples=2 * SAMPLES)
        ),
        "You searched above a half only: the bound needs a majority, blind choices do not.": near(
            0.52
        ),
    },
)
