"""Exercises of chapter 20: gaps by hand and predicted, a wrong contrast, a front, another pair."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from exercises.framework import (
    Exercise,
    WrongResultError,
    a_function,
    a_number,
    as_numbers,
    at,
    near,
    numbers,
    value,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: w = (0.6, −0.8); the mask drops the second, unit 1 is merged into unit 2 with ½ ------

BY_HAND = (0.3, 0.0, 0.3, 0.25)
"""0 + ½ · 0.6; masked at last; 0.3 / ‖w‖ with ‖w‖ = 1; |−0.75 − (−0.5)| on the grid of step ½."""

_is = partial(at)

EXERCISES["order-hand"] = Exercise(
    kind=numbers(4),
    claims={
        "prune, then merge is right": (
            _is(0, 0.3),
            "The second weight is 0, and the merge adds half of the first.",
        ),
        "merge, then prune is right": (_is(1, 0.0), "The mask of unit 2 acts last."),
        "the gap of prune and merge is right": (
            _is(2, 0.3),
            "‖B(A(w)) − A(B(w))‖ / ‖w‖, and ‖w‖ = √(0.36 + 0.64).",
        ),
        "the gap of round and merge is right": (
            _is(3, 0.25),
            "Rounded, w is (0.5, −1), which merges to −0.75; merged, it is −0.5, a code.",
        ),
    },
    mistakes={
        "You forgot to mask: unit 2 keeps −0.8 before the merge.": _is(0, -0.5),
        "You swapped the two orders.": lambda a: _is(0, 0.0)(a) and _is(1, 0.3)(a),
        "You divided by the sum of |w|; the norm is √(0.36 + 0.64).": _is(2, 0.3 / 1.4),
        "You rounded −0.75 once more; the gap is that of the two operations alone.": _is(3, 0, 0.5),
    },
)

# -- to predict: which pairs commute ---------------------------------------------------------------

COMMUTES = (1, 0, 1, 0, 1, 1)
"""Mask, grid; mask, min–max; removal of units, grid; merge, grid; ReLU, grid; doubling, grid."""

_HINTS = (
    "A symmetric grid has a code for 0, and rounds each weight alone.",
    "Min–max rounding has no code for 0 in general: a dropped weight comes back as another number.",
    "A removal leaves every other weight as it is, and rounding looks at each weight alone.",
    "A sum of two multiples of the step, scaled, is not a multiple of the step.",
    "Rounding is monotone and keeps 0: the sign of a weight does not change.",
    "The step doubles with the largest weight, so that the codes stay the same.",
)

EXERCISES["order-predict"] = Exercise(
    kind=numbers(6),
    claims={
        "each answer is 1 or 0": (
            lambda answer: all(a in (0, 1) for a in as_numbers(answer).tolist()),
            "1 for a pair that commutes, 0 for one that does not.",
        ),
        **{f"pair {i + 1} is right": (at(i, right), _HINTS[i]) for i, right in enumerate(COMMUTES)},
    },
    mistakes={
        "You answered the gap's question the other way round: 1 is for no gap.": near(
            [1 - c for c in COMMUTES]
        ),
    },
)

# -- spot the bug: all orders with A before C, less the others -------------------------------------

CONTRAST = (1 / 3, 0.0)
"""(1 + 1 + 0)/3 − (1 + 0 + 0)/3 of three orders each; a swap of neighbours changes nothing."""

EXERCISES["order-bug"] = Exercise(
    kind=numbers(2),
    claims={
        "what the colleague finds is right": (
            at(0, CONTRAST[0]),
            "With a before c: abc, acb, bac, two of them with a before b; without: cab, cba, bca.",
        ),
        "the gain of the swap is right": (
            at(1, CONTRAST[1]),
            "Swap a and c where they are neighbours: a is before b in both orders, or in neither.",
        ),
    },
    mistakes={
        "You subtracted the other way round.": at(0, -1 / 3),
        "That is the mean of the orders with a before c; subtract that of the others.": at(
            0, 2 / 3
        ),
        "That is the gain of a and b; the pair is a and c.": at(0, 1.0),
    },
)

# -- implement: the Pareto front -------------------------------------------------------------------

Front = Callable[[Sequence[float], Sequence[float]], Any]
POINTS = ([30.0, 10.0, 20.0, 20.0, 40.0, 10.0], [91.0, 85.0, 90.0, 88.0, 91.0, 85.0])
RANDOM = torch.rand(2, 40, generator=torch.Generator().manual_seed(17)).tolist()


def front(n_bytes: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    """Return for each point whether none is at least as good in both and better in one."""
    points = list(zip(n_bytes, accuracies, strict=True))
    return [
        not any(b <= own and a >= right and (b, a) != (own, right) for b, a in points)
        for own, right in points
    ]


def _found(answer: Front, n_bytes: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    result = answer(list(n_bytes), list(accuracies))
    if not isinstance(result, Sequence) or len(result) != len(n_bytes):
        raise WrongResultError(f"The function must return {len(n_bytes)} booleans, one a point.")
    return [bool(one) for one in result]


def _makes(formula: Front, *cases: Any) -> Callable[[Front], bool]:
    return lambda answer: all(_found(answer, *case) == formula(*case) for case in cases)


def _strict(n_bytes: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    """Let a point stand that is only beaten in one of the two and equal in the other."""
    points = list(zip(n_bytes, accuracies, strict=True))
    return [not any(b < own and a > right for b, a in points) for own, right in points]


def _turned(n_bytes: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    return front([-b for b in n_bytes], accuracies)


def _best(_: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    return [a == max(accuracies) for a in accuracies]


EXERCISES["order-front"] = Exercise(
    kind=a_function("of bytes and accuracies"),
    claims={
        "one point is its own front": (
            _makes(front, ([1.0], [2.0])),
            "Nothing beats a point that is alone.",
        ),
        "a point that another beats in both is not on it": (
            _makes(front, ([1.0, 2.0], [90.0, 80.0]), RANDOM),
            "A point is off the front if another one has fewer bytes and a higher accuracy.",
        ),
        "ties are right": (
            _makes(front, POINTS),
            "As many bytes and a higher accuracy, or fewer bytes and the same accuracy, beat a "
            "point too; a point does not beat its equal.",
        ),
    },
    mistakes={
        "You let a point stand that another equals in one and beats in the other.": _makes(
            _strict, POINTS, RANDOM
        ),
        "You looked for many bytes; fewer are better.": _makes(_turned, POINTS, RANDOM),
        "You kept only the highest accuracy; a smaller network may be less accurate.": _makes(
            _best, POINTS, RANDOM
        ),
    },
)

# -- transfer: a matrix of lower rank, and a mask --------------------------------------------------

RANK_GAP, MASK_ANEW, TRUNCATED = 0.2184, 0.1651, 0.3788
"""Gap of rank 25 and a mask of half of the weights of LeNet-300-100's second layer, chosen once;
chosen in each order anew; and ‖W − W_25‖ / ‖W‖."""

EXERCISES["order-rank"] = Exercise(
    kind=a_number,
    claims={
        "it is the gap of these two operations": (
            value(lambda answer: abs(answer - RANK_GAP) < 0.004),
            "order_gap(W, low_rank, masked): the mask is chosen once, from W; the rank is 25.",
        ),
    },
    mistakes={
        "You chose the mask anew in each order; choose it once, from W.": value(
            lambda answer: abs(answer - MASK_ANEW) < 0.004
        ),
        "That is what the truncation alone loses.": value(
            lambda answer: abs(answer - TRUNCATED) < 0.004
        ),
    },
)
