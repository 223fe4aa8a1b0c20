"""Exercise of chapter 12: to explore how many channels go before accuracy falls below 62 %."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number
from reference_impl.compress import (
    incoming_rows,
    outgoing_columns,
    outputs_at,
    silence_units,
    unit_contributions,
)
from reference_impl.data import load_dataset
from reference_impl.models import Network
from reference_impl.pruning import gate_taylor, mean_square_gate_taylor, output_change, row_norm
from reference_impl.training import load_checkpoint

_ENOUGH = 0.62
"""All four orders cross it by two images of a hundred, and at different counts."""


@cache
def channels_to_spare() -> dict[str, int]:
    """Return how many of the student's conv3 channels go, in the order of four scores.

    The lowest go first, one by one; the count is that before accuracy on the validation images
    2,500 to 3,499 first falls below 62 %, the channels being silent.
    """
    validation = load_dataset().validation
    student = load_checkpoint("student").eval()
    c = unit_contributions(student, {"conv3": "relu3"}, validation[:2000])["conv3"]
    outputs = outputs_at(student.chain(), ["relu3"], validation.images[:500])["relu3"]
    mean_square = outputs.square().mean(dim=(0, 2, 3))
    scores = {
        "square first": mean_square_gate_taylor(c),
        "mean first": gate_taylor(c),
        "norm": row_norm(incoming_rows(student, "conv3")),
        "output": output_change(outgoing_columns(student, "conv3"), mean_square),
    }
    return {name: _before_the_fall(student, score) for name, score in scores.items()}


def _before_the_fall(student: Network, score: Tensor) -> int:
    held = load_dataset().validation[2500:3500]
    keep = torch.ones(len(score), dtype=torch.bool)
    for gone, i in enumerate(score.argsort(stable=True).tolist()[:-1]):
        keep[i] = False
        silent = silence_units(student, {"conv3": keep}).eval()
        with torch.no_grad():
            right = (silent(held.images).argmax(dim=1) == held.labels).double().mean()
        if right < _ENOUGH:
            return gone
    return len(score) - 1


def _is(expected: Callable[[], int]) -> Callable[[Any], bool]:
    return lambda answer: abs(as_number(answer) - expected()) < 0.5


_EXPLORE = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the answer counts channels: a whole number from 0 to 31",
            lambda answer: as_number(answer) in range(32),
            "Count the channels that go; one of the 32 has to stay.",
        ),
        Claim(
            "with so many gone, and with fewer, accuracy is at least 62 %",
            lambda answer: as_number(answer) <= channels_to_spare()["square first"],
            "Stop before accuracy first falls below 62 %.",
        ),
        Claim(
            "with one more it falls below",
            lambda answer: as_number(answer) >= channels_to_spare()["square first"],
            "The next channel still leaves 62 %: go on.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is the count in the order of the filters' norms.",
            _is(lambda: channels_to_spare()["norm"]),
        ),
        Mistake(
            "That is the count with the mean over images before the square.",
            _is(lambda: channels_to_spare()["mean first"]),
        ),
        Mistake(
            "That is the count in the order of the change of the next layer's output.",
            _is(lambda: channels_to_spare()["output"]),
        ),
        Mistake(
            "You counted the channel that broke the limit.",
            _is(lambda: channels_to_spare()["square first"] + 1),
        ),
        Mistake(
            "You counted the channels that stay.",
            _is(lambda: 32 - channels_to_spare()["square first"]),
        ),
    ),
)

EXERCISES = {"importance-spare": _EXPLORE}
