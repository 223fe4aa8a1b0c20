"""Every checker of chapter 08 accepts right answers, and names wrong ones."""

import math

import numpy as np
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
from tests.exercises.claims import advised, assert_failed, crossed, passing


def by_torch(student, teacher, labels, temperature, alpha):
    q = F.log_softmax(student / temperature, 1)
    p = F.softmax(teacher.detach() / temperature, 1)
    soft = F.kl_div(q, p, reduction="batchmean") * temperature**2
    return (1 - alpha) * F.cross_entropy(student, labels) + alpha * soft


def by_reference(student, teacher, labels, temperature, alpha):
    return distillation_objective(student, teacher, labels, temperature=temperature, alpha=alpha)


def by_entropy(student, teacher, labels, temperature, alpha):
    p = F.softmax(teacher.detach() / temperature, 1)
    kl = F.cross_entropy(student / temperature, p) - torch.special.entr(p).sum(1).mean()
    return (1 - alpha) * F.cross_entropy(student, labels) + alpha * temperature**2 * kl


def by_loop(student, teacher, labels, temperature, alpha):
    """One image at a time, the result with one axis."""
    total = torch.zeros(1, dtype=student.dtype)
    for z, v, y in zip(student, teacher.detach(), labels, strict=True):
        log_p, log_q = (v / temperature).log_softmax(0), (z / temperature).log_softmax(0)
        soft = sum(log_p.exp() * (log_p - log_q))
        total = total - (1 - alpha) * z.log_softmax(0)[y] + alpha * temperature**2 * soft
    return total / len(student)


def halves(name: str) -> float:
    """Return the temperature by SciPy's softmax and root."""
    images = load_dataset().validation.images[:500]
    logits = predict(load_checkpoint(name), images).double().numpy()
    return brentq(lambda t: scipy_softmax(logits / t, axis=1).max(axis=1).mean() - 0.5, 1, 100)


HAND = [0.8, 0.7710, 0.7632, -0.59]


RIGHT = [
    ("distill-hand", HAND),
    ("distill-hand", tuple(HAND)),
    ("distill-hand", np.array(HAND)),
    ("distill-hand", torch.tensor([HAND])),
    ("distill-hand", [0.8, 0.77, 0.76, -0.59]),
    ("distill-objective", by_torch),
    ("distill-objective", by_reference),
    ("distill-objective", by_entropy),
    ("distill-objective", by_loop),
]


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


def test_the_temperature_of_doubt_is_scipys_root():
    """Oracle: brentq."""
    right = halves("teacher")
    for answer in (right, round(right, 1), torch.tensor(right), np.float32(right)):
        assert report("distill-temperature", answer).passed, right
    for answer in (right + 0.5, right - 0.5):
        assert not report("distill-temperature", answer).passed


BY_HAND_MISTAKES = [
    (0, 16 / 17, "divide the logits by T first"),
    (1, 0.1927, "left out T²"),
    (1, 0.3855, "not by T"),
    (1, 0.8926, "swapped the two"),
    (1, 1.1123, "base 2"),
    (1, 4 * math.log(2), "cross-entropy"),
    (2, 0.7009, "swapped the weights"),
    (3, -0.51, "swapped the weights"),
    (3, 0.59, "wrong sign"),
    (3, -1.13, "one T goes"),
    (3, -0.32, "one T goes"),
    (3, -0.185, "less one"),
]

HAND_CLAIMS = ["p1 is right", "T² KL is right", "the objective is right", "the slope is right"]


def mutant(
    soft=lambda q, p: (p.exp() * (p - q)).sum(1).mean(),
    factor=lambda t: t**2,
    divide=lambda x, t: x / t,
    hard_t=False,
    swapped=False,
):
    def objective(student, teacher, labels, temperature, alpha):
        p = divide(teacher.detach(), temperature).log_softmax(1)
        q = divide(student, temperature).log_softmax(1)
        hard = F.cross_entropy(student / temperature if hard_t else student, labels)
        a = 1 - alpha if swapped else alpha
        return (1 - a) * hard + a * factor(temperature) * soft(q, p)

    return objective


def hard_times_t_squared(student, teacher, labels, t, alpha):
    return t**2 * by_torch(student, teacher, labels, t, alpha) + (1 - t**2) * (
        alpha * (by_torch(student, teacher, labels, t, 1))
    )


def soft_by(kl):
    """Return the objective with another KL, whose mean is over all entries."""

    def objective(student, teacher, labels, t, alpha):
        soft = kl(student, teacher.detach(), t) * student.shape[1]
        return (1 - alpha) * F.cross_entropy(student, labels) + alpha * t**2 * soft

    return objective


def by_hand(place, value):
    return [*HAND[:place], value, *HAND[place + 1 :]]


WRONG = [
    *(("distill-hand", by_hand(place, value), named) for place, value, named in BY_HAND_MISTAKES),
    ("distill-objective", mutant(factor=lambda _: 1), "left out T²"),
    ("distill-objective", mutant(factor=lambda t: t), "multiplied by T, not by T²"),
    (
        "distill-objective",
        mutant(soft=lambda q, p: (q.exp() * (q - p)).sum(1).mean()),
        "swapped student and",
    ),
    (
        "distill-objective",
        mutant(soft=lambda q, p: (p.exp() * (p - q)).mean()),
        "number of classes",
    ),
    ("distill-objective", mutant(soft=lambda q, p: (p.exp() * (p - q)).sum()), "number of images"),
    ("distill-objective", mutant(swapped=True), "swapped the weights"),
    ("distill-objective", mutant(hard_t=True), "softened the hard term"),
    ("distill-objective", hard_times_t_squared, "hard term by T² too"),
    ("distill-objective", mutant(divide=lambda x, t: x), "the factor T² alone"),
    (
        "distill-objective",
        mutant(divide=lambda x, t: x, factor=lambda t: 1),
        "left out T altogether",
    ),
    (
        "distill-objective",
        soft_by(lambda z, v, t: F.kl_div(z.log_softmax(1), (v / t).softmax(1))),
        "teacher alone",
    ),
    (
        "distill-objective",
        soft_by(lambda z, v, t: F.kl_div((z / t).softmax(1), (v / t).softmax(1))),
        "logarithm",
    ),
    (
        "distill-objective",
        soft_by(lambda z, v, t: F.kl_div((z / t).log_softmax(0), (v / t).softmax(0))),
        "dim 0",
    ),
    ("distill-objective", mutant(divide=lambda x, t: x * t), "instead of dividing"),
    (
        "distill-objective",
        mutant(soft=lambda q, p: -(p.exp() * q).sum(1).mean()),
        "entropy is still in it",
    ),
    (
        "distill-objective",
        mutant(soft=lambda q, p: (p.exp() * (q - p)).sum(1).mean()),
        "wrong sign",
    ),
    (
        "distill-objective",
        mutant(soft=lambda q, p: (p.exp() * (p - q)).sum(1)),
        "must be one number",
    ),
    ("distill-objective", lambda z, v, y, t, a: 1.0, "must return a tensor"),
    (
        "distill-objective",
        lambda z, v, y, t, a: by_torch(z.detach(), v, y, t, a),
        "must not be detached",
    ),
]
CLAIMS = [
    ("distill-hand", by_hand(place, value), [HAND_CLAIMS[place]])
    for place, value, _ in BY_HAND_MISTAKES
]

test_right_answers_pass = passing(RIGHT)
test_wrong_answers_are_named = pytest.mark.filterwarnings("ignore:reduction")(advised(WRONG))
test_each_claim_can_fail = crossed(CLAIMS)


def test_a_gradient_of_the_teacher_and_an_overflow_are_found():
    """Oracle: the claims that fail, and no other."""

    def to_teacher(student, teacher, labels, t, alpha):
        p = (teacher / t).log_softmax(1)
        soft = (p.exp() * (p - (student / t).log_softmax(1))).sum(1).mean()
        return (1 - alpha) * F.cross_entropy(student, labels) + alpha * t**2 * soft

    def overflowing(student, teacher, labels, t, alpha):
        p, q = (teacher.detach() / t).softmax(1), (student / t).softmax(1)
        soft = (p * (p / q).log()).sum(1).mean()
        return (1 - alpha) * F.cross_entropy(student, labels) + alpha * t**2 * soft

    assert_failed("distill-objective", to_teacher, ["no gradient reaches the teacher"])

    def in_place(student, teacher, labels, t, alpha):
        kept = teacher.detach().clone()
        teacher *= 2
        return by_torch(student, kept, labels, t, alpha)

    assert_failed("distill-objective", in_place, ["no gradient reaches the teacher"])
    assert_failed("distill-objective", overflowing, ["large logits give a finite loss"])


def test_wrong_temperatures_are_named():
    """Oracle: the inverse, and the student's."""
    right = halves("teacher")
    assert "T divides them" in report("distill-temperature", 1 / right).lines[-1]
    assert "student's" in report("distill-temperature", halves("student")).lines[-1]
    for answer in (1, 0, -3, 100):
        assert not report("distill-temperature", answer).passed
