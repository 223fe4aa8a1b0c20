"""Exercises of chapter 07: slopes by hand, and where a step settles."""

import math
from collections.abc import Callable
from typing import Any

import torch

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number, as_numbers, numbers

# -- by hand: ∂x̂/∂s of four numbers ------------------------------------------------------------

_SLOPES = (-4.0, 0.2, 0.3, -0.4)
"""Of −2.6, −0.6, 0.35, 1.7 with s = 0.5 on −4 … 3: x/s is −5.2, −1.2, 0.7, 3.4."""


def _near(expected: tuple[float, ...]) -> Callable[[Any], bool]:
    wanted = torch.tensor(expected, dtype=torch.float64)
    return lambda answer: bool((as_numbers(answer) - wanted).abs().max() < 0.006)


def _entry(index: int) -> Callable[[Any], bool]:
    return lambda answer: abs(float(as_numbers(answer)[index]) - _SLOPES[index]) < 0.006


_BY_HAND = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "the value far below the grid has the slope q_min",
            _entry(0),
            "It is clipped to s q_min, which grows with s at the rate q_min.",
        ),
        Claim(
            "the second slope is right",
            _entry(1),
            "Inside, the slope is round(x/s) − x/s; here x/s = −1.2.",
        ),
        Claim(
            "the third slope is right",
            _entry(2),
            "Inside, the slope is round(x/s) − x/s; here x/s = 0.7.",
        ),
        Claim(
            "the value between q_max and q_max + ½ counts as inside",
            _entry(3),
            "x/s = 3.4 is rounded to 3 = q_max, which is a code of the grid: nothing is clipped.",
        ),
    ),
    mistakes=(
        Mistake(
            "You gave the codes: that is ∂x̂/∂s between two jumps, not the estimator's.",
            _near((-4, -1, 1, 3)),
        ),
        Mistake(
            "Your signs are the wrong way round: round(x/s) − x/s, not x/s − round(x/s).",
            lambda answer: _near((0.2, 0.3))(as_numbers(answer)[1:3].neg()),
        ),
        Mistake(
            "You gave clipped values no slope: x gets no gradient there, but s does.",
            _near((0, 0.2, 0.3, -0.4)),
        ),
        Mistake(
            "You clipped first, as the paper does: there 3.4 > 3 is outside. Here x is rounded "
            "first.",
            _near((-4, 0.2, 0.3, 3)),
        ),
        Mistake(
            "You used the residual outside too: −5.2 is clipped to −4, and stays there when s "
            "changes a little.",
            lambda answer: (
                _near((0.2, 0.2, 0.3, -0.4))(answer) or _near((1.2, 0.2, 0.3, -0.4))(answer)
            ),
        ),
        Mistake(
            "You gave x̂, the values that come back: asked for is how they change with s.",
            _near((-2, -0.5, 0.5, 1.5)),
        ),
        Mistake(
            "You gave round(x/s): inside, the slope is that minus x/s; outside, q_min or q_max.",
            _near((-5, -1, 1, 3)),
        ),
        Mistake("You multiplied by s: the slope has no unit.", _near((-2, 0.1, 0.15, -0.2))),
        Mistake(
            "The smallest code of 3 signed bits is −2² = −4, for this grid is not narrow.",
            _near((-3, 0.2, 0.3, -0.4)),
        ),
    ),
)

# -- to explore: where a step settles ----------------------------------------------------------

SETTLED = 2 - math.sqrt(2)
"""Root of s² − 4 s + 2: the estimator's gradient of the mean squared error vanishes there."""

BEST = 2 / 3
"""Root of s/2 = 1 − s: the step of the least mean squared error."""

CLIPPED_FIRST = 1 / (1 + 1 / math.sqrt(6))
"""Root of s²/6 = (1 − s)²: where the paper's order, clip and then round, settles."""


def _within(expected: float, tolerance: float) -> Callable[[Any], bool]:
    return lambda answer: abs(as_number(answer) - expected) < tolerance


_SETTLES = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the step lies between 0 and 1",
            lambda answer: 0 < as_number(answer) < 1,
            "The values lie in [−1, 1], and the codes reach from −s to s: s lies between 0 and 1.",
        ),
        Claim(
            "it is not the step of the least error",
            lambda answer: not _within(BEST, 0.01)(answer),
            "Solve for a gradient of zero; the estimator's is not the true one.",
        ),
        Claim(
            "the estimator's gradient vanishes there",
            _within(SETTLED, 0.005),
            "Inside, |x| < 1.5 s, the gradient is (x̂ − x)²/s; beyond, it is x̂ − x times the sign. "
            "Balance the two.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is the best step, 2/3: the estimator does not find it.", _within(BEST, 0.005)
        ),
        Mistake(
            "That is the other root of s² − 4 s + 2. Inside would end at 1.5 s, beyond all values.",
            _within(2 + math.sqrt(2), 0.006),
        ),
        Mistake(
            "You clipped first, as the paper does: that settles at 0.71.",
            _within(CLIPPED_FIRST, 0.005),
        ),
        Mistake(
            "That is where LSQ starts, 2 E|x| / √q_max = 1, not where it settles.",
            _within(1, 0.005),
        ),
    ),
)

EXERCISES = {
    "qat-slopes": _BY_HAND,
    "qat-settles": _SETTLES,
}
