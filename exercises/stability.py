"""Exercises of chapter 13: frequencies and the bound by hand, and blind choices."""

import math
from collections.abc import Callable
from typing import Any

import torch

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number, as_numbers, numbers
from reference_impl.pruning import (
    coefficient_of_variation,
    false_selections_bound,
    largest_choice,
    selection_frequency,
)

# -- by hand: a frequency, a variation, the bound, the largest q --------------------------------

_CHOSEN = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
_SCORES = torch.tensor([[2.0], [4.0], [6.0]], dtype=torch.float64)
_P, _Q, _THRESHOLD, _ACCEPTED = 200, 20, 0.7, 2.0


def _near(place: int, expected: Callable[[], float]) -> Callable[[Any], bool]:
    """Return the test whether one of the four numbers is this, within 0.5 %."""
    return lambda answer: math.isclose(
        float(as_numbers(answer)[place]), expected(), rel_tol=5e-3, abs_tol=1e-9
    )


def _frequency() -> float:
    return float(selection_frequency(_CHOSEN.bool())[1])


def _variation() -> float:
    return float(coefficient_of_variation(_SCORES))


_BY_HAND = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "unit 1 is chosen from four of five halves",
            _near(0, _frequency),
            "Count the halves that choose unit 1, and divide by the number of halves, 5.",
        ),
        Claim(
            "the coefficient of variation is the deviation over the mean",
            _near(1, _variation),
            "The mean is 4; the sum of squared deviations, 8, is divided by 3 − 1.",
        ),
        Claim(
            "the bound is q² / ((2π − 1) p)",
            _near(2, lambda: false_selections_bound(_Q, _P, _THRESHOLD)),
            "400 over 0.4 · 200.",
        ),
        Claim(
            "the largest q is √(v (2π − 1) p), rounded down",
            _near(3, lambda: largest_choice(_P, _THRESHOLD, _ACCEPTED)),
            "Solve q² ≤ v (2π − 1) p with v = 2 and p = 200.",
        ),
    ),
    mistakes=(
        Mistake("You counted the choices of unit 0 or 1, not their share.", _near(0, lambda: 4)),
        Mistake(
            "You divided by the number of choices, 10: divide by the number of halves, 5.",
            _near(0, lambda: 0.4),
        ),
        Mistake(
            "You divided by B, not B − 1, in the variance.", _near(1, lambda: 1 / math.sqrt(6))
        ),
        Mistake(
            "That is the variance over the mean: take the root of the variance first.",
            _near(1, lambda: 1.0),
        ),
        Mistake("That is the deviation: divide it by the mean.", _near(1, lambda: 2.0)),
        Mistake("You left 2π − 1 out of the bound.", _near(2, lambda: 2.0)),
        Mistake("You divided by π instead of 2π − 1.", _near(2, lambda: 400 / (0.7 * 200))),
        Mistake("You did not square q in the bound.", _near(2, lambda: 20 / (0.4 * 200))),
        Mistake("q is a whole number, and one more breaks the bound.", _near(3, lambda: 160**0.5)),
        Mistake("You rounded up: 13² is above 160.", _near(3, lambda: 13)),
        Mistake("The bound of two, not of one: v = 2.", _near(3, lambda: 8)),
    ),
)

# -- to explore: how low may the threshold be? --------------------------------------------------

UNITS, CHOSEN, SAMPLES, ACCEPTED = 300, 60, 50, 0.01
"""Of the exercise: p, q, B, and the number of stable units that is allowed by chance."""


def _tail(k: int, samples: int) -> float:
    """Return P(X ≥ k) of X binomial: the chance that a blind choice hits a unit k times."""
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


def _is(value: Callable[[], float]) -> Callable[[Any], bool]:
    return lambda answer: abs(as_number(answer) - value()) < 5e-3


_THRESHOLD_EXERCISE = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "at this threshold fewer than 0.01 units are stable by chance",
            lambda answer: as_number(answer) > smallest_threshold() - 5e-3,
            "300 · P(X ≥ 50 π) must be below 0.01; X is binomial with 50 trials and 60/300.",
        ),
        Claim(
            "and at 1/50 less there are more",
            lambda answer: as_number(answer) < smallest_threshold() + 5e-3,
            "Go down in steps of 1/50: one of them still has fewer than 0.01.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is the number of choices: divide it by 50.",
            _is(lambda: SAMPLES * smallest_threshold()),
        ),
        Mistake(
            "sf(k) is P(X > k): at least k is sf(k − 1).",
            _is(lambda: smallest_threshold() - 1 / SAMPLES),
        ),
        Mistake(
            "That is for one unit: there are 300, so multiply by p.",
            _is(lambda: smallest_threshold(units=1)),
        ),
        Mistake(
            "You counted 50 pairs, which are 100 choices: here are 50.",
            _is(lambda: smallest_threshold(samples=2 * SAMPLES)),
        ),
        Mistake(
            "You searched above a half only: that is what the bound needs, not blind choices.",
            _is(lambda: 0.52),
        ),
    ),
)

EXERCISES = {
    "stability-numbers": _BY_HAND,
    "stability-threshold": _THRESHOLD_EXERCISE,
}
