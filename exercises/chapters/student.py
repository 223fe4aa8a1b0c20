"""Exercises of chapter 11: an interval by hand, a class's bias, a temperature that calibrates."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from exercises.chapters.student_views import PAPER, VIEWS
from exercises.framework import (
    Case,
    Exercise,
    WrongResultError,
    a_function,
    a_number,
    as_number,
    at,
    leaves,
    near,
    normals,
    numbers,
    value,
)
from reference_impl.distillation import best_class_bias

EXERCISES: dict[str, Exercise] = {"student-views": VIEWS, "student-paper": PAPER}

# -- by hand: a paired gain and its interval -------------------------------------------------------

GAIN = 0.6
ERROR = 0.1
"""Mean of the gains 0.7, 0.4 and 0.7, and √(0.03 / 3), its standard error."""

T_2 = 4.302653
"""Student's 97.5 % quantile with two degrees of freedom."""

HALF_WIDTH = T_2 * ERROR


_half_width = partial(at, 1)


EXERCISES["student-gain"] = Exercise(
    kind=numbers(2),
    claims={
        "the mean gain is right": (
            at(0, GAIN),
            "Take the difference distilled − alone of each seed, then the mean of the three.",
        ),
        "the half width is right": (
            _half_width(HALF_WIDTH),
            "t s / √3, with s² the sum of the squared deviations of the gains, divided by 2.",
        ),
    },
    mistakes={
        "You subtracted the wrong way round: a gain is distilled − alone.": at(0, -GAIN),
        "You took 1.96, the normal quantile: with three seeds it is 4.30.": _half_width(
            1.96 * ERROR
        ),
        "You left out t: that is the standard error.": _half_width(ERROR),
        "You left out t and √3: that is the standard deviation of the gains.": _half_width(
            math.sqrt(0.03)
        ),
        "You divided the squares by 3, not by 2.": _half_width(T_2 * ERROR * math.sqrt(2 / 3)),
        "You did not divide by √3.": _half_width(T_2 * math.sqrt(0.03)),
        "You took t with three degrees of freedom; one is spent on the mean.": _half_width(
            3.182446 * ERROR
        ),
        "You took the one-sided quantile: 2.5 % are left out on each side.": _half_width(
            2.919986 * ERROR
        ),
        "You treated the runs as unpaired: what a seed does to both then counts "
        "twice.": _half_width(T_2 * math.sqrt(0.08 / 3), 2.776445 * math.sqrt(0.08 / 3)),
    },
)

# -- implement: the bias of a class that a student never saw ---------------------------------------

Fit = Callable[[Tensor, Tensor, int], Any]
_OFTEN = 6


def _problem(seed: int) -> Case:
    """Return logits from which class k was reduced by 4, the labels and k.

    With the seed `_OFTEN` the class answers too often instead: the right bias is below 0.
    """
    labels = torch.randint(4, (300,), generator=torch.Generator().manual_seed(seed))
    logits = normals(seed, (300, 4))[0] + 2.5 * torch.eye(4)[labels]
    k = seed % 4
    logits[:, k] += 4 if seed == _OFTEN else -4
    return logits, labels, k


def _n_right(case: Case, bias: float) -> int:
    logits, labels, k = case
    moved = logits.clone()
    moved[:, k] += bias
    return int((moved.argmax(dim=1) == labels).sum())


@cache
def _best(seed: int) -> int:
    return _n_right(_problem(seed), best_class_bias(*_problem(seed)))


def _bias(answer: Fit, seed: int) -> float:
    bias = answer(*deepcopy(_problem(seed)))
    if a_number(bias):
        raise WrongResultError(f"The function must return a number; it returned {bias!r}.")
    return as_number(bias)


def _as_good(answer: Fit, *seeds: int, sign: int = 1) -> bool:
    """Return whether at most two examples fewer are right than with the best bias."""
    return all(
        _n_right(_problem(seed), sign * _bias(answer, seed)) >= _best(seed) - 2 for seed in seeds
    )


def _recognizes_all(answer: Fit) -> bool:
    """Return whether all examples of the class are recognized: the bias is too large."""
    logits, labels, k = _problem(0)
    own = labels == k
    return _n_right((logits[own], labels[own], k), _bias(answer, 0)) == int(own.sum())


EXERCISES["student-bias"] = Exercise(
    kind=a_function("class_bias(logits, labels, k)"),
    claims={
        "for a class with too low logits it finds a bias as good as the best": (
            lambda answer: _as_good(answer, *range(_OFTEN)),
            "Try many biases: add each to column k, count the right answers, keep the best.",
        ),
        "for a class with too high logits too: the bias may be below 0": (
            lambda answer: _as_good(answer, _OFTEN),
            "Try numbers below 0 too.",
        ),
        "the logits are left as they are": (
            leaves(lambda: _problem(0)),
            "Add to a copy: logits.clone().",
        ),
    },
    mistakes={
        "Your sign is the wrong way round: the bias is added to the logit.": lambda answer: (
            not _as_good(answer, 0) and _as_good(answer, 0, sign=-1)
        ),
        "You count only the examples of class k: with a large bias all of them are right, and "
        "many others wrong.": _recognizes_all,
        "That is 0: it corrects nothing.": lambda answer: all(
            abs(_bias(answer, seed)) < 1e-6 for seed in range(_OFTEN)
        ),
    },
)

# -- to predict: the temperature that calibrates a network -----------------------------------------

CALIBRATED = 1.661
"""T of the least NLL of `lenet300` on the validation images."""

ON_TRAINING_IMAGES = 0.782
"""The same on the images that it was trained on."""

LEAST_ECE = 1.57
"""T of the least ECE on the validation images, in steps of 0.01."""

EXERCISES["student-scaling"] = Exercise(
    kind=a_number,
    claims={
        "it is a temperature: above 0": (
            value(lambda t: t > 0),
            "Logits are divided by T > 0.",
        ),
        "it lowers the confidence": (
            value(lambda t: t > 1),
            "On images that it has not seen the network is too confident; T > 1 makes it less "
            "confident.",
        ),
        "the NLL of the validation images is least there": (
            near(CALIBRATED, within=0.045),  # 1.7 as well: two digits are asked for
            "Compute F.cross_entropy(logits / T, labels) on the validation images for T = 1.00, "
            "1.01, … and take the least.",
        ),
    },
    mistakes={
        "You multiplied the logits by it: that is 1 / T.": near(1 / CALIBRATED),
        "You fitted it on the training images, on which the network is more often right.": near(
            ON_TRAINING_IMAGES, within=0.03
        ),
        "You minimized the ECE, not the negative log-likelihood.": near(LEAST_ECE, within=0.03),
    },
)
