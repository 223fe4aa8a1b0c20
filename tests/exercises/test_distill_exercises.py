"""Every checker of chapter 08 accepts right answers, and names wrong ones."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from scipy.special import softmax as scipy_softmax

from exercises import report
from exercises.distill import RIGHT as BY_HAND
from reference_impl.data import load_dataset
from reference_impl.distillation import distillation_objective
from reference_impl.training import load_checkpoint, predict
from tests.exercises.claims import forms, judged

pytestmark = pytest.mark.filterwarnings("ignore:reduction")  # torch's, about kl_div's mean


def by_torch(student, teacher, labels, temperature, alpha):
    q = F.log_softmax(student / temperature, 1)
    p = F.softmax(teacher.detach() / temperature, 1)
    soft = F.kl_div(q, p, reduction="batchmean") * temperature**2
    return (1 - alpha) * F.cross_entropy(student, labels) + alpha * soft


def by_reference(student, teacher, labels, temperature, alpha):
    return distillation_objective(student, teacher, labels, temperature=temperature, alpha=alpha)


HAND = [0.8, 0.7710, 0.7632, -0.59]

RIGHT = {
    "distill-hand": [HAND, [0.8, 0.77, 0.76, -0.59]],
    "distill-objective": [by_torch, by_reference, lambda *a: by_torch(*a)[None]],
}


def kl(q, p):
    return (p.exp() * (p - q)).sum(1).mean()


def altered(
    soft=kl,
    factor=lambda t: t**2,
    divide=lambda x, t: x / t,
    hard=lambda z, _: z,
    logs=lambda x: x.log_softmax(1),
    *,
    swapped=False,
    attached=False,
):
    """Return the objective with another soft term, factor, division or hard term."""

    def objective(student, teacher, labels, temperature, alpha):
        v = teacher if attached else teacher.detach()
        p = logs(divide(v, temperature))
        q = logs(divide(student, temperature))
        a = 1 - alpha if swapped else alpha
        hard_term = F.cross_entropy(hard(student, temperature), labels)
        return (1 - a) * hard_term + a * factor(temperature) * soft(q, p)

    return objective


def hard_times_t_squared(student, teacher, labels, t, alpha):
    soft = alpha * by_torch(student, teacher, labels, t, 1)
    return t**2 * by_torch(student, teacher, labels, t, alpha) + (1 - t**2) * soft


def soft_by(kl):
    """Return the objective with another KL, whose mean is over all entries."""

    def objective(student, teacher, labels, t, alpha):
        soft = kl(student, teacher.detach(), t) * student.shape[1]
        return (1 - alpha) * F.cross_entropy(student, labels) + alpha * t**2 * soft

    return objective


def in_place(student, teacher, labels, t, alpha):
    kept = teacher.detach().clone()
    teacher *= 2
    return by_torch(student, kept, labels, t, alpha)


def by_hand(place, value):
    return [*HAND[:place], value, *HAND[place + 1 :]]


OVERFLOWING = altered(logs=lambda x: x.softmax(1).log())
SOFTENED_ONCE = soft_by(lambda z, v, t: F.kl_div(z.log_softmax(1), (v / t).softmax(1)))
WITHOUT_LOG = soft_by(lambda z, v, t: F.kl_div((z / t).softmax(1), (v / t).softmax(1)))
OVER_IMAGES = soft_by(lambda z, v, t: F.kl_div((z / t).log_softmax(0), (v / t).softmax(0)))

WRONG = {
    "distill-hand": [
        (by_hand(0, 16 / 17), "divide the logits by T first", "p1 is right"),
        (by_hand(1, 0.1927), "left out T²", "T² KL is right"),
        (by_hand(1, 0.3855), "not by T", "T² KL is right"),
        (by_hand(1, 0.8926), "swapped the two", "T² KL is right"),
        (by_hand(1, 1.1123), "base 2", "T² KL is right"),
        (by_hand(1, 4 * math.log(2)), "cross-entropy", "T² KL is right"),
        (by_hand(2, 0.7009), "swapped the weights", "the objective is right"),
        (by_hand(3, -0.51), "swapped the weights", "the slope is right"),
        (by_hand(3, 0.59), "wrong sign", "the slope is right"),
        (by_hand(3, -1.13), "one T goes", "the slope is right"),
        (by_hand(3, -0.32), "one T goes", "the slope is right"),
        (by_hand(3, -0.185), "less one", "the slope is right"),
    ],
    "distill-objective": [
        (altered(factor=lambda _: 1), "left out T²"),
        (altered(factor=lambda t: t), "multiplied by T, not by T²"),
        (altered(lambda q, p: kl(p, q)), "swapped student and"),
        (altered(lambda q, p: (p.exp() * (p - q)).mean()), "number of classes"),
        (altered(lambda q, p: (p.exp() * (p - q)).sum()), "number of images"),
        (altered(swapped=True), "swapped the weights"),
        (altered(hard=lambda z, t: z / t), "softened the hard term"),
        (hard_times_t_squared, "hard term by T² too"),
        (altered(divide=lambda x, _: x), "the factor T² alone"),
        (altered(divide=lambda x, _: x, factor=lambda _: 1), "left out T altogether"),
        (SOFTENED_ONCE, "teacher alone"),
        (WITHOUT_LOG, "logarithm"),
        (OVER_IMAGES, "dim 0"),
        (altered(divide=lambda x, t: x * t), "instead of dividing"),
        (altered(lambda q, p: -(p.exp() * q).sum(1).mean()), "entropy is still in it"),
        (altered(lambda q, p: -kl(q, p)), "wrong sign"),
        (altered(lambda q, p: (p.exp() * (p - q)).sum(1)), "must be one number"),
        (lambda z, *rest: by_torch(z.detach(), *rest), "must not be detached"),
        (altered(attached=True), "Detach the teacher", "no gradient reaches the teacher"),
        (in_place, "in-place operation", "no gradient reaches the teacher"),
        (OVERFLOWING, "Use log_softmax", "large logits give a finite loss"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def halves(name: str) -> float:
    """Return the temperature by SciPy's softmax and root."""
    images = load_dataset().validation.images[:500]
    logits = predict(load_checkpoint(name), images).double().numpy()
    return brentq(lambda t: scipy_softmax(logits / t, axis=1).max(axis=1).mean() - 0.5, 1, 100)


def test_temperatures_of_doubt_are_told_from_others():
    """Oracle: the root by brentq, its inverse, and the student's."""
    right = halves("teacher")
    for answer in (*forms(right), round(right, 1)):
        assert report("distill-temperature", answer).passed, right
    for answer in (right + 0.5, right - 0.5, 1, 0, -3, 100):
        assert not report("distill-temperature", answer).passed
    assert "T divides them" in report("distill-temperature", 1 / right).lines[-1]
    assert "student's" in report("distill-temperature", halves("student")).lines[-1]


def test_the_hand_answer_is_the_packages():
    """Oracle: the objective and autograd."""
    z = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[2 * math.log(4), 0.0]], dtype=torch.float64)
    y = torch.tensor([0])
    loss = by_reference(z, v, y, 2, 0.9)
    (gradient,) = torch.autograd.grad(loss, z)
    soft = by_reference(z, v, y, 2, 1)
    found = [(v / 2).softmax(1)[0, 0], soft, loss, gradient[0, 0]]
    assert [one.item() for one in found] == pytest.approx(list(BY_HAND))
    assert list(BY_HAND) == pytest.approx(HAND, abs=5e-4)
