"""Exercises of chapter 10: the soft part for every pixel, and an α of a wrong loss."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
    a_tensor,
    agrees,
    near,
    normals,
)
from reference_impl.distillation import effective_alpha, soft_target_loss

EXERCISES: dict[str, Exercise] = {}

# -- spot the bug: α = 0.9 at T = 4, a mean over 100 classes, T for T² -----------------------------

REPORTED, CLASSES, TEMPERATURE = 0.9, 100, 4


def _reproduced(divisor: float) -> Test:
    soft = REPORTED / divisor
    return near(soft / (1 - REPORTED + soft))


EXERCISES["distill-alpha"] = Exercise(
    kind=a_number,
    claims={
        "the ratio of both parts is that of the colleague": (
            near(effective_alpha(REPORTED, CLASSES * TEMPERATURE)),
            "Find how many times too small the soft part is; with α/that beside 1 − α, divide by "
            "the sum of both.",
        ),
    },
    mistakes={
        "You found the mean over the 100 classes. There is a second mistake, in the "
        "factor.": _reproduced(CLASSES),
        "You found the factor T in the place of T². There is a second mistake, in the "
        "reduction.": _reproduced(TEMPERATURE),
        "The factor is T, not 1: T² is missing only once.": _reproduced(CLASSES * TEMPERATURE**2),
        "You have the soft part's weight; divide it by the sum of both weights.": near(
            REPORTED / (CLASSES * TEMPERATURE)
        ),
        "That is the ratio of the two weights; divide the soft one by their sum.": near(
            REPORTED / (CLASSES * TEMPERATURE) / (1 - REPORTED)
        ),
        "You made the soft part larger; the colleague's is too small.": near(
            1 / (1 + (1 - REPORTED) / (REPORTED * CLASSES * TEMPERATURE))
        ),
    },
)

# -- transfer: a class for every pixel -------------------------------------------------------------

Loss = Callable[[Tensor, Tensor, float], Any]


def _pictures() -> list[Case]:
    """Return logits of student and teacher for pictures with two shapes, and T."""
    z, v, w, u = normals(0, (3, 4, 2, 5), (3, 4, 2, 5), (2, 6, 3, 3), (2, 6, 3, 3))
    return [(2 * z, 2 * v, 1.0), (z, v, 4.0), (3 * w, 3 * u, 2.0)]


def _run(answer: Loss, case: Case) -> Tensor:
    loss = a_tensor(answer(*deepcopy(case)))
    if loss.numel() != 1:
        raise WrongResultError(
            f"The result must be one number, the mean over images and pixels; "
            f"it has the shape {tuple(loss.shape)}."
        )
    return loss.detach().reshape(())


def _rows(x: Tensor) -> Tensor:
    return x.movedim(1, -1).flatten(0, -2)


def _right(z: Tensor, v: Tensor, t: float) -> Tensor:
    return soft_target_loss(_rows(z), _rows(v), temperature=t)


def _gives(formula: Callable[[Tensor, Tensor, float], Tensor]) -> Test:
    return agrees(formula, _pictures, _run, share=1e-4, within=1e-7)


def _pixels(x: Tensor) -> int:
    return x[0, 0].numel()


def _over(dim: int) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return T² D with the softmax and the sum along another axis."""

    def loss(z: Tensor, v: Tensor, t: float) -> Tensor:
        log_p, log_q = F.log_softmax(v / t, dim), F.log_softmax(z / t, dim)
        return t**2 * (log_p.exp() * (log_p - log_q)).sum(dim).mean()

    return loss


def _gradients(answer: Loss) -> list[Tensor | None]:
    """Return the gradients that an answer gives to the student and to the teacher."""
    z, v, t = deepcopy(_pictures()[1])
    loss = a_tensor(answer(z.requires_grad_(), v.requires_grad_(), t))
    if not loss.requires_grad:
        return [None, None]
    return [*torch.autograd.grad(loss.sum(), (z, v), allow_unused=True)]


def _none(gradient: Tensor | None) -> bool:
    return gradient is None or not gradient.any()


EXERCISES["distill-pixels"] = Exercise(
    kind=a_function("pixel_loss(student, teacher, temperature)"),
    claims={
        "the values are right for pictures of two shapes": (
            _gives(_right),
            "Softmax and sum along axis 1, the classes; the mean over all other axes; times T².",
        ),
        "the student gets a gradient": (
            lambda answer: not _none(_gradients(answer)[0]),
            "The student's logits must not be detached.",
        ),
        "no gradient reaches the teacher": (
            lambda answer: _none(_gradients(answer)[1]),
            "Detach the teacher's logits.",
        ),
    },
    mistakes={
        "You divided by the number of images only (batchmean): divide by that of the pixels, "
        "too.": _gives(lambda z, v, t: _pixels(z) * _right(z, v, t)),
        "You took the mean over the classes, too: sum over them.": _gives(
            lambda z, v, t: _right(z, v, t) / z.shape[1]
        ),
        "You left out T².": _gives(lambda z, v, t: _right(z, v, t) / t**2),
        "You took the sum over images and pixels: take the mean.": _gives(
            lambda z, v, t: len(z) * _pixels(z) * _right(z, v, t)
        ),
        "Your softmax is over the columns of the picture, the last axis.": _gives(_over(-1)),
        "Your softmax is over the images, axis 0.": _gives(_over(0)),
        "You swapped student and teacher: p, the teacher's, stands first.": _gives(
            lambda z, v, t: _right(v, z, t)
        ),
        "That is the soft cross-entropy: subtract the teacher's entropy.": _gives(
            lambda z, v, t: t**2 * F.cross_entropy(z / t, F.softmax(v / t, 1))
        ),
    },
)
