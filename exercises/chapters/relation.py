"""Exercises of chapter 12: losses of distances and similarities; the others."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.chapters import relation_numbers
from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_tensor,
    agrees,
    called,
    either,
    normals,
    same,
)
from reference_impl.distillation import distance_relation_loss

EXERCISES: dict[str, Exercise] = {**relation_numbers.EXERCISES}

# -- implement: the distances of relational distillation -------------------------------------------

Loss = Callable[[Tensor, Tensor], Tensor]


def _cases() -> list[Case]:
    """Return pairs of features, student and teacher; some distances differ by more than 1."""
    a, b, c, d, e, f = normals(10, (3, 2), (3, 2), (5, 3), (5, 7), (6, 2), (6, 4))
    far = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [0.0, 0.2]])
    return [(a, b), (c, d), (e, f), (far, torch.eye(4))]


def _is(formula: Loss) -> Test:
    return agrees(formula, _cases, share=1e-3, within=1e-5)


def _unchanged(change: Callable[[Tensor], Tensor]) -> Test:
    def holds(answer: Loss) -> bool:
        student, teacher = _cases()[1]
        before = called(answer, (student, teacher))
        return same(called(answer, (change(student), teacher)), before, share=1e-3, within=1e-5)

    return holds


def _gradient_is_finite(answer: Callable[..., Any]) -> bool:
    student, teacher = _cases()[2]
    student[1] = student[0]
    (gradient,) = torch.autograd.grad(a_tensor(answer(student.requires_grad_(), teacher)), student)
    return bool(gradient.isfinite().all())


def _relation(
    distances: Callable[[Tensor], Tensor] = F.pdist,
    compare: Loss = F.huber_loss,
    *,
    one_scale: bool = False,
) -> Loss:
    """Return the loss of other distances, of another comparison, or by the teacher's mean."""

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        d, e = distances(student), distances(teacher)
        return compare(d / (e if one_scale else d).mean(), e / e.mean())

    return loss


def _of_all_pairs(x: Tensor) -> Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _times(factor: Callable[[int], float]) -> Test:
    """Return the test of the loss times a factor of the number of examples."""
    return _is(lambda s, t: distance_relation_loss(s, t) * factor(len(s)))


EXERCISES["relation-distances"] = Exercise(
    kind=a_function("relations(student, teacher)"),
    claims={
        "moving all of a network's features changes nothing": (
            _unchanged(lambda x: x + 3),
            "Only differences of examples may count: distances.",
        ),
        "scaling all of a network's features changes nothing": (
            _unchanged(lambda x: 5 * x),
            "Divide each network's distances by their own mean.",
        ),
        "the loss is the mean of Huber's function over the pairs": (
            _is(distance_relation_loss),
            "½ e² up to |e| = 1 and |e| − ½ beyond, mean over the pairs i ≠ j.",
        ),
        "two equal examples give a finite gradient": (
            _gradient_is_finite,
            "The root of a sum of squares has the slope 1/0 at 0: use F.pdist, or mask the zeros.",
        ),
    },
    mistakes={
        "You took means over all n² pairs. The distance of an example to itself is always 0: leave "
        "the diagonal out, in the mean distance as well.": _is(_relation(_of_all_pairs)),
        "Your mean distance is right, your last mean is over all n² pairs: the diagonal adds "
        "zeros to it.": _times(lambda n: (n - 1) / n),
        "You divided by the same mean in both networks: each has its own scale.": _is(
            _relation(one_scale=True)
        ),
        "That is the squared error, not Huber's function.": _is(_relation(compare=F.mse_loss)),
        "You compared halves of squared errors: Huber's function is straight beyond 1.": _is(
            _relation(compare=lambda d, e: F.mse_loss(d, e) / 2)
        ),
        "You took squared distances: take their root.": _is(
            _relation(lambda x: F.pdist(x).square())
        ),
        "You summed over the pairs: take their mean.": _times(lambda n: n * (n - 1) / 2),
        "You summed over the ordered pairs: take their mean.": _times(lambda n: n * (n - 1)),
    },
)

# -- spot the bug: similarities whose rows are divided by another norm -----------------------------


def _similarities(power: float = 2, *, by: int = 2) -> Loss:
    """Return the loss with the norm of another power, divided by n to another power."""

    def loss(student: Tensor, teacher: Tensor) -> Tensor:
        x, y = student.flatten(1), teacher.flatten(1)
        g, h = (F.normalize(a @ a.T, p=power) for a in (x, y))
        return (g - h).square().sum() / math.pow(len(g), by)

    return loss


def _batches() -> list[Case]:
    a, b, c, d = normals(12, (4, 3), (4, 5), (6, 2, 3, 3), (6, 4, 3, 3))
    return [(a, b), (c, d)]


def _like(*of_loss: float, batches: slice = slice(None), **kept: Any) -> Test:
    cases = lambda: _batches()[batches]  # noqa: E731
    return agrees(_similarities(*of_loss, **kept), cases, share=1e-3, within=1e-5)


def _teacher_is_fixed(answer: Callable[..., Any]) -> bool:
    student, teacher = (x.requires_grad_() for x in _batches()[0])
    a_tensor(answer(student, teacher)).backward()
    return teacher.grad is None or not teacher.grad.any()


EXERCISES["relation-similarities"] = Exercise(
    kind=a_function("similarities(student, teacher)"),
    claims={
        "matrices of features give the right loss": (
            _like(batches=slice(1)),
            "Each row of X Xᵀ has length 1, and the squares are divided by n².",
        ),
        "feature maps give the right loss": (
            _like(batches=slice(1, 2)),
            "All numbers of an example form one row: flatten(1).",
        ),
        "no gradient reaches the teacher": (_teacher_is_fixed, "Detach the teacher's features."),
    },
    mistakes={
        "You still divide by the sum of magnitudes: F.normalize's second argument is the power "
        "of the norm, not the axis.": either(_like(1), _like(1, by=1)),
        "You divided by n, and the matrix has n² entries.": _like(by=1),
    },
)
