"""Exercises of chapter 11: a bug in stored answers, and two lines of a paper."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from exercises.framework import (
    Exercise,
    Test,
    WrongResultError,
    a_function,
    at,
    normals,
    numbers,
    same,
    tensors,
)

# -- spot the bug: views and the teacher's answers -------------------------------------------------

SEEDS = (3, 8)
Change = Callable[[Tensor, torch.Generator], Tensor]
Views = Callable[[nn.Module, Tensor, Change, tuple[int, ...]], Any]


def _teacher() -> nn.Module:
    """Return a teacher that was left in training mode; BatchNorm makes its two modes differ."""
    weights, mean, scale, last = normals(11, (8, 16), (8,), (8,), (3, 8))
    norm = nn.BatchNorm1d(8)
    first, end = nn.Linear(16, 8), nn.Linear(8, 3)
    pairs = (first.weight, weights), (norm.running_mean, mean), (norm.running_var, scale.exp())
    with torch.no_grad():
        for parameter, value in (*pairs, (end.weight, 2 * last)):
            if parameter is not None:
                parameter.copy_(value)
        first.bias.zero_()
        end.bias.zero_()
    return nn.Sequential(nn.Flatten(), first, norm, end).train()


def _images() -> Tensor:
    return normals(12, (20, 1, 4, 4))[0]


def _moved(images: Tensor, draws: torch.Generator) -> Tensor:
    return images + torch.randn(images.shape, generator=draws)


def _expected() -> list[Tensor]:
    return [_moved(_images(), torch.Generator().manual_seed(seed)) for seed in SEEDS]


def _found(answer: Views) -> list[list[Tensor]]:
    """Return the pairs of images and answers that a learner's function makes."""
    found = answer(_teacher(), _images(), _moved, SEEDS)
    if not isinstance(found, list | tuple) or len(found) != len(SEEDS):
        raise WrongResultError("The function must return a list with one pair for each seed.")
    return [tensors(pair, "images", "answers") for pair in found]


def _answers(images: Tensor, *, train: bool | None, soft: bool | None) -> list[Tensor]:
    """Return what the teacher may answer: in a mode, as logits or not; None stands for both."""
    found = []
    for mode in (False, True) if train is None else (train,):
        with torch.no_grad():
            logits = deepcopy(_teacher()).train(mode)(images)
        forms = {False: logits, True: logits.softmax(dim=1)}
        found += [forms[soft]] if soft is not None else [*forms.values()]
    return found


def _pairs(answer: Views) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the right images of each view and the learner's answers."""
    for right, (_, answers) in zip(_expected(), _found(answer), strict=True):
        yield right, answers.detach()


def _among(answers: Tensor, expected: list[Tensor]) -> bool:
    return any(same(answers, one, within=1e-4) for one in expected)


def _one(*, own: bool = False, train: bool | None = None, soft: bool | None = None) -> Test:
    """Return the test of one property of the answers, whatever their others."""

    def holds(answer: Views) -> bool:
        return all(
            _among(answers, _answers(right, train=train, soft=soft))
            or (not own and _among(answers, _answers(_images(), train=train, soft=soft)))
            for right, answers in _pairs(answer)
        )

    return holds


VIEWS = Exercise(
    kind=a_function("make_views(teacher, images, change, seeds)"),
    claims={
        "there is a view for each seed, with its own images": (
            lambda answer: all(
                same(images, right)
                for right, (images, _) in zip(_expected(), _found(answer), strict=True)
            ),
            "Leave change(images, draws) as it is: one call for each seed.",
        ),
        "the answers are those for the images of their own view": (
            _one(own=True),
            "The teacher must see the changed images, the same ones that are stored.",
        ),
        "the teacher answers in evaluation mode": (
            _one(train=False),
            "In training mode BatchNorm uses the batch, not what it has learned: teacher.eval().",
        ),
        "the answers are logits": (
            _one(soft=False),
            "Store the logits: a student at another temperature divides them by T.",
        ),
        "the answers carry no gradient": (
            lambda answer: not any(answers.requires_grad for _, answers in _found(answer)),
            "Compute the answers under torch.no_grad().",
        ),
    },
)

# -- transfer: two lines of a paper ----------------------------------------------------------------

DEVIATIONS, RUNS, DIFFERENCE = (0.4, 0.5), 5, 0.4
"""Standard deviations of the two methods, runs of each, difference of their means."""

VARIANCES = sum(x**2 for x in DEVIATIONS)
ERROR = math.sqrt(VARIANCES / RUNS)
T_8 = 2.306004
"""Student's 97.5 % quantile with eight degrees of freedom."""

NEEDED = 12
"""Smallest n with t √((0.4² + 0.5²)/n) ≤ 0.4, t with 2n − 2 degrees of freedom."""

_half = partial(at, 1)

PAPER = Exercise(
    kind=numbers(3),
    claims={
        "the standard error of the difference is right": (
            at(0, ERROR),
            "Divide each squared deviation by the number of runs, add the two, take the root.",
        ),
        "the half width is right": (
            _half(T_8 * ERROR),
            "It is 2.306 standard errors of the difference.",
        ),
        "the number of runs is right": (
            at(2, NEEDED),
            "Find the smallest n with t √((0.4² + 0.5²)/n) ≤ 0.4, where t depends on n too.",
        ),
    },
    mistakes={
        "You did not divide by the number of runs.": at(0, math.sqrt(VARIANCES)),
        "You added the two standard errors: add their squares.": at(
            0, sum(DEVIATIONS) / math.sqrt(RUNS)
        ),
        "You took 1.96 for five runs: with eight degrees of freedom it is 2.306.": _half(
            1.96 * ERROR
        ),
        "You took 1.96: with so few runs the quantile is larger.": at(
            2, 10, (1.96 / DIFFERENCE) ** 2 * VARIANCES
        ),
        "With eleven runs of each the half width is 0.403, a little too large.": at(2, 11),
    },
)
