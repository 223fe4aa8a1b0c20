"""Exercises of chapter 12: parts of a divergence, distances between examples, a batch's ceiling."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    a_tensor,
    agrees,
    at,
    called,
    either,
    near,
    normals,
    numbers,
    same,
    value,
)
from reference_impl.distillation import distance_relation_loss

EXERCISES: dict[str, Exercise] = {}

# -- by hand: the parts of KL(p ‖ q), p = (0.8, 0.15, 0.05), q = (0.6, 0.1, 0.3) -------------------

TARGET = 0.8 * math.log(4 / 3) - 0.2 * math.log(2)
"""Of the pairs (0.8, 0.2) and (0.6, 0.4)."""

OTHERS = 0.5 * math.log(3)
"""Of (3/4, 1/4) and (1/4, 3/4): p and q without the first class."""

WHOLE = TARGET + 0.2 * OTHERS

SWAPPED = (
    0.6 * math.log(3 / 4) + 0.4 * math.log(2),
    OTHERS,
    0.6 * math.log(3 / 4) + 0.1 * math.log(2 / 3) + 0.3 * math.log(6),
)
"""The three of KL(q ‖ p)."""

_entry = partial(at, within=0.0015)


def _in_base(base: float) -> Test:
    return near([part / math.log(base) for part in (TARGET, OTHERS, WHOLE)], 0.0015)


EXERCISES["relation-parts"] = Exercise(
    kind=numbers(3),
    claims={
        "the target part is right": (
            _entry(0, TARGET),
            "It compares two numbers with two: (0.8, 0.2) with (0.6, 0.4).",
        ),
        "the others' part is right": (
            _entry(1, OTHERS),
            "Leave the first class out and divide the rest by its sum: (3/4, 1/4), (1/4, 3/4).",
        ),
        "the whole is right": (
            _entry(2, WHOLE),
            "The target part plus 1 − 0.8 times the others' part; or Σ p log(p/q) of all three.",
        ),
    },
    mistakes={
        "You swapped teacher and student: KL(p ‖ q) weights with the teacher's p.": near(
            SWAPPED, 0.0015
        ),
        "You took another logarithm: nats are asked for, the natural one.": either(
            _in_base(2), _in_base(10)
        ),
        "You did not divide the others by their sum: they are then no distribution.": _entry(
            1, 0.15 * math.log(1.5) - 0.05 * math.log(6)
        ),
        "You left the second term of the target part out: (0.8, 0.2) are two outcomes.": _entry(
            0, 0.8 * math.log(4 / 3)
        ),
        "You added the parts without the weight 1 − p_y of the second.": _entry(2, TARGET + OTHERS),
        "You weighted the second part with p_y: the surer the teacher, the *less* it "
        "counts.": _entry(2, TARGET + 0.8 * OTHERS),
        "You weighted with the student's 1 − q_y.": _entry(2, TARGET + 0.4 * OTHERS),
    },
)

# -- to implement: the distances of relational distillation ----------------------------------------

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
        "You took means over all n² pairs. The distance of an example to itself is 0 and is "
        "no relation: leave the diagonal out, of μ as well.": _is(_relation(_of_all_pairs)),
        "Your μ is right, your last mean is over all n² pairs: the diagonal adds zeros to "
        "it.": _times(lambda n: (n - 1) / n),
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

# -- to explore: a batch whose ceiling is high enough ----------------------------------------------

INFORMATION = -0.5 * 5 * math.log(1 - 0.98**2)
"""Of five pairs of Gaussians with the correlation 0.98, in nats."""

SMALLEST = math.ceil(math.exp(INFORMATION)) + 1
"""The smallest batch n with log(n − 1) of at least that."""

EXERCISES["relation-batch"] = Exercise(
    kind=a_number,
    claims={
        "with a batch of that size, log N reaches the information": (
            value(lambda n: n >= SMALLEST - 1),
            "The ceiling of the bound is log N with N = n − 1: that must reach I.",
        ),
        "with none that is noticeably smaller does it": (
            value(lambda n: n <= SMALLEST + 1),
            "Solve log N = I for N: it is e to the power of I.",
        ),
    },
    mistakes={
        "That is the batch for one pair of coordinates: the information of five adds up.": near(
            math.exp(INFORMATION / 5) + 1, 1.5
        ),
        "You left out the factor ½ of I.": value(
            lambda n: abs(math.log(abs(n) + 1) - 2 * INFORMATION) < 0.01
        ),
        "You took 2 to the power of I: that would hold if I were in bits.": near(
            2**INFORMATION + 1, 1.5
        ),
        "That is I itself, in nats; the question is how many examples.": near(8.07, 1.5),
    },
)
