"""Exercises of chapter 11: thresholds and schedules by hand, and which layer is the dearest."""

from collections.abc import Callable
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, as_numbers, numbers

# -- by hand: thresholds, schedule, rounds, patterns ----------------------------------------------

SOFT, HARD, GROWN, ROUNDS, PATTERNS = -1.5, -2.0, 0.555, 6, 20
"""S and H of −2 at τ = ½; 0.96 · 37/64; (2/3)^6 ≤ 1/10; three places of six."""


def _is(place: int, expected: float, tolerance: float = 1e-9) -> Callable[[Any], bool]:
    return lambda answer: abs(float(as_numbers(answer)[place]) - expected) <= tolerance


_HAND = Exercise(
    kind=numbers(5),
    claims=(
        Claim("the soft threshold is right", _is(0, SOFT), "sign(x) · max(|x| − τ, 0)."),
        Claim("the hard threshold is right", _is(1, HARD), "What stays, stays as it is."),
        Claim(
            "the sparsity after a quarter is right",
            _is(2, GROWN, 0.0055),
            "s_f − s_f (1 − t/n)³ with t/n = ¼.",
        ),
        Claim(
            "the rounds are right",
            _is(3, ROUNDS),
            "Two thirds of what is left stay each round: the first power below a tenth.",
        ),
        Claim("the patterns are right", _is(4, PATTERNS), "Three of six places: 6! / (3! 3!)."),
    ),
    mistakes=(
        Mistake("You lost the sign: the soft threshold is odd.", _is(0, 1.5)),
        Mistake("You added τ: a threshold moves towards 0.", _is(0, -2.5)),
        Mistake("You moved what the hard threshold keeps; only the soft one does.", _is(1, -1.5)),
        Mistake("You took t/n for 1 − t/n; most goes early.", _is(2, 0.96 / 64, 0.0015)),
        Mistake("You gave the share that is still to go.", _is(2, 0.405, 0.0015)),
        Mistake("You took a straight line; the schedule is cubic.", _is(2, 0.24, 0.0015)),
        Mistake("You gave per cent; a share is asked.", _is(2, 55.5, 0.15)),
        Mistake("You stopped a round early: (2/3)^5 is 13 %.", _is(3, 5)),
        Mistake("A third of what is left goes each round, and two thirds stay.", _is(3, 3)),
        Mistake("You counted orders; a pattern is a set of places.", _is(4, 120)),
        Mistake("You counted all masks of six places; three of them are true.", _is(4, 64)),
    ),
)

# -- to explore: 90 % of one layer of LeNet-300-100 -----------------------------------------------

PRUNED = (44.8, 81.7, 67.0)
"""Accuracy on 1,000 validation images without 90 % of fc1, fc2, fc3."""

LARGEST_DROPPED = (8.4, 7.9, 10.4)
SIGNED = (8.3, 67.1, 33.7)
TENTH_DROPPED = (89.1, 89.2, 89.1)
WITHIN_ROWS = (39.7, 81.4, 75.0)
ON_TEST = (45.0, 83.2, 69.1)
ON_ALL = (46.8, 83.3, 68.2)
ONE_BY_ONE = (44.8, 42.6, 39.4)
THE_OTHERS = (61.6, 33.9, 42.6)
OF_ALL_TOGETHER = (44.5, 81.3, 87.3)

TOLERANCE = 0.75
"""A few images of a thousand may fall to the other side on another processor."""


def _near(expected: tuple[float, ...], tolerance: float = TOLERANCE) -> Callable[[Any], bool]:
    return lambda answer: all(
        abs(a - b) < tolerance for a, b in zip(as_numbers(answer).tolist(), expected, strict=True)
    )


_LAYERS = Exercise(
    kind=numbers(3),
    claims=(
        Claim(
            "they are percentages",
            lambda answer: all(1 < a <= 100 for a in as_numbers(answer).tolist()),
            "Accuracies in percent, of fc1, fc2 and fc3.",
        ),
        Claim(
            "fc1 is the dearest, fc2 the cheapest",
            lambda answer: (
                sorted(range(3), key=as_numbers(answer).tolist().__getitem__) == [0, 2, 1]
            ),
            "In the order of the layers: fc1, fc2, fc3.",
        ),
        Claim(
            "the accuracies are right",
            _near(PRUNED),
            "apply_masks(network, {name: keep_highest(weight.abs(), 0.9)}) on a fresh copy for "
            "each layer; dataset.validation[:1000].",
        ),
    ),
    mistakes=(
        Mistake("You gave shares; multiply by 100.", _near(tuple(a / 100 for a in PRUNED), 0.0075)),
        Mistake("You dropped the largest weights.", _near(LARGEST_DROPPED)),
        Mistake("You forgot the magnitude: a large negative weight is large.", _near(SIGNED)),
        Mistake("You kept 90 %, and dropped 10 %.", _near(TENTH_DROPPED)),
        Mistake("You dropped 90 % of each row, not of the layer.", _near(WITHIN_ROWS)),
        Mistake("You asked all validation images; the first 1,000 are meant.", _near(ON_ALL)),
        Mistake("You pruned one network more and more; take a fresh one.", _near(ONE_BY_ONE)),
        Mistake("You pruned the two other layers.", _near(THE_OTHERS)),
        Mistake("Those are global masks; 90 % of each layer go.", _near(OF_ALL_TOGETHER)),
        Mistake(
            "You gave what is wrong, or lost; the share that is right is asked.",
            _near(tuple(100 - a for a in PRUNED)),
        ),
        Mistake("You looked at test images; choices are made on validation.", _near(ON_TEST, 0.35)),
    ),
)

EXERCISES = {"sparse-hand": _HAND, "sparse-layers": _LAYERS}
