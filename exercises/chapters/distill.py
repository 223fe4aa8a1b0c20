"""Exercises of chapter 10: the objective by hand and in code, a temperature of doubt."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.chapters import distill_pixels
from exercises.framework import (
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
    a_tensor,
    agrees,
    at,
    either,
    normals,
    numbers,
    same,
    value,
)
from reference_impl.data import load_dataset
from reference_impl.distillation import distillation_objective
from reference_impl.training import load_checkpoint, predict

EXERCISES: dict[str, Exercise] = {**distill_pixels.EXERCISES}

# -- by hand: v = (2 ln 4, 0), z = (0, 0), y = 0, T = 2, α = 0.9 -----------------------------------

_KL = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
_REVERSE = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
_HARD = math.log(2)
RIGHT = (0.8, 4 * _KL, 0.1 * _HARD + 0.9 * 4 * _KL, 0.1 * (0.5 - 1) + 0.9 * 2 * (0.5 - 0.8))


_entry = partial(at)


EXERCISES["distill-hand"] = Exercise(
    kind=numbers(4),
    claims={
        "p1 is right": (
            _entry(0, RIGHT[0]),
            "Divide the logits by T = 2 first: (ln 4, 0), that is 4 : 1.",
        ),
        "T² D is right": (
            _entry(1, RIGHT[1]),
            "4 · (p1 ln(p1/q1) + p2 ln(p2/q2)) with p = (0.8, 0.2) and q = (0.5, 0.5).",
        ),
        "the objective is right": (
            _entry(2, RIGHT[2]),
            "(1 − α) ln 2 + α T² D, with α = 0.9.",
        ),
        "the slope is right": (
            _entry(3, RIGHT[3]),
            "(1 − α) (q1 − 1) + α T (q1 − p1), with α = 0.9 and T = 2.",
        ),
    },
    mistakes={
        "That is p1 at T = 1, 16 : 1: divide the logits by T first.": _entry(0, 16 / 17),
        "You left out T²: without it the soft term fades.": _entry(1, _KL),
        "That is half of it: multiply by T², not by T, and sum over the classes.": _entry(
            1, 2 * _KL
        ),
        "You swapped the two: it is D(p ‖ q), weighted by the teacher's p.": _entry(
            1, 4 * _REVERSE, _REVERSE
        ),
        "You took logarithms to base 2: nats are natural.": _entry(1, 4 * _KL / _HARD),
        "That is the cross-entropy: subtract the teacher's entropy.": _entry(1, 4 * _HARD, _HARD),
        "You swapped the weights: α = 0.9 belongs to the soft term.": either(
            _entry(2, 0.9 * _HARD + 0.1 * 4 * _KL), _entry(3, 0.9 * -0.5 + 0.1 * -0.6)
        ),
        "Your slope has the wrong sign: q − p, not p − q.": _entry(3, -RIGHT[3]),
        "The slope of T² D is T (q − p): one T goes with the derivative.": _entry(
            3, -0.05 - 0.9 * 4 * 0.3, -0.05 - 0.9 * 0.3
        ),
        "The slope of T² D has a factor T², less one for the derivative.": _entry(
            3, -0.05 - 0.9 * 0.3 / 2
        ),
    },
)

# -- implement: the objective ----------------------------------------------------------------------

Objective = Callable[[Tensor, Tensor, Tensor, float, float], Any]
Soft = Callable[[Tensor, Tensor, float], Tensor]
_SETTINGS = ((1.0, 0.5), (4.0, 0.9), (20.0, 0.3), (0.5, 0.7))
"""T and α."""


def _problem(*settings: float, scale: float = 3) -> Case:
    """Return the logits of student and teacher for six images, labels, and T and α."""
    z, v = normals(0, (6, 5), (6, 5), dtype=torch.float64)
    return scale * z, scale * v, torch.tensor([0, 4, 2, 1, 1, 3]), *settings


def _run(answer: Objective, case: Case) -> Tensor:
    loss = a_tensor(answer(*case))
    if loss.numel() != 1:
        raise WrongResultError(
            f"The result must be one number, the mean over the images; "
            f"it has the shape {tuple(loss.shape)}."
        )
    return loss.reshape(())


def _gives(formula: Callable[..., Tensor], *settings: tuple[float, float]) -> Test:
    """Return the test whether an answer gives ``formula`` at each (T, α)."""
    return agrees(
        formula,
        lambda: [_problem(*pair) for pair in settings or _SETTINGS],
        lambda answer, case: _run(answer, deepcopy(case)),
        share=1e-5,
        within=1e-8,
    )


def _right(z: Tensor, v: Tensor, labels: Tensor, t: float, a: float) -> Tensor:
    return distillation_objective(z, v, labels, temperature=t, alpha=a)


def _gradient(place: int) -> Callable[[Objective, Case], Tensor]:
    """Return what runs an answer and gives the gradient of the student (0) or the teacher (1)."""

    def run(answer: Objective, case: Case) -> Tensor:
        given = deepcopy(case)
        logits = given[place].requires_grad_()
        loss = _run(answer, given)
        if not loss.requires_grad:
            return torch.zeros_like(logits)
        (found,) = torch.autograd.grad(loss, logits, allow_unused=True)
        return torch.zeros_like(logits) if found is None else found

    return run


def _gradient_is_right(answer: Objective) -> bool:
    run = _gradient(0)
    cases = [_problem(*settings) for settings in _SETTINGS]
    return all(same(run(answer, case), run(_right, case), within=1e-8) for case in cases)


def _mixed(soft: Soft, *, hard_t: bool = False, swapped: bool = False) -> Test:
    """Return the test of the objective with another soft term, or with the named mistakes."""

    def formula(z: Tensor, v: Tensor, labels: Tensor, t: float, a: float) -> Tensor:
        hard = F.cross_entropy(z / t if hard_t else z, labels)
        a = 1 - a if swapped else a
        return (1 - a) * hard + a * soft(z, v, t)

    return _gives(formula)


def _kl(z: Tensor, v: Tensor, t: float) -> Tensor:
    log_p, log_q = F.log_softmax(v / t, 1), F.log_softmax(z / t, 1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def _scaled(z: Tensor, v: Tensor, t: float) -> Tensor:
    return t**2 * _kl(z, v, t)


def _of_softmax(z: Tensor, v: Tensor, t: float) -> Tensor:
    return t**2 * F.kl_div(F.softmax(z / t, 1), F.softmax(v / t, 1), reduction="batchmean")


EXERCISES["distill-objective"] = Exercise(
    kind=a_function("objective(student, teacher, labels, temperature, alpha)"),
    claims={
        "α = 0 is the cross-entropy of the labels": (
            _gives(_right, (4.0, 0.0)),
            "At α = 0 it is F.cross_entropy(student, labels), at any T.",
        ),
        "α = 1, T = 1 is D, summed over classes, mean over images": (
            _gives(_right, (1.0, 1.0)),
            "Σ_i p_i (log p_i − log q_i) per image, then the mean over the images.",
        ),
        "the values are right at other T and α": (
            _gives(_right),
            "Divide both logits by T in the soft term, and multiply it by T².",
        ),
        "the student's gradient is right": (
            _gradient_is_right,
            "The student's logits must not be detached.",
        ),
        "no gradient reaches the teacher": (
            lambda f: not _gradient(1)(f, _problem(4.0, 0.9)).any(),
            "Detach the teacher's logits.",
        ),
        "large logits give a finite loss": (
            lambda f: bool(_run(f, _problem(1.0, 0.5, scale=3000)).isfinite()),
            "Use log_softmax, not the logarithm of a softmax, which may be log 0.",
        ),
    },
    mistakes={
        "You left out T².": _mixed(_kl),
        "You multiplied by T, not by T².": _mixed(lambda z, v, t: t * _kl(z, v, t)),
        "You swapped student and teacher: it is D(p ‖ q) with the teacher's p.": _mixed(
            lambda z, v, t: _scaled(v, z, t)
        ),
        "Your soft term is divided by the number of classes: sum over them, and take the mean over "
        "the images.": _mixed(lambda z, v, t: _scaled(z, v, t) / z.shape[1]),
        "Your soft term is not divided by the number of images.": _mixed(
            lambda z, v, t: _scaled(z, v, t) * len(z)
        ),
        "You swapped the weights: α belongs to the soft term.": _mixed(_scaled, swapped=True),
        "You multiplied the hard term by T² too: that one is not softened.": _gives(
            lambda z, v, y, t, a: (1 - a) * t**2 * F.cross_entropy(z, y) + a * _scaled(z, v, t)
        ),
        "You softened the hard term too: labels are compared at temperature 1.": _mixed(
            _scaled, hard_t=True
        ),
        "You multiplied the logits by T instead of dividing.": _mixed(
            lambda z, v, t: t**2 * _kl(z, v, 1 / t)
        ),
        "You divided neither network's logits by T: the factor T² alone softens nothing.": _mixed(
            lambda z, v, t: t**2 * _kl(z, v, 1)
        ),
        "You left out T altogether: divide both logits by it, and multiply by T².": _mixed(
            lambda z, v, _: _kl(z, v, 1)
        ),
        "You softened the teacher alone: divide the student's logits by T too.": _mixed(
            lambda z, v, t: _scaled(t * z, v, t)
        ),
        "You gave F.kl_div the student's softmax: it takes the logarithm, log_softmax.": _mixed(
            _of_softmax
        ),
        "You normalized over the images, dim 0: the softmax is over the classes, dim 1.": _mixed(
            lambda z, v, t: _scaled(z.T, v.T, t) * len(z.T) / len(z)
        ),
        "That is the cross-entropy with the teacher: its gradient is right, but the teacher's "
        "entropy is still in "
        "it.": _mixed(lambda z, v, t: t**2 * F.cross_entropy(z / t, F.softmax(v / t, 1))),
        "Your soft term has the wrong sign.": _mixed(lambda z, v, t: -_scaled(z, v, t)),
    },
)

# -- to predict: the temperature at which the largest probability is ½ -----------------------------


@cache
def _logits(name: str) -> Tensor:
    return predict(load_checkpoint(name), load_dataset().validation.images[:500])


def _in_doubt(name: str, temperature: float) -> bool:
    """Return whether a network's mean largest probability at a temperature is 0.5."""
    p = torch.softmax(_logits(name).double() / temperature, dim=1)
    return abs(p.amax(dim=1).mean().item() - 0.5) < 0.01


EXERCISES["distill-temperature"] = Exercise(
    kind=a_number,
    claims={
        "the temperature is above 1": (
            value(lambda t: t > 1),
            "At T = 1 the teacher's largest probability is 0.95; a lower temperature raises it.",
        ),
        "the teacher's largest probability is 0.5 on average": (
            value(lambda t: t > 0 and _in_doubt("teacher", t)),
            "Take the softmax of v/T, the largest of each row, the mean of 500 rows; change T "
            "until that is 0.5.",
        ),
    },
    mistakes={
        "You multiplied the logits by your number: T divides them.": value(
            lambda t: t > 0 and _in_doubt("teacher", 1 / t)
        ),
        "That is the student's temperature.": value(lambda t: t > 0 and _in_doubt("student", t)),
    },
)
