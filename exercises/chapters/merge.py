"""Exercises of chapter 17: factors by hand, at a right angle, with other activations."""

import math
from functools import partial

from exercises.chapters import merge_columns
from exercises.framework import Exercise, at, either, near, numbers

EXERCISES: dict[str, Exercise] = {**merge_columns.EXERCISES}

# -- by hand: a_1 = (1, 2 | 2), a_2 = (4, 4 | 2), read with 1 and 0.9; the second is removed -------

PROJECTED, BY_NORMS = 1 + 0.9 * 16 / 9, 1 + 0.9 * 2
BOUND = 6 * math.sqrt(1 - (16 / 18) ** 2)
"""⟨a_1, a_2⟩ = 16, ‖a_1‖ = 3, ‖a_2‖ = 6: the outgoing weight by both factors, ‖a_2‖ sin θ."""


_is = partial(at)


EXERCISES["merge-hand"] = Exercise(
    kind=numbers(3),
    claims={
        "the outgoing weight by projection is right": (
            _is(0, PROJECTED),
            "c = ⟨a_1, a_2⟩ / ‖a_1‖² with a = [w, β]; then W'_1 + c W'_2.",
        ),
        "the outgoing weight by the ratio of norms is right": (
            _is(1, BY_NORMS),
            "c = ‖a_2‖ / ‖a_1‖ with a = [w, β]; then W'_1 + c W'_2.",
        ),
        "the bound of the projection is right": (
            _is(2, BOUND),
            "‖a_2‖ sin θ with cos θ = ⟨a_1, a_2⟩ / (‖a_1‖ ‖a_2‖).",
        ),
    },
    mistakes={
        "You gave the factor c; add c W'_2 to W'_1.": either(_is(0, 16 / 9), _is(1, 2)),
        "You replaced W'_1 by c W'_2; it is added.": either(_is(0, 0.9 * 16 / 9), _is(1, 1.8)),
        "You forgot the biases; a = [w, β].": either(
            _is(0, 1 + 0.9 * 12 / 5), _is(1, 1 + 0.9 * math.sqrt(32 / 5))
        ),
        "You divided by ‖a_2‖²; a_1 is the one that is kept.": _is(0, 1 + 0.9 * 16 / 36),
        "You took the cosine as the factor.": _is(0, 1 + 0.9 * 8 / 9),
        "You turned the ratio of norms upside down.": _is(1, 1 + 0.9 / 2),
        "You forgot the length of a_2.": _is(2, BOUND / 6),
        "You took the length of a_1, which is kept.": _is(2, BOUND / 2),
        "You took the cosine; the bound has the sine.": _is(2, 6 * 8 / 9),
        "That is the bound of the ratio of norms, 2 ‖a_2‖ sin(θ/2).": _is(
            2, 12 * math.sin(math.acos(8 / 9) / 2)
        ),
        "You forgot the biases in the angle.": _is(2, 6 * math.sqrt(1 - 144 / 160), 1.7889),
    },
)

# -- predict: two neurons at a right angle, κ = 1/π ------------------------------------------------

KAPPA = 1 / math.pi
RIGHT_ANGLE = (1.0, 2 - 2 * KAPPA, 1 - KAPPA**2)
"""Mean squared error of projection, ratio of norms and best factor, relative."""

EXERCISES["merge-right-angle"] = Exercise(
    kind=numbers(3),
    claims={
        "the error of the projection is right": (
            _is(0, RIGHT_ANGLE[0]),
            "cos 90° = 0, so the factor is 0; then the whole value is lost.",
        ),
        "the error of the ratio of norms is right": (
            _is(1, RIGHT_ANGLE[1]),
            "2 − 2 κ with κ(90°) = 1/π.",
        ),
        "the error of the best factor is right": (
            _is(2, RIGHT_ANGLE[2]),
            "1 − κ² with κ(90°) = 1/π.",
        ),
    },
    mistakes={
        "You took κ = 0; at 90° it is 1/π, because values are never negative.": near((1, 2, 1)),
        "You gave the factors, over the ratio of norms; the task asks for errors.": near(
            (0, 1, KAPPA)
        ),
        "The projection prunes at 90°: its error is 1, not 0.": _is(0, 0),
        "You forgot that 2 κ is subtracted from 2: the error is 2 − 2 κ.": either(
            _is(1, 2 * KAPPA), _is(1, 2 - KAPPA)
        ),
        "The best factor's error is 1 − κ², not 1 − κ.": _is(2, 1 - KAPPA),
        "κ² is the part that is saved; the error is 1 − κ².": _is(2, KAPPA**2),
    },
)

# -- transfer: a_2 = −a_1 and a_3 = 2 a_1, read with 3, −1, 0.25 -----------------------------------

MERGED = (2.5, 3.0, 4.0)
"""New weight of the first neuron: absolute value, square, sine."""

EXERCISES["merge-activations"] = Exercise(
    kind=numbers(3),
    claims={
        "the weight with the absolute value is right": (
            _is(0, MERGED[0]),
            "|c x| = |c| |x|: h_2 = h_1 and h_3 = 2 h_1.",
        ),
        "the weight with the square is right": (
            _is(1, MERGED[1]),
            "(c x)² = c² x²: h_2 = h_1 and h_3 = 4 h_1.",
        ),
        "the weight with the sine is right": (
            _is(2, MERGED[2]),
            "sin(−x) = −sin x, so h_2 = −h_1; sin 2x is not a multiple of sin x.",
        ),
    },
    mistakes={
        "You merged as in a linear layer, with c = −1 and c = 2; the activation decides which "
        "factor passes.": either(_is(0, 4.5), _is(1, 4.5), _is(2, 4.5)),
        "You merged as with ReLU, without the opposite neuron; look at h_2 here.": either(
            _is(0, 3.5), _is(1, 3.5), _is(2, 3.5)
        ),
        "With the square the factor of the third neuron is 2² = 4.": _is(1, MERGED[0]),
        "You forgot the third neuron: the activation lets its factor pass.": either(
            _is(0, 2), _is(1, 2)
        ),
        "With the sine h_2 = −h_1, so its weight −1 is subtracted.": _is(2, 2),
    },
)
