"""Exercises of chapter 17: two neurons merged by hand and in code, channels of the teacher."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    as_numbers,
    at,
    either,
    leaves,
    near,
    normals,
    numbers,
    same,
    tensors,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: a_1 = (1, 2 | 2), a_2 = (4, 4 | 2), outgoing 1 and 0.9; the second goes --------------

PROJECTED, BY_NORMS = 1 + 0.9 * 16 / 9, 1 + 0.9 * 2
BOUND = 6 * math.sqrt(1 - (16 / 18) ** 2)
"""⟨a_1, a_2⟩ = 16, ‖a_1‖ = 3, ‖a_2‖ = 6: the outgoing weight by both factors, ‖a_2‖ sin θ."""


_is = partial(at, within=0.006)


EXERCISES["merge-hand"] = Exercise(
    kind=numbers(3),
    claims={
        "the outgoing weight by projection is right": (
            _is(0, PROJECTED),
            "c = ⟨a_1, a_2⟩ / ‖a_1‖² with a = [w, b]; then W'_1 + c W'_2.",
        ),
        "the outgoing weight by the ratio of norms is right": (
            _is(1, BY_NORMS),
            "c = ‖a_2‖ / ‖a_1‖ with a = [w, b]; then W'_1 + c W'_2.",
        ),
        "the bound of the projection is right": (
            _is(2, BOUND),
            "‖a_2‖ sin θ with cos θ = ⟨a_1, a_2⟩ / (‖a_1‖ ‖a_2‖).",
        ),
    },
    mistakes={
        "You gave the factor c; add c W'_2 to W'_1.": either(_is(0, 16 / 9), _is(1, 2)),
        "You replaced W'_1 by c W'_2; it is added.": either(_is(0, 0.9 * 16 / 9), _is(1, 1.8)),
        "You forgot the biases; a = [w, b].": either(
            _is(0, 1 + 0.9 * 12 / 5), _is(1, 1 + 0.9 * math.sqrt(32 / 5))
        ),
        "You divided by ‖a_2‖²; a_1 is the one that stays.": _is(0, 1 + 0.9 * 16 / 36),
        "You took the cosine as the factor.": _is(0, 1 + 0.9 * 8 / 9),
        "You turned the ratio of norms round.": _is(1, 1 + 0.9 / 2),
        "You forgot the length of a_2.": _is(2, BOUND / 6),
        "You took the length of a_1, which stays.": _is(2, BOUND / 2),
        "You took the cosine; the bound has the sine.": _is(2, 6 * 8 / 9),
        "That is the bound of the ratio of norms, 2 ‖a_2‖ sin(θ/2).": _is(
            2, 12 * math.sin(math.acos(8 / 9) / 2)
        ),
        "You forgot the biases in the angle.": _is(2, 6 * math.sqrt(1 - 144 / 160), 1.7889),
    },
)

# -- to implement: the merging of one neuron into another ------------------------------------------

Merge = Callable[[Tensor, Tensor, Tensor, int, int], Any]
_STAYS, _GOES = 3, 1


def _problem(stays: int = _STAYS, goes: int = _GOES) -> Case:
    """Return weight and bias of five neurons, the reader's weight, who stays and who goes."""
    weight, bias, reader = normals(0, (5, 3), (5,), (4, 5))
    weight[_GOES] = 1.5 * weight[_STAYS] + torch.tensor([0.5, -0.2, 0.3])  # alike, not parallel
    bias[_GOES] = bias[_STAYS] + 0.4
    return weight, bias, reader, stays, goes


def _twins(factor: float) -> Case:
    weight, bias, *rest = _problem()
    weight[_GOES], bias[_GOES] = factor * weight[_STAYS], factor * bias[_STAYS]
    return weight, bias, *rest


def _run(answer: Merge, case: Case) -> list[Tensor]:
    found = tensors(answer(*deepcopy(case)), "weight", "bias", "reader")
    return [part.to(case[0].dtype) for part in found]  # other dtypes are as right


def _pruned(weight: Tensor, bias: Tensor, reader: Tensor, _: int, j: int) -> list[Tensor]:
    keep = torch.arange(len(bias)) != j
    return [weight[keep], bias[keep], reader[:, keep]]


def _with(factor: Callable[[Tensor, Tensor], Tensor]) -> Merge:
    """Return the merging by a factor of the rows (a_i that stays, a_j that goes)."""

    def merge(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> list[Tensor]:
        a = torch.cat([weight, bias.unsqueeze(1)], dim=1)
        reader = reader.clone()
        reader[:, i] += factor(a[i], a[j]) * reader[:, j]
        return _pruned(weight, bias, reader, i, j)

    return merge


def _projection(a_i: Tensor, a_j: Tensor) -> Tensor:
    return (a_i @ a_j / (a_i @ a_i)).clamp(min=0)


_right = _with(_projection)


def _twins_are_exact(answer: Merge) -> bool:
    def outputs(weight: Tensor, bias: Tensor, reader: Tensor) -> Tensor:
        return (normals(1, (50, 3))[0] @ weight.T + bias).relu() @ reader.T

    twins = _twins(2.5)
    return same(outputs(*_run(answer, twins)), outputs(*twins[:3]), within=1e-4)


def _makes(formula: Merge, *cases: Callable[[], Case]) -> Test:
    chosen = cases or (_problem, lambda: _twins(-1.0))
    return agrees(formula, lambda: [case() for case in chosen], _run, share=1e-5, within=1e-5)


def _replaced(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Any:
    """Write c W'_j in the place of W'_i."""
    emptied = reader.clone()
    emptied[:, i] = 0
    return _right(weight, bias, emptied, i, j)


def _incoming_added(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Any:
    """Add the incoming rows, as the article does."""
    weight, bias = weight.clone(), bias.clone()
    weight[i] += weight[j]
    bias[i] += bias[j]
    return _pruned(weight, bias, reader, i, j)


def _shifted(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Any:
    """Remove first, then add to the column that has moved to place i."""
    a = torch.cat([weight, bias.unsqueeze(1)], dim=1)
    column = _projection(a[i], a[j]) * reader[:, j]
    weight, bias, reader = _pruned(weight, bias, reader, i, j)
    reader[:, min(i, reader.shape[1] - 1)] += column
    return weight, bias, reader


EXERCISES["merge-units"] = Exercise(
    kind=a_function("merge(weight, bias, reader, i, j)"),
    claims={
        "the three shapes are right": (
            lambda f: [part.shape for part in _run(f, _problem())] == [(4, 3), (4,), (4, 4)],
            "Of 5 neurons 4 stay: weight (4, 3), bias (4,), reader (4, 4).",
        ),
        "twins are merged exactly": (
            _twins_are_exact,
            "If [w_j, b_j] = c [w_i, b_i], c > 0, the small network computes the same.",
        ),
        "the factor is the projection of [w, b]": (
            _makes(_right, _problem),
            "c = ⟨a_i, a_j⟩ / ‖a_i‖² with a = [w, b]; column i becomes W'_i + c W'_j.",
        ),
        "it is right for i < j and for i > j": (
            _makes(_right, lambda: _problem(stays=_GOES, goes=_STAYS)),
            "Add the column before you remove the other: afterwards places have moved.",
        ),
        "an opposite neuron is pruned": (
            _makes(_pruned, lambda: _twins(-1.0)),
            "For a negative projection c is 0.",
        ),
        "what it is given stays as it is": (
            leaves(_problem),
            "Return new tensors: the network must stay whole.",
        ),
    },
    mistakes={
        "You only removed neuron j: that is pruning. Its column, times c, is added to that of "
        "i.": _makes(_pruned),
        "You replaced the column of i; that of j, times c, is added to it.": _makes(_replaced),
        "You forgot the bias: c is the projection of [w, b].": _makes(
            _with(lambda a_i, a_j: _projection(a_i[:-1], a_j[:-1]))
        ),
        "You added the column as it is; it takes the factor c.": _makes(
            _with(lambda *_: torch.ones(()))
        ),
        "You took the cosine as the factor; the lengths count too.": _makes(
            _with(lambda a_i, a_j: torch.cosine_similarity(a_i, a_j, dim=0).clamp(min=0))
        ),
        "You took the ratio of norms; the task is the projection.": _makes(
            _with(lambda a_i, a_j: a_j.norm() / a_i.norm())
        ),
        "You divided by the length of the one that goes; c is ⟨a_i, a_j⟩ / ‖a_i‖².": _makes(
            _with(lambda a_i, a_j: _projection(a_j, a_i))
        ),
        "You did not cut c off at 0: ReLU passes no negative factor.": _makes(
            _with(lambda a_i, a_j: a_i @ a_j / (a_i @ a_i))
        ),
        "You changed the incoming weights of i; they stay, its column changes.": _makes(
            _incoming_added
        ),
        "You removed first: column i is then another one if i > j.": _makes(_shifted),
        "You let i go; j goes, and i stays.": _makes(lambda w, b, r, i, j: _right(w, b, r, j, i)),
    },
)

# -- to explore: half of the channels of one width of the teacher ----------------------------------

PRUNED = (49.2, 80.8, 77.1, 91.0)
"""Accuracy on 1,000 validation images with half of conv1, conv2, conv3, conv4."""

MERGED = (77.6, 75.9, 88.5, 92.2)
BY_KAPPA = (77.1, 81.4, 85.9, 92.4)
NOT_FOLDED = (40.1, 70.7, 88.3, 92.1)
ON_TEST = (26.7, -4.8, 13.7, 1.8)

TOLERANCE = 0.85
"""A few images of a thousand may fall to the other side on another processor, twice."""


def _gains(after: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(after, PRUNED, strict=True))


GAINS = _gains(MERGED)

EXERCISES["merge-channels"] = Exercise(
    kind=numbers(4),
    claims={
        "merging loses to pruning in one layer, and in the right one": (
            lambda answer: (as_numbers(answer) > 0).tolist() == [True, False, True, True],
            "Merged minus pruned, in the order of teacher.widths: conv1 to conv4.",
        ),
        "the gains are right": (
            near(GAINS, TOLERANCE),
            "accuracy(merge_nearest(teacher, keep)) − accuracy(remove_units(teacher, keep)), one "
            "label at a time, the highest norms of incoming_rows kept; dataset.validation[:1000].",
        ),
    },
    mistakes={
        "You gave accuracies; take the difference to pruning.": near(MERGED, TOLERANCE),
        "You took pruned minus merged.": near([-g for g in GAINS], TOLERANCE),
        "You gave shares; multiply by 100.": near([g / 100 for g in GAINS], TOLERANCE / 100),
        "You merged with the factor κ; the task is the ratio of norms.": near(
            _gains(BY_KAPPA), TOLERANCE
        ),
        "You compared the convolution's own weights; after BatchNorm the folded rows count.": near(
            _gains(NOT_FOLDED), TOLERANCE
        ),
        "You looked at test images; choices are made on validation.": near(ON_TEST, TOLERANCE),
    },
)
