"""Exercises of chapter 14: what goes with a channel by hand, and which width is the dearest."""

from collections.abc import Callable
from typing import Any

from exercises.framework import Claim, Exercise, Mistake, as_numbers, numbers

# -- by hand: what one channel takes with it ------------------------------------------------------

COLUMNS, PARAMETERS, MACS = 36, 191, 504
"""Of 6×6 positions; 9 weights, γ and β, 5 · 36 columns' weights; 36 · 9 and 36 · 5."""


def _is(place: int, expected: float) -> Callable[[Any], bool]:
    return lambda answer: float(as_numbers(answer)[place]) == expected


_HAND = Exercise(
    kind=numbers(3),
    claims=(
        Claim(
            "the columns are right",
            _is(0, COLUMNS),
            "Behind the flatten a channel owns one column for each of its positions.",
        ),
        Claim(
            "the parameters are right",
            _is(1, PARAMETERS),
            "Nine weights of the filter, γ and β, and in each of the five rows of the linear "
            "layer the columns of the channel.",
        ),
        Claim(
            "the multiply–accumulates are right",
            _is(2, MACS),
            "Nine products at each of 36 positions, and one product for each weight of the linear "
            "layer that is gone.",
        ),
    ),
    mistakes=(
        Mistake("You took one column; the channel has 6 · 6 positions.", _is(0, 1)),
        Mistake("You took all columns of the linear layer.", _is(0, 144)),
        Mistake("You forgot γ and β of the BatchNorm.", _is(1, 189)),
        Mistake("You forgot what reads the channel: columns of the linear layer.", _is(1, 11)),
        Mistake("You counted running mean and variance; nobody trains them.", _is(1, 193)),
        Mistake("You removed the linear layer's biases too; no class is gone.", _is(1, 196)),
        Mistake("You counted the filter at one position; it runs at 36.", _is(2, 189)),
        Mistake("You forgot what reads the channel saves too.", _is(2, 324)),
        Mistake("You counted two operations for each product.", _is(2, 2 * MACS)),
    ),
)

# -- to explore: half of one width of the residual network ----------------------------------------

HALVED = (12.1, 62.9, 46.1, 81.2)
"""Accuracy on 1,000 validation images without half of stream, inner1, inner2, inner3."""

LOWEST_KEPT = (28.6, 36.4, 50.5, 82.1)
FIRST_LAYER_ALONE = (9.0, 63.0, 53.3, 77.7)
ON_TEST = (12.4, 61.9, 45.4, 82.6)

TOLERANCE = 0.55
"""A few images of a thousand may fall to the other side on another processor."""


def _near(expected: tuple[float, ...]) -> Callable[[Any], bool]:
    return lambda answer: all(
        abs(a - b) < TOLERANCE for a, b in zip(as_numbers(answer).tolist(), expected, strict=True)
    )


def _like(*orders: tuple[float, ...]) -> Callable[[Any], bool]:
    return lambda answer: any(_near(order)(answer) for order in orders)


_HALVES = Exercise(
    kind=numbers(4),
    claims=(
        Claim(
            "they are percentages",
            lambda answer: all(1 < a <= 100 for a in as_numbers(answer).tolist()),
            "Accuracies in percent, of stream, inner1, inner2 and inner3.",
        ),
        Claim(
            "the stream is the dearest, inner3 the cheapest",
            lambda answer: (
                sorted(range(4), key=as_numbers(answer).tolist().__getitem__) == [0, 2, 1, 3]
            ),
            "In the order of network.widths: stream, inner1, inner2, inner3.",
        ),
        Claim(
            "the accuracies are right",
            _near(HALVED),
            "keep_highest(row_norm(incoming_rows(network, label)), 0.5) for one label at a time, "
            "the others whole; dataset.validation[:1000].",
        ),
    ),
    mistakes=(
        Mistake("You gave shares; multiply by 100.", _like(tuple(a / 100 for a in HALVED))),
        Mistake("You kept the lowest scores.", _like(LOWEST_KEPT)),
        Mistake(
            "You took the norm of one layer's weights; incoming_rows has all that write a unit, "
            "with their BatchNorm.",
            _like(FIRST_LAYER_ALONE),
        ),
        Mistake("You looked at test images; choices are made on validation.", _like(ON_TEST)),
    ),
)

EXERCISES = {"narrow-channel": _HAND, "narrow-halves": _HALVES}
