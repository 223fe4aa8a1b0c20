"""Exercises of chapter 08: an objective by hand, and the temperature at which a teacher doubts."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number, as_numbers, numbers
from reference_impl.data import load_dataset
from reference_impl.training import load_checkpoint, predict

# -- by hand: v = (2 ln 4, 0), z = (0, 0), y = 0, T = 2, α = 0.9 --------------------------------

_KL = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
_HARD = math.log(2)
RIGHT = (0.8, 4 * _KL, 0.1 * _HARD + 0.9 * 4 * _KL, 0.1 * (0.5 - 1) + 0.9 * 2 * (0.5 - 0.8))
_REVERSE = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)


def _entry(index: int, expected: float) -> Callable[[Any], bool]:
    return lambda answer: abs(float(as_numbers(answer)[index]) - expected) < 0.006


def _either(*tests: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda answer: any(test(answer) for test in tests)


_BY_HAND = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "p1 is right",
            _entry(0, RIGHT[0]),
            "Divide the logits by T = 2 first: (ln 4, 0), that is 4 : 1.",
        ),
        Claim(
            "T² KL is right",
            _entry(1, RIGHT[1]),
            "4 · (p1 ln(p1/q1) + p2 ln(p2/q2)) with p = (0.8, 0.2) and q = (0.5, 0.5).",
        ),
        Claim(
            "the objective is right",
            _entry(2, RIGHT[2]),
            "(1 − α) ln 2 + α T² KL, with α = 0.9.",
        ),
        Claim(
            "the slope is right",
            _entry(3, RIGHT[3]),
            "(1 − α) (q1 − 1) + α T (q1 − p1), with α = 0.9 and T = 2.",
        ),
    ),
    mistakes=(
        Mistake("That is p1 at T = 1, 16 : 1: divide the logits by T first.", _entry(0, 16 / 17)),
        Mistake("You left out T²: without it the soft term fades.", _entry(1, _KL)),
        Mistake(
            "That is half of it: multiply by T², not by T, and sum over the classes.",
            _entry(1, 2 * _KL),
        ),
        Mistake(
            "You swapped the two: it is KL(p ‖ q), weighed by the teacher's p.",
            _either(_entry(1, 4 * _REVERSE), _entry(1, _REVERSE)),
        ),
        Mistake("You took logarithms to base 2: nats are natural.", _entry(1, 4 * _KL / _HARD)),
        Mistake(
            "That is the cross-entropy: subtract the teacher's entropy for the KL.",
            _either(_entry(1, 4 * _HARD), _entry(1, _HARD)),
        ),
        Mistake(
            "You swapped the weights: α = 0.9 belongs to the soft term.",
            _either(_entry(2, 0.9 * _HARD + 0.1 * 4 * _KL), _entry(3, 0.9 * -0.5 + 0.1 * -0.6)),
        ),
        Mistake("Your slope has the wrong sign: q − p, not p − q.", _entry(3, -RIGHT[3])),
        Mistake(
            "The slope of T² KL is T (q − p): one T goes with the derivative.",
            _either(_entry(3, -0.05 - 0.9 * 4 * 0.3), _entry(3, -0.05 - 0.9 * 0.3)),
        ),
        Mistake(
            "The slope of T² KL has a factor T², less one for the derivative.",
            _entry(3, -0.05 - 0.9 * 0.3 / 2),
        ),
    ),
)

# -- to explore: the temperature at which the largest probability is ½ ---------------------------

N_IMAGES = 500


@cache
def _logits(name: str) -> Tensor:
    return predict(load_checkpoint(name), load_dataset().validation.images[:N_IMAGES])


def _largest(name: str, temperature: float) -> float:
    """Return the mean largest probability of a network at a temperature."""
    p = torch.softmax(_logits(name).double() / temperature, dim=1)
    return p.max(dim=1).values.mean().item()


def _half_at(name: str, tolerance: float) -> Callable[[Any], bool]:
    return lambda answer: (
        as_number(answer) > 0 and abs(_largest(name, as_number(answer)) - 0.5) < tolerance
    )


_DOUBT = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the temperature is above 1",
            lambda answer: as_number(answer) > 1,
            "At T = 1 the teacher is sure by 0.95; a lower temperature makes it surer still.",
        ),
        Claim(
            "the teacher's largest probability is 0.5 on average",
            _half_at("teacher", 0.01),
            "Take the softmax of v/T, the largest of each row, the mean of 500 rows; change T "
            "until that is 0.5.",
        ),
    ),
    mistakes=(
        Mistake(
            "You multiplied the logits by your number: T divides them.",
            lambda answer: (
                as_number(answer) > 0
                and abs(_largest("teacher", 1 / as_number(answer)) - 0.5) < 0.01
            ),
        ),
        Mistake("That is the student's temperature.", _half_at("student", 0.01)),
    ),
)

EXERCISES = {
    "distill-hand": _BY_HAND,
    "distill-temperature": _DOUBT,
}
