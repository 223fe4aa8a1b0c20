"""Two exercises of chapter 14: a mask of Wanda's with bugs, and which sensor to give up."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    at,
    called,
    leaves,
    near,
    normals,
    numbers,
)
from reference_impl.pruning import choose_highest

EXERCISES: dict[str, Exercise] = {}

# -- spot the bug: a mask of Wanda's ---------------------------------------------------------------

Mask = Callable[[Tensor, Tensor, int], Tensor]


def _wanda_mask(w: Tensor, x: Tensor, n_kept: int) -> Tensor:
    """Return true for the best weights of each row; among equals, for the last."""
    return choose_highest(w.abs() * x.norm(dim=0), n_kept)


def _case(seed: int, *, square: bool = False) -> Case:
    """Return weights (4 × 6), inputs of examples whose scale varies, and how many to keep."""
    w, x = normals(seed, (4, 6), (6 if square else 9, 6), dtype=torch.float64)
    return w * torch.tensor([[1.0], [9.0], [0.1], [1.0]]), x * torch.logspace(-1, 1, 6), 2


def _masks(formula: Mask) -> Test:
    """Return the test whether an answer is this mask, on three layers with as many examples."""
    return agrees(
        lambda *case: formula(*case).double(), lambda: [_case(seed, square=True) for seed in (1, 2)]
    )


def _ranked_together(w: Tensor, x: Tensor, n_kept: int) -> Tensor:
    score = w.abs() * x.norm(dim=0)
    return choose_highest(score.flatten(), n_kept * len(w)).view_as(w)


def _counts(case: Callable[[], Case]) -> Test:
    """Return the test whether each of the four rows keeps as many weights as the case asks for."""

    def holds(answer: Callable[..., Any]) -> bool:
        *_, n_kept = given = case()
        return called(answer, given).double().sum(dim=1).tolist() == [n_kept] * 4

    return holds


def _keeping(n_kept: int) -> Case:
    return *_case(0)[:2], n_kept


EXERCISES["importance-wanda"] = Exercise(
    kind=a_function("mask(W, X, n_kept)"),
    claims={
        "the number of examples may differ from that of the inputs": (
            lambda f: called(f, _case(0)).shape == (4, 6),
            "The norm of an input runs over the examples: dim=0.",
        ),
        "each row keeps as many weights": (
            _counts(lambda: _case(0)),
            "Rank the scores within each row.",
        ),
        "equal scores are chosen by count": (
            _counts(lambda: (torch.ones(4, 6), torch.zeros(9, 6), 2)),
            "A comparison with a threshold keeps all that tie with it, or none.",
        ),
        "a row can keep all its weights": (
            _counts(lambda: _keeping(6)),
            "No score stands at index 6 of 6: choose the places, not a threshold.",
        ),
        "a row can keep none": (
            _counts(lambda: _keeping(0)),
            "[-0:] is everything, because −0 is 0: take the first n_kept in descending order.",
        ),
        "the mask is right": (_masks(_wanda_mask), "Keep the largest |W| ‖X_j‖ of each row."),
        "the arguments stay as they were": (leaves(lambda: _case(9)), "Do not work in place."),
    },
    mistakes={
        "Your norm runs over the inputs; each input needs its norm over the examples.": _masks(
            lambda w, x, n_kept: choose_highest(w.abs() * x.norm(dim=1), n_kept)
        ),
        "You ranked all rows together.": _masks(_ranked_together),
        "You kept the lowest scores.": _masks(
            lambda w, x, n_kept: choose_highest(-w.abs() * x.norm(dim=0), n_kept)
        ),
        "You ranked by magnitude alone.": _masks(
            lambda w, _, n_kept: choose_highest(w.abs(), n_kept)
        ),
    },
)

# -- transfer: three sensors, two of which measure the same ----------------------------------------

SENSORS = (0.04, 0.0304, 0.86)
"""Damage 4 · 0.1²; surgeon 0.4² (1 − 0.9²); and 0.5 + 0.9 · 0.4."""


EXERCISES["importance-sensors"] = Exercise(
    kind=numbers(3),
    claims={
        "the cost without adjusting is right": (
            at(0, SENSORS[0]),
            "½ H_qq w_q², and H is twice the matrix of mean products: take the least of three.",
        ),
        "the cost with adjusting is right": (
            at(1, SENSORS[1]),
            "w_q² / (2 [H⁻¹]_qq): for a twin, 1/[H⁻¹]_qq is 2 (1 − 0.9²).",
        ),
        "the first sensor's weight is right": (
            at(2, SENSORS[2]),
            "The first sensor takes over 0.9 of the second's weight.",
        ),
    },
    mistakes={
        "You left out the ½, or the 2 in H.": near([0.08, 0.0608]),
        "You removed the first sensor; the second is cheaper.": at(1, 0.0475),
        "You removed the third sensor in both cases.": at(1, 0.04),
        "The first sensor cannot take over all of the second's weight.": at(2, 0.9),
        "You left the first sensor's weight as it was.": at(2, 0.5),
    },
)
