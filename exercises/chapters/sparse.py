"""Exercises of chapter 13: thresholds and schedules, rounds, global masks, one layer, bytes."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from exercises.chapters import sparse_rounds
from exercises.framework import (
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    agrees,
    as_numbers,
    at,
    leaves,
    near,
    normals,
    numbers,
)

EXERCISES: dict[str, Exercise] = {**sparse_rounds.EXERCISES}

# -- by hand: thresholds, schedule, rounds, patterns -----------------------------------------------

SOFT, HARD, GROWN, ROUNDS, PATTERNS = -1.5, -2.0, 0.555, 6, 20
"""Soft and hard threshold of −2 at τ = ½; 0.96 · 37/64; (2/3)^6 ≤ 1/10; three places of six."""


EXERCISES["sparse-hand"] = Exercise(
    kind=numbers(5),
    claims={
        "the soft threshold is right": (at(0, SOFT), "sign(x) · max(|x| − τ, 0)."),
        "the hard threshold is right": (
            at(1, HARD),
            "The hard threshold does not move what it keeps.",
        ),
        "the sparsity after a quarter is right": (
            at(2, GROWN),
            "ζ_end − ζ_end (1 − t/N)³ with t/N = ¼.",
        ),
        "the rounds are right": (
            at(3, ROUNDS),
            "Each round keeps two thirds of what is left: find the first power below a tenth.",
        ),
        "the patterns are right": (at(4, PATTERNS), "Three of six places: 6! / (3! 3!)."),
    },
    mistakes={
        "You lost the sign: the soft threshold is odd.": at(0, 1.5),
        "You added τ: a threshold moves towards 0.": at(0, -2.5),
        "You moved a weight that is kept; only the soft threshold does that.": at(1, -1.5),
        "You took t/N for 1 − t/N; most weights are removed early.": at(2, 0.96 / 64),
        "You gave the share that is still to be removed.": at(2, 0.405),
        "You took a straight line; the schedule is cubic.": at(2, 0.24),
        "You gave percent; a share is asked for.": at(2, 55.5),
        "You stopped a round early: (2/3)^5 is 13 %.": at(3, 5),
        "Each round removes a third of what is left, and keeps two thirds.": at(3, 3),
        "You counted orders; a pattern is a set of places.": at(4, 120),
        "You counted all masks of six places; three of them are true.": at(4, 64),
    },
)

# -- implement: global masks, by count -------------------------------------------------------------

Masks = Callable[[list[Tensor], float], Sequence[Tensor]]


def _drawn() -> list[Tensor]:
    drawn = normals(0, (20, 30), (10, 20), (4, 3, 3, 3))
    return [scale * w for w, scale in zip(drawn, (0.1, 0.3, 1.0), strict=True)]


def _tied() -> list[Tensor]:
    """Return ten weights; four of them tie."""
    return [
        torch.tensor([[0.1, -0.2], [0.3, 0.1]]),
        torch.tensor([-0.1, 0.4, 0.1, -0.5, 0.6, 0.7]),
    ]


def _run(answer: Masks, case: Case) -> list[Tensor]:
    weights = case[0]
    found = answer(*deepcopy(case))
    if not isinstance(found, list | tuple) or len(found) != len(weights):
        raise WrongResultError(f"The function must return {len(weights)} masks, one for a tensor.")
    for mask, weight in zip(found, weights, strict=True):
        if not isinstance(mask, Tensor) or mask.shape != weight.shape:
            raise WrongResultError("A mask must be a tensor of its weight's shape.")
    return [mask.bool() for mask in found]


def _right(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    return _signed([w.abs() for w in weights], sparsity)


def _signed(weights: list[Tensor], sparsity: float, more: int = 0) -> list[Tensor]:
    """Return the masks without the lowest weights, by count, the sign left on."""
    flat = torch.cat([w.flatten() for w in weights])
    kept = torch.ones(len(flat), dtype=torch.bool)
    kept[flat.argsort(stable=True)[: round(sparsity * len(flat)) + more]] = False
    parts = kept.split([w.numel() for w in weights])
    return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]


def _n_dropped(answer: Masks, sparsity: float) -> int:
    return sum(int((~mask).sum()) for mask in _run(answer, (_drawn(), sparsity)))


def _counts(answer: Masks) -> bool:
    n = sum(w.numel() for w in _drawn())
    return all(_n_dropped(answer, s) == round(s * n) for s in (0.1, 0.5, 0.93))


def _smallest(answer: Masks) -> bool:
    masks = torch.cat([mask.flatten() for mask in _run(answer, (_drawn(), 0.7))])
    sizes = torch.cat([w.flatten().abs() for w in _drawn()])
    dropped, kept = sizes[~masks], sizes[masks]
    return bool(len(dropped) and len(kept) and dropped.max() <= kept.min())


def _makes(formula: Callable[[list[Tensor], float], Any]) -> Test:
    return agrees(formula, lambda: [(_drawn(), 0.7)], _run)


EXERCISES["sparse-masks"] = Exercise(
    kind=a_function("masks(weights, sparsity)"),
    claims={
        "of all weights together, round(sparsity * n) are removed": (
            _counts,
            "Count: sort the sizes, and remove that many from the front.",
        ),
        "no removed weight is larger than a kept one, whatever its tensor": (
            _smallest,
            "One order of all magnitudes: concatenate before you sort.",
        ),
        "ties are decided by the order of the list": (
            agrees(_right, lambda: [(_tied(), s) for s in (0.1, 0.2, 0.3, 0.6)], _run),
            "A threshold cannot separate equals; argsort(stable=True) keeps their order.",
        ),
        "a sparsity of 0 removes nothing": (
            lambda answer: _n_dropped(answer, 0.0) == 0,
            "x[:0] is empty, x[-0:] is not.",
        ),
        "the weights are left as they were": (
            leaves(lambda: (_drawn(), 0.5)),
            "Return masks, change nothing.",
        ),
    },
    mistakes={
        "You removed a share of each tensor; remove the smallest of all tensors together.": _makes(
            lambda weights, sparsity: [_right([w], sparsity)[0] for w in weights]
        ),
        "Your masks are true where a weight is removed.": _makes(
            lambda *case: [~mask for mask in _right(*case)]
        ),
        "You removed the largest weights.": _makes(
            lambda weights, sparsity: [~mask for mask in _right(weights, 1 - sparsity)]
        ),
        "You forgot the absolute value: a large negative weight is large.": _makes(_signed),
        "You removed one too many: a comparison <= with the threshold removes the threshold, "
        "too.": _makes(lambda weights, s: _signed([w.abs() for w in weights], s, more=1)),
    },
)

# -- predict before you run: 90 % of one layer of LeNet-300-100 ------------------------------------

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

EXERCISES["sparse-layers"] = Exercise(
    kind=numbers(3),
    claims={
        "they are percentages": (
            lambda answer: all(1 < a <= 100 for a in as_numbers(answer)),
            "Accuracies in percent, of fc1, fc2 and fc3.",
        ),
        "fc1 costs the most, fc2 the least": (
            lambda answer: as_numbers(answer).argsort().tolist() == [0, 2, 1],
            "In the order of the layers: fc1, fc2, fc3.",
        ),
        "the accuracies are right": (
            near(PRUNED, TOLERANCE),
            "apply_masks(network, {name: keep_highest(weight.abs(), share=0.1)}) on a fresh copy "
            "for each layer; dataset.validation[:1000].",
        ),
    },
    mistakes={
        "You gave shares; multiply by 100.": near([a / 100 for a in PRUNED], 0.0075),
        "You removed the largest weights.": near(LARGEST_DROPPED, TOLERANCE),
        "You forgot the absolute value: a large negative weight is large.": near(SIGNED, TOLERANCE),
        "You kept 90 %, and removed 10 %.": near(TENTH_DROPPED, TOLERANCE),
        "You removed 90 % of each row, not of the layer.": near(WITHIN_ROWS, TOLERANCE),
        "You used all validation images; use the first 1,000.": near(ON_ALL, TOLERANCE),
        "You pruned one network more and more; take a fresh one.": near(ONE_BY_ONE, TOLERANCE),
        "You pruned the two other layers.": near(THE_OTHERS, TOLERANCE),
        "Those are global masks; remove 90 % of one layer.": near(OF_ALL_TOGETHER, TOLERANCE),
        "You gave the wrong answers, or the loss; give the share of right answers.": near(
            [100 - a for a in PRUNED]
        ),
        "You used test images; use validation images.": near(ON_TEST, 0.35),
    },
)
