"""Exercises of chapter 10: two parts of a divergence, and a batch with a high enough ceiling."""

import math
from collections.abc import Callable
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number, as_numbers, numbers

# -- by hand: the parts of KL(p ‖ q) ----------------------------------------------------------

TARGET = 0.8 * math.log(4 / 3) - 0.2 * math.log(2)
"""Of the pairs (0.8, 0.2) and (0.6, 0.4)."""

OTHERS = 0.5 * math.log(3)
"""Of (3/4, 1/4) and (1/4, 3/4): p = (0.8, 0.15, 0.05), q = (0.6, 0.1, 0.3) without the first."""

WHOLE = TARGET + 0.2 * OTHERS

_SWAPPED = (
    0.6 * math.log(3 / 4) + 0.4 * math.log(2),
    OTHERS,
    0.6 * math.log(3 / 4) + 0.1 * math.log(2 / 3) + 0.3 * math.log(6),
)
_NOT_DIVIDED = 0.15 * math.log(1.5) - 0.05 * math.log(6)


def _entry(index: int, expected: float) -> Callable[[Any], bool]:
    return lambda answer: abs(float(as_numbers(answer)[index]) - expected) < 0.0015


def _all(*expected: float) -> Callable[[Any], bool]:
    return lambda answer: all(_entry(i, value)(answer) for i, value in enumerate(expected))


_PARTS = Exercise(
    kind=numbers(3),
    claims=(
        Claim(
            "the target part is right",
            _entry(0, TARGET),
            "It compares two numbers with two: (0.8, 0.2) with (0.6, 0.4).",
        ),
        Claim(
            "the others' part is right",
            _entry(1, OTHERS),
            "Leave the first class out and divide the rest by its sum: (3/4, 1/4), (1/4, 3/4).",
        ),
        Claim(
            "the whole is right",
            _entry(2, WHOLE),
            "The target part plus 1 − 0.8 times the others' part; or Σ p log(p/q) of all three.",
        ),
    ),
    mistakes=(
        Mistake(
            "You swapped teacher and student: KL(p ‖ q) weights with the teacher's p.",
            _all(*_SWAPPED),
        ),
        Mistake(
            "You took another logarithm: nats are asked for, the natural one.",
            lambda answer: any(
                _all(*(part / math.log(base) for part in (TARGET, OTHERS, WHOLE)))(answer)
                for base in (2, 10)
            ),
        ),
        Mistake(
            "You did not divide the others by their sum: they are then no distribution.",
            _entry(1, _NOT_DIVIDED),
        ),
        Mistake(
            "You left the second term of the target part out: (0.8, 0.2) are two outcomes.",
            _entry(0, 0.8 * math.log(4 / 3)),
        ),
        Mistake(
            "You added the parts without the weight 1 − p_y of the second.",
            _entry(2, TARGET + OTHERS),
        ),
        Mistake(
            "You weighted the second part with p_y: the surer the teacher, the *less* it counts.",
            _entry(2, TARGET + 0.8 * OTHERS),
        ),
        Mistake("You weighted with the student's 1 − q_y.", _entry(2, TARGET + 0.4 * OTHERS)),
    ),
)

# -- to explore: a batch whose ceiling is high enough --------------------------------------------

INFORMATION = -0.5 * 5 * math.log(1 - 0.98**2)
"""Of five pairs of Gaussians with the correlation 0.98, in nats."""

SMALLEST = math.ceil(math.exp(INFORMATION)) + 1
"""The smallest batch n with log(n − 1) of at least that."""


def _about(expected: float) -> Callable[[Any], bool]:
    return lambda answer: abs(as_number(answer) - expected) <= 1.5


_BATCH = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "with a batch of that size, log N reaches the information",
            lambda answer: as_number(answer) >= SMALLEST - 1,
            "The ceiling of the bound is log N with N = n − 1: that must reach I.",
        ),
        Claim(
            "with none that is noticeably smaller does it",
            lambda answer: as_number(answer) <= SMALLEST + 1,
            "Solve log N = I for N: it is e to the power of I.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is the batch for one pair of coordinates: the information of five adds up.",
            _about(math.exp(INFORMATION / 5) + 1),
        ),
        Mistake(
            "You left out the factor ½ of I.",
            lambda answer: abs(math.log(abs(as_number(answer)) + 1) - 2 * INFORMATION) < 0.01,
        ),
        Mistake(
            "You took 2 to the power of I: that would hold if I were in bits.",
            _about(2**INFORMATION + 1),
        ),
        Mistake("That is I itself, in nats; the question is how many examples.", _about(8.07)),
    ),
)

EXERCISES = {
    "relation-parts": _PARTS,
    "relation-batch": _BATCH,
}
