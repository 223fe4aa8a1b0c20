"""Exercises of chapter 14: the surgeon by hand, units, channels to spare; see importance_wanda."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from exercises.chapters import importance_wanda
from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    at,
    called,
    leaves,
    near,
    normals,
    numbers,
    value,
)
from reference_impl.compress import (
    incoming_rows,
    outgoing_columns,
    outputs_at,
    unit_contributions,
)
from reference_impl.data import load_dataset
from reference_impl.pruning import (
    gate_taylor,
    mean_square_gate_taylor,
    output_change,
    row_norm,
)
from reference_impl.training import load_checkpoint

EXERCISES: dict[str, Exercise] = {**importance_wanda.EXERCISES}

# -- by hand: two weights, H = [[3, 1], [1, 2]], w = (1, −2) ---------------------------------------


BY_HAND = (1.25, 10 / 3, 0.0, -1.5)
"""Both weights' costs, and both weights after the cheaper one was removed."""


def _left(*weights: float) -> Test:
    """Return the test of right costs, and these weights."""
    return near((*BY_HAND[:2], *weights))


EXERCISES["importance-surgeon"] = Exercise(
    kind=numbers(4),
    claims={
        "both costs are right": (
            near(BY_HAND[:2]),
            "ΔL_q = w_q²/(2 [H⁻¹]_qq): invert H first, then read the diagonal.",
        ),
        "the cheaper weight is removed": (
            at(2, 0),
            "The weight of the smaller cost is removed: its place is 0.",
        ),
        "the other weight is adjusted": (
            at(3, BY_HAND[3]),
            "Δw = −(w_q/[H⁻¹]_qq) times column q of H⁻¹; its other element moves the other weight.",
        ),
    },
    mistakes={
        "These costs are optimal brain damage, ½ [H]_qq w_q²: the surgeon divides by the "
        "diagonal of the inverse.": near([1.5, 4.0]),
        "You left the factor ½ out of the costs.": near([2.5, 20 / 3]),
        "You left the other weight where it was; that is optimal brain damage.": _left(0.0, -2.0),
        "The update has the wrong sign: the other weight moves the other way.": _left(0.0, -2.5),
        "You gave the step Δw; give the weights after it, w + Δw.": _left(-1.0, 0.5),
        "You removed the more expensive weight; remove that of the smaller cost.": _left(
            1 / 3, 0.0
        ),
    },
)

# -- implement: Taylor's score of whole units ------------------------------------------------------

Score = Callable[[Tensor, Tensor], Tensor]


def _layer(seed: int) -> Case:
    """Return float64 weights of 5 units of 7, and their gradients on 11 examples."""
    w, g = normals(seed, (5, 7), (11, 5, 7), dtype=torch.float64)
    return w, g + 0.3


def _equals(formula: Score) -> Test:
    """Return the test whether an answer agrees with ``formula`` on three layers."""
    return agrees(formula, lambda: [_layer(seed) for seed in range(3)], within=1e-8)


def _score(weight: list[float], gradients: list[list[float]], expected: float) -> Test:
    """Return the test whether one unit has this score."""

    def holds(answer: Callable[..., Any]) -> bool:
        w = torch.tensor([weight], dtype=torch.float64)
        g = torch.tensor([[one] for one in gradients], dtype=torch.float64)
        return bool((called(answer, (w, g)).flatten()[0] - expected).abs() < 1e-6)

    return holds


EXERCISES["importance-unit"] = Exercise(
    kind=a_function("score(weight, gradients)"),
    claims={
        "one score per unit": (
            lambda f: called(f, _layer(0)).shape == (5,),
            "Sum over a unit's weights and average over the images: what is left is one axis.",
        ),
        "a unit's weights are removed together: their contributions may cancel": (
            _score([1.0, 2.0], [[2.0, -1.0], [4.0, -2.0]], 0),
            "Sum g w over the unit's weights before you square.",
        ),
        "images do not cancel": (
            _score([1.0], [[3.0], [-3.0]], 9),
            "Square each image's sum first, then take the mean over images.",
        ),
        "the scores are right": (
            _equals(lambda w, g: (g * w).sum(dim=2).square().mean(dim=0)),
            "mean over images of (sum over the unit's weights of g w)².",
        ),
        "the arguments stay as they were": (
            leaves(lambda: _layer(9)),
            "Do not work in place: gradients *= weight changes the caller's tensor.",
        ),
    },
    mistakes={
        "You took the mean over images before the square: gradients of opposite sign "
        "cancel.": _equals(lambda w, g: (g.mean(dim=0) * w).sum(dim=1).square()),
        "You squared each weight's product before the sum over the unit.": _equals(
            lambda w, g: (g * w).square().sum(dim=2).mean(dim=0)
        ),
        "You left the weight out: a slope is not yet a change of the loss.": _equals(
            lambda _, g: g.sum(dim=2).square().mean(dim=0)
        ),
        "You summed over the images: the score must not grow with their number.": _equals(
            lambda w, g: (g * w).sum(dim=2).square().sum(dim=0)
        ),
        "You took the absolute value in the place of the square.": _equals(
            lambda w, g: (g * w).sum(dim=2).abs().mean(dim=0)
        ),
        "Your scores are half of what is asked: the ½ belongs to curvature, not to this "
        "score.": _equals(lambda w, g: 0.5 * (g * w).sum(dim=2).square().mean(dim=0)),
    },
)

# -- predict: how many channels can be removed before accuracy falls below 62 % --------------------

_ENOUGH = 0.62
"""All four orders cross it by two images of a hundred, and at different counts."""


@cache
def channels_to_spare() -> dict[str, int]:
    """Return how many of the student's conv3 channels go, in the order of four scores.

    The lowest go first, one by one; the count is that before accuracy on the validation images
    2,500 to 3,499 first falls below 62 %, the channels being silent.
    """
    validation = load_dataset().validation
    held = validation[2500:3500]
    student = load_checkpoint("student").eval()
    c = unit_contributions(student, {"conv3": "relu3"}, validation[:2000])["conv3"]
    outputs, held_outputs = (
        outputs_at(student, ["relu3"], images)["relu3"]
        for images in (validation.images[:500], held.images)
    )
    mean_square = outputs.square().mean(dim=(0, 2, 3))
    means, head = held_outputs.mean(dim=(2, 3)), student.get_submodule("head")
    scores = {
        "square first": mean_square_gate_taylor(c),
        "mean first": gate_taylor(c),
        "norm": row_norm(incoming_rows(student, "conv3")),
        "output": output_change(outgoing_columns(student, "conv3"), mean_square),
    }

    def before_the_fall(score: Tensor) -> int:
        keep = torch.ones(len(score), dtype=torch.bool)
        for gone, i in enumerate(score.argsort(stable=True).tolist()[:-1]):
            keep[i] = False
            right = head(means * keep).argmax(dim=1) == held.labels
            if right.double().mean() < _ENOUGH:
                return gone
        return len(score) - 1

    return {name: before_the_fall(score) for name, score in scores.items()}


def _most() -> int:
    return channels_to_spare()["square first"]


EXERCISES["importance-spare"] = Exercise(
    kind=a_number,
    claims={
        "the answer counts channels: a whole number from 0 to 31": (
            value(lambda count: count in range(32)),
            "Count the channels that were removed; at least one of the 32 is kept.",
        ),
        "with so many removed, and with fewer, accuracy is at least 62 %": (
            value(lambda count: count <= _most()),
            "Stop before accuracy first falls below 62 %.",
        ),
        "with one more it falls below": (
            value(lambda count: count >= _most()),
            "After the next channel the accuracy is still 62 % or more.",
        ),
    },
    mistakes={
        "That is the count in the order of the filters' norms.": near(
            lambda: channels_to_spare()["norm"]
        ),
        "That is the count with the mean over images before the square.": near(
            lambda: channels_to_spare()["mean first"]
        ),
        "That is the count in the order of the change of the next layer's output.": near(
            lambda: channels_to_spare()["output"]
        ),
        "You counted the channel that broke the limit.": near(lambda: _most() + 1),
        "You counted the channels that are kept.": near(lambda: 32 - _most()),
    },
)
