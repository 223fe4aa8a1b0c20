"""Exercises of chapter 15: two neurons by hand, and which channels of the teacher to merge."""

import math
from collections.abc import Callable
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, as_numbers, numbers

# -- by hand: a_1 = (1, 2 | 2), a_2 = (4, 4 | 2), outgoing 1 and 0.9; the second goes --------------

PROJECTED, BY_NORMS = 1 + 0.9 * 16 / 9, 1 + 0.9 * 2
BOUND = 6 * math.sqrt(1 - (16 / 18) ** 2)
"""⟨a_1, a_2⟩ = 16, ‖a_1‖ = 3, ‖a_2‖ = 6: the outgoing weight by both factors, ‖a_2‖ sin θ."""


def _is(place: int, *expected: float) -> Callable[[Any], bool]:
    return lambda answer: any(
        abs(float(as_numbers(answer)[place]) - value) < 0.006 for value in expected
    )


_HAND = Exercise(
    kind=numbers(3),
    claims=(
        Claim(
            "the outgoing weight by projection is right",
            _is(0, PROJECTED),
            "c = ⟨a_1, a_2⟩ / ‖a_1‖² with a = [w, b]; then W'_1 + c W'_2.",
        ),
        Claim(
            "the outgoing weight by the ratio of norms is right",
            _is(1, BY_NORMS),
            "c = ‖a_2‖ / ‖a_1‖ with a = [w, b]; then W'_1 + c W'_2.",
        ),
        Claim(
            "the bound of the projection is right",
            _is(2, BOUND),
            "‖a_2‖ sin θ with cos θ = ⟨a_1, a_2⟩ / (‖a_1‖ ‖a_2‖).",
        ),
    ),
    mistakes=(
        Mistake("You gave the factor c; add c W'_2 to W'_1.", _is(0, 16 / 9)),
        Mistake("You replaced W'_1 by c W'_2; it is added.", _is(0, 0.9 * 16 / 9)),
        Mistake("You forgot the biases; a = [w, b].", _is(0, 1 + 0.9 * 12 / 5)),
        Mistake("You divided by ‖a_2‖²; a_1 is the one that stays.", _is(0, 1 + 0.9 * 16 / 36)),
        Mistake("You took the cosine as the factor.", _is(0, 1 + 0.9 * 8 / 9)),
        Mistake("You gave the factor c; add c W'_2 to W'_1.", _is(1, 2)),
        Mistake("You replaced W'_1 by c W'_2; it is added.", _is(1, 1.8)),
        Mistake("You forgot the biases; a = [w, b].", _is(1, 1 + 0.9 * math.sqrt(32 / 5))),
        Mistake("You turned the ratio of norms round.", _is(1, 1 + 0.9 / 2)),
        Mistake("You forgot the length of a_2.", _is(2, BOUND / 6)),
        Mistake("You took the length of a_1, which stays.", _is(2, BOUND / 2)),
        Mistake("You took the cosine; the bound has the sine.", _is(2, 6 * 8 / 9)),
        Mistake(
            "That is the bound of the ratio of norms, 2 ‖a_2‖ sin(θ/2).",
            _is(2, 12 * math.sin(math.acos(8 / 9) / 2)),
        ),
        Mistake(
            "You forgot the biases in the angle.", _is(2, 6 * math.sqrt(1 - 144 / 160), 1.7889)
        ),
    ),
)

# -- to explore: half of the channels of one width of the teacher ---------------------------------

PRUNED = (49.2, 80.8, 77.1, 91.0)
"""Accuracy on 1,000 validation images with half of conv1, conv2, conv3, conv4."""

MERGED = (77.6, 75.9, 88.5, 92.2)
BY_KAPPA = (77.1, 81.4, 85.9, 92.4)
NOT_FOLDED = (40.1, 70.7, 88.3, 92.1)
ON_TEST = (26.7, -4.8, 13.7, 1.8)


def _gains(after: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(after, PRUNED, strict=True))


GAINS = _gains(MERGED)

TOLERANCE = 0.85
"""A few images of a thousand may fall to the other side on another processor, twice."""


def _near(expected: tuple[float, ...]) -> Callable[[Any], bool]:
    return lambda answer: all(
        abs(a - b) < TOLERANCE for a, b in zip(as_numbers(answer).tolist(), expected, strict=True)
    )


def _signs(answer: Any) -> bool:
    return [a > 0 for a in as_numbers(answer).tolist()] == [True, False, True, True]


_CHANNELS = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "merging loses to pruning in one layer, and in the right one",
            _signs,
            "Merged minus pruned, in the order of teacher.widths: conv1 to conv4.",
        ),
        Claim(
            "the gains are right",
            _near(GAINS),
            "accuracy(merge_nearest(teacher, keep)) − accuracy(remove_units(teacher, keep)), one "
            "label at a time, the highest norms of incoming_rows kept; dataset.validation[:1000].",
        ),
    ),
    mistakes=(
        Mistake("You gave accuracies; take the difference to pruning.", _near(MERGED)),
        Mistake("You took pruned minus merged.", _near(tuple(-g for g in GAINS))),
        Mistake(
            "You gave shares; multiply by 100.",
            lambda answer: _near(GAINS)(100 * as_numbers(answer)),
        ),
        Mistake(
            "You merged with the factor κ; the task is the ratio of norms.", _near(_gains(BY_KAPPA))
        ),
        Mistake(
            "You compared the convolution's own weights; behind BatchNorm the folded rows count.",
            _near(_gains(NOT_FOLDED)),
        ),
        Mistake("You looked at test images; choices are made on validation.", _near(ON_TEST)),
    ),
)

EXERCISES = {"merge-hand": _HAND, "merge-channels": _CHANNELS}
