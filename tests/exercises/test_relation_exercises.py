"""Every checker of chapter 10 accepts right answers, and names wrong ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import entropy

from exercises.relation import INFORMATION, OTHERS, SMALLEST, TARGET, WHOLE
from reference_impl.distillation import distance_relation_loss
from tests.exercises.claims import advised, crossed, passing


def by_pdist(student, teacher):
    d, e = F.pdist(student), F.pdist(teacher)
    return F.smooth_l1_loss(d / d.mean(), e / e.mean())


def by_loop(student, teacher):
    n = len(student)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    d, e = (torch.stack([(x[i] - x[j]).norm() for i, j in pairs]) for x in (student, teacher))
    error = d / d.mean() - e / e.mean()
    small = error.abs() <= 1
    return torch.where(small, error**2 / 2, error.abs() - 0.5).mean()


def by_mask(student, teacher):
    """Return the loss of all ordered pairs, chosen from the matrix of distances."""
    apart = ~torch.eye(len(student), dtype=torch.bool)
    d, e = (torch.cdist(x, x)[apart] for x in (student, teacher))
    return F.huber_loss(d / d.mean(), e / e.mean())


RIGHT = [
    ("relation-parts", [TARGET, OTHERS, WHOLE]),
    ("relation-parts", (0.092, 0.549, 0.201)),
    ("relation-parts", np.array([0.0915, 0.5493, 0.2014])),
    ("relation-parts", torch.tensor([0.0915, 0.5493, 0.2014])),
    ("relation-distances", by_pdist),
    ("relation-distances", by_loop),
    ("relation-distances", by_mask),
    ("relation-distances", distance_relation_loss),
    ("relation-batch", SMALLEST),
    ("relation-batch", math.exp(INFORMATION) + 1),
    ("relation-batch", math.ceil(math.exp(INFORMATION))),
    ("relation-batch", torch.tensor(float(SMALLEST))),
]


test_right_answers_pass = passing(RIGHT)


def test_the_expected_parts_are_relative_entropies():
    """Oracle: ``scipy.stats.entropy``, which divides by the sums itself."""
    p, q = np.array([0.8, 0.15, 0.05]), np.array([0.6, 0.1, 0.3])
    assert entropy(p, q) == pytest.approx(WHOLE)
    assert entropy(p[1:], q[1:]) == pytest.approx(OTHERS)
    assert entropy([0.8, 0.2], [0.6, 0.4]) == pytest.approx(TARGET)


def test_the_expected_batch_is_the_smallest():
    """Oracle: its logarithm and that of one example less."""
    assert math.log(SMALLEST - 1) >= INFORMATION > math.log(SMALLEST - 2)


def root_of_squares(student, teacher):
    def distances(x):
        squares = (x[:, None] - x[None]).square().sum(-1)
        return squares.sqrt()[~torch.eye(len(x), dtype=torch.bool)]

    d, e = distances(student), distances(teacher)
    return F.huber_loss(d / d.mean(), e / e.mean())


def over_all_pairs(student, teacher):
    d, e = torch.cdist(student, student), torch.cdist(teacher, teacher)
    return F.huber_loss(d / d.mean(), e / e.mean())


def mean_with_zeros(student, teacher):
    d, e = torch.cdist(student, student), torch.cdist(teacher, teacher)
    return F.huber_loss(d / d[d > 0].mean(), e / e[e > 0].mean())


def same_scale(student, teacher):
    d, e = F.pdist(student), F.pdist(teacher)
    return F.huber_loss(d / e.mean(), e / e.mean())


def squares(student, teacher):
    d, e = F.pdist(student), F.pdist(teacher)
    return (d / d.mean() - e / e.mean()).square().mean()


def squared_distances(student, teacher):
    d, e = F.pdist(student) ** 2, F.pdist(teacher) ** 2
    return F.huber_loss(d / d.mean(), e / e.mean())


def hints(student, teacher):
    return F.mse_loss(student.mean(1), teacher.mean(1))


WRONG = [
    ("relation-parts", [0.1046, 0.5493, 0.3243], "swapped"),
    (
        "relation-parts",
        [x / math.log(2) for x in (TARGET, OTHERS, WHOLE)],
        "nat",
    ),
    ("relation-parts", [TARGET, -0.0288, WHOLE], "did not divide"),
    ("relation-parts", [0.2301, OTHERS, 0.34], "second term"),
    ("relation-parts", [TARGET, OTHERS, TARGET + OTHERS], "without the weight"),
    ("relation-parts", [TARGET, OTHERS, TARGET + 0.8 * OTHERS], "the *less*"),
    ("relation-parts", [TARGET, OTHERS, TARGET + 0.4 * OTHERS], "student's"),
    ("relation-parts", [0.5, OTHERS, WHOLE], "two numbers with two"),
    ("relation-parts", [TARGET, 0.3, WHOLE], "divide the rest"),
    ("relation-parts", [TARGET, OTHERS, 0.9], "times the others' part"),
    ("relation-parts", [TARGET, OTHERS], "has 3 numbers"),
    ("relation-distances", over_all_pairs, "n² pairs. The distance"),
    ("relation-distances", mean_with_zeros, "last mean"),
    ("relation-distances", same_scale, "same mean"),
    ("relation-distances", squares, "squared error"),
    ("relation-distances", lambda s, t: squares(s, t) / 2, "halves"),
    ("relation-distances", squared_distances, "squared distances"),
    ("relation-distances", lambda s, t: by_pdist(s, t) * len(s) * (len(s) - 1) / 2, "summed"),
    ("relation-distances", lambda s, t: by_pdist(s, t) * len(s) * (len(s) - 1), "ordered"),
    ("relation-distances", root_of_squares, "slope 1/0"),
    ("relation-distances", hints, "differences of examples"),
    ("relation-distances", 0.3, "function itself"),
    ("relation-distances", lambda s, t: 0.3, "must return a tensor"),
    ("relation-batch", math.exp(INFORMATION / 5) + 1, "five adds up"),
    ("relation-batch", math.exp(2 * INFORMATION), "factor ½"),
    ("relation-batch", 2**INFORMATION, "2 to the power"),
    ("relation-batch", INFORMATION, "itself, in nats"),
    ("relation-batch", 1000, "ceiling of the bound"),
    ("relation-batch", 5000, "e to the power of I"),
    ("relation-batch", "many", "is a number"),
]


test_wrong_answers_are_named = advised(WRONG)


CLAIMS = [
    ("relation-parts", [0.5, OTHERS, WHOLE], ["the target part"]),
    ("relation-parts", [0.5, 0.5, 0.5], ["the target", "the others'", "the whole"]),
    ("relation-distances", hints, ["moving", "scaling", "the loss is"]),
    ("relation-distances", same_scale, ["scaling", "the loss is"]),
    ("relation-distances", squares, ["the loss is"]),
    ("relation-distances", root_of_squares, ["two equal"]),
    ("relation-batch", 1000, ["with a batch of that size"]),
    ("relation-batch", 1e7, ["with none"]),
]

test_each_claim_can_fail = crossed(CLAIMS)
