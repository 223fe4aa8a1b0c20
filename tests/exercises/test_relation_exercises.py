"""Every checker of chapter 10 accepts right answers, and names wrong ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import entropy

from exercises.relation import INFORMATION, OTHERS, SMALLEST, TARGET, WHOLE
from reference_impl.distillation import distance_relation_loss
from tests.exercises.claims import judged


def of_distances(distances, mean=torch.mean, loss=F.huber_loss):
    """Return the loss of these distances, each divided by their mean."""

    def answer(student, teacher):
        d, e = distances(student), distances(teacher)
        return loss(d / mean(d), e / mean(e))

    return answer


def apart(x):
    return ~torch.eye(len(x), dtype=torch.bool)


by_pdist = of_distances(F.pdist, loss=F.smooth_l1_loss)
all_ordered_pairs = of_distances(lambda x: torch.cdist(x, x)[apart(x)])

RIGHT = {
    "relation-parts": [[TARGET, OTHERS, WHOLE], [0.092, 0.549, 0.201]],
    "relation-distances": [by_pdist, all_ordered_pairs, distance_relation_loss],
    "relation-batch": [SMALLEST, math.exp(INFORMATION) + 1, math.ceil(math.exp(INFORMATION))],
}


def same_scale(student, teacher):
    d, e = F.pdist(student), F.pdist(teacher)
    return F.huber_loss(d / e.mean(), e / e.mean())


def hints(student, teacher):
    return F.mse_loss(student.mean(1), teacher.mean(1))


def pairs(x):
    return len(x) * (len(x) - 1)


squares = of_distances(F.pdist, loss=F.mse_loss)
over_all_pairs = of_distances(lambda x: torch.cdist(x, x))
mean_with_zeros = of_distances(lambda x: torch.cdist(x, x), mean=lambda d: d[d > 0].mean())
squared_distances = of_distances(lambda x: F.pdist(x) ** 2)
root_of_squares = of_distances(lambda x: (x[:, None] - x[None]).square().sum(-1).sqrt()[apart(x)])

WRONG = {
    "relation-parts": [
        ([0.1046, 0.5493, 0.3243], "swapped"),
        ([x / math.log(2) for x in (TARGET, OTHERS, WHOLE)], "nat"),
        ([TARGET, -0.0288, WHOLE], "did not divide"),
        ([0.2301, OTHERS, 0.34], "second term"),
        ([TARGET, OTHERS, TARGET + OTHERS], "without the weight"),
        ([TARGET, OTHERS, TARGET + 0.8 * OTHERS], "the *less*"),
        ([TARGET, OTHERS, TARGET + 0.4 * OTHERS], "student's"),
        ([0.5, OTHERS, WHOLE], "two numbers with two", "the target part"),
        ([TARGET, 0.3, WHOLE], "divide the rest"),
        ([TARGET, OTHERS, 0.9], "times the others' part"),
        ([0.5, 0.5, 0.5], "two numbers with two", "the target", "the others'", "the whole"),
    ],
    "relation-distances": [
        (over_all_pairs, "n² pairs. The distance"),
        (mean_with_zeros, "last mean"),
        (same_scale, "same mean", "scaling", "the loss is"),
        (squares, "squared error", "the loss is"),
        (lambda s, t: squares(s, t) / 2, "halves"),
        (squared_distances, "squared distances"),
        (lambda s, t: by_pdist(s, t) * pairs(s) / 2, "summed"),
        (lambda s, t: by_pdist(s, t) * pairs(s), "ordered"),
        (root_of_squares, "slope 1/0", "two equal"),
        (hints, "differences of examples", "moving", "scaling", "the loss is"),
    ],
    "relation-batch": [
        (math.exp(INFORMATION / 5) + 1, "five adds up"),
        (math.exp(2 * INFORMATION), "factor ½"),
        (2**INFORMATION, "2 to the power"),
        (INFORMATION, "itself, in nats"),
        (1000, "ceiling of the bound", "with a batch of that size"),
        (1e7, "e to the power of I", "with none"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_expected_parts_are_relative_entropies():
    """Oracle: ``scipy.stats.entropy``, which divides by the sums itself."""
    p, q = np.array([0.8, 0.15, 0.05]), np.array([0.6, 0.1, 0.3])
    assert entropy(p, q) == pytest.approx(WHOLE)
    assert entropy(p[1:], q[1:]) == pytest.approx(OTHERS)
    assert entropy([0.8, 0.2], [0.6, 0.4]) == pytest.approx(TARGET)


def test_the_expected_batch_is_the_smallest():
    """Oracle: its logarithm and that of one example less."""
    assert math.log(SMALLEST - 1) >= INFORMATION > math.log(SMALLEST - 2)
