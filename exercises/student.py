"""Exercises of chapter 09: an interval by hand, a class's bias, a temperature that calibrates."""

import math
from collections.abc import Callable
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number, as_numbers, numbers

# -- by hand: a paired gain and its interval ----------------------------------------------------

ALONE = (87.2, 87.6, 87.1)
DISTILLED = (87.9, 88.0, 87.8)
"""Test accuracies of three seeds; the gains are 0.7, 0.4 and 0.7."""

GAIN = 0.6
ERROR = 0.1
"""Mean of the gains, and √(0.03 / 3), its standard error."""

T_2 = 4.302653
"""Student's 97.5 % quantile with two degrees of freedom."""

HALF_WIDTH = T_2 * ERROR


def _half_width(expected: float) -> Callable[[Any], bool]:
    return lambda answer: abs(float(as_numbers(answer)[1]) - expected) < 0.008


_GAIN = Exercise(
    kind=numbers(2),
    claims=(
        Claim(
            "the mean gain is right",
            lambda answer: abs(float(as_numbers(answer)[0]) - GAIN) < 0.008,
            "Take the difference distilled − alone of each seed, then the mean of the three.",
        ),
        Claim(
            "the half width is right",
            _half_width(HALF_WIDTH),
            "t s / √3, with s² the sum of the squared deviations of the gains, divided by 2.",
        ),
    ),
    mistakes=(
        Mistake(
            "You subtracted the wrong way round: a gain is distilled − alone.",
            lambda answer: abs(float(as_numbers(answer)[0]) + GAIN) < 0.008,
        ),
        Mistake(
            "You took 1.96, the normal quantile: with three seeds it is 4.30.",
            _half_width(1.96 * ERROR),
        ),
        Mistake("You left out t: that is the standard error.", _half_width(ERROR)),
        Mistake(
            "You left out t and √3: that is the standard deviation of the gains.",
            _half_width(math.sqrt(0.03)),
        ),
        Mistake(
            "You divided the squares by 3, not by 2.", _half_width(T_2 * ERROR * math.sqrt(2 / 3))
        ),
        Mistake("You did not divide by √3.", _half_width(T_2 * math.sqrt(0.03))),
        Mistake(
            "You took t with three degrees of freedom; one is spent on the mean.",
            _half_width(3.182446 * ERROR),
        ),
        Mistake(
            "You took the one-sided quantile: 2.5 % are left out on each side.",
            _half_width(2.919986 * ERROR),
        ),
        Mistake(
            "You treated the runs as unpaired: what a seed does to both then counts twice.",
            lambda answer: any(
                _half_width(t * math.sqrt(0.08 / 3))(answer) for t in (T_2, 2.776445)
            ),
        ),
    ),
)

# -- to explore: the temperature that calibrates a network ---------------------------------------

CALIBRATED = 1.661
"""T of the least NLL of `lenet300` on the validation images."""

ON_TRAINING_IMAGES = 0.782
"""The same on the images that it was trained on."""

LEAST_ECE = 1.57
"""T of the least ECE on the validation images, in steps of 0.01."""


def _close(expected: float, tolerance: float = 0.03) -> Callable[[Any], bool]:
    return lambda answer: abs(as_number(answer) - expected) < tolerance


_SCALING = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "it is a temperature: above 0",
            lambda answer: as_number(answer) > 0,
            "Logits are divided by T > 0.",
        ),
        Claim(
            "it lowers the confidence",
            lambda answer: as_number(answer) > 1,
            "The network is surer than it is right, on images that it has not seen; T > 1 makes "
            "it less sure.",
        ),
        Claim(
            "the NLL of the validation images is least there",
            _close(CALIBRATED, 0.045),  # 1.7 as well: two digits are asked for
            "Compute F.cross_entropy(logits / T, labels) on the validation images for T = 1.00, "
            "1.01, … and take the least.",
        ),
    ),
    mistakes=(
        Mistake("You multiplied the logits by it: that is 1 / T.", _close(1 / CALIBRATED, 0.012)),
        Mistake(
            "You fitted it on the training images, which the network knows too well.",
            _close(ON_TRAINING_IMAGES),
        ),
        Mistake("You minimised the ECE: it asks for less, see the chapter.", _close(LEAST_ECE)),
    ),
)

EXERCISES = {
    "student-gain": _GAIN,
    "student-scaling": _SCALING,
}
