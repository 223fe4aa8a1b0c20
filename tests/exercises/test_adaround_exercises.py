"""The checkers of chapter 08 accept right answers, and name wrong ones."""

import itertools
import math

import numpy as np
import pytest
import torch

from exercises.chapters.adaround import colleagues_flip, least_rounding, loss, problem, settled
from tests.exercises.claims import judged, spoiling


def best_by_loops(weight, step, gram):
    best, least = None, math.inf
    floor = [math.floor(w / step) for w in weight.tolist()]
    for choice in itertools.product((0, 1), repeat=len(floor)):
        codes = [f + c for f, c in zip(floor, choice, strict=True)]
        delta = np.array([step * q for q in codes]) - weight.double().numpy()
        loss = delta @ gram.double().numpy() @ delta
        if loss < least:
            best, least = codes, loss
    return best


def best_as_tensor(*case):
    return torch.tensor(best_by_loops(*case)).int()


def flip(weight, step, gram):
    codes = torch.round(weight / step)
    while True:
        others = 2 * torch.floor(weight / step) + 1 - codes
        move = step * (others - codes)
        slope = 2 * gram @ (step * codes - weight)
        change = move**2 * gram.diagonal() + move * slope
        j = change.argmin()
        if change[j] >= -1e-6:
            return codes
        codes[j] = others[j]


def flip_in_order(weight, step, gram):
    """Take the first move that pays, and compute the whole loss each time."""
    q = np.round(weight.numpy() / step)
    sign = np.where(q * step > weight.numpy(), -1, 1)

    def error(codes):
        e = step * codes - weight.numpy()
        return e @ gram.numpy() @ e

    paid = True
    while paid:
        paid = False
        for j in range(len(q)):
            other = q.copy()
            other[j] += sign[j]
            if error(other) < error(q) - 1e-6:
                q, sign[j], paid = other, -sign[j], True
    return q


def one_pass(weight, step, gram, *, squares=True):
    codes = torch.round(weight / step)
    for j in range(len(weight)):
        other = 2 * torch.floor(weight[j] / step) + 1 - codes[j]
        move = step * (other - codes[j])
        change = 2 * move * (gram[j] @ (step * codes - weight))
        if change + squares * move**2 * gram[j, j] < 0:
            codes[j] = other
    return codes


RIGHT = {
    "ptq-four": [[1, -1, 0.0315]],
    "ptq-alike": [1 / 3, 0.33, 0.34],
    "ptq-flip": [flip, flip_in_order, best_as_tensor],
    "ptq-best": [best_by_loops, best_as_tensor],
    "ptq-move": [[0.68, 1, 0.192]],
}

WRONG = {
    "ptq-four": [
        ([1, 0, 0.1165], "This is the nearest rounding"),
        ([0.5, -0.5, 0.0315], "You gave the values s q"),
        ([1, -1, 0.126], "You left out the step"),
        ([1, -1, 0.1935], "You added the product"),
        ([1, -1, 0.072], "You counted the product once"),
        ([1, -1, 0.1125], "You left out the product"),
        ([2, -1, 0.0315], "for all four pairs"),
        ([1, 1, 0.0315], "errors of the same sign cancel"),
        ([1, -1, 0.5], "with Δw = s q − w"),
    ],
    "ptq-alike": [
        (0.5, "beats the nearest, but (1, 0)"),
        (2 / 3, "counted the product of the errors once"),
        (-1 / 3, "lets errors of opposite sign cancel"),
        (0.8, "Compare the errors of the four"),
        (0.2, "Set the errors of (0, 0)"),
        (0.32, "Set the errors of (0, 0)", "a little above"),
        (0.35, "Compare the errors of the four", "a little below"),
        (50.0, "Compare the errors of the four"),
    ],
    "ptq-flip": [
        (colleagues_flip, "what the colleague's function returns"),
        (lambda w, s, _: torch.round(w / s), "no weight was flipped"),
        (lambda *a: a[1] * flip(*a), "return the codes q"),
        (lambda w, s, _: w / s, "The other neighbour is"),
        (lambda w, s, _: torch.round(w / s) + 1, "The other neighbour is"),
        (lambda w, s, _: torch.floor(w / s), "Flip only if"),
        (one_pass, "Begin again after each flip"),
        (lambda *a: one_pass(*a, squares=False), "Flip only if"),
        (spoiling(flip), "changed one of its arguments"),
        (lambda *_: torch.tensor(1), "the shape of the weight, (1,)"),
    ],
    "ptq-best": [
        (lambda w, s, _: torch.round(w / s), "looks at each weight alone"),
        (lambda w, s, _: torch.floor(w / s), "rounded down everywhere"),
        ({"math.inf": "-math.inf", "loss < least": "loss > least"}, "the worst rounding"),
        (lambda w, s, g: s * torch.tensor(best_by_loops(w, s, g)), "return the codes q"),
        (lambda w, s, _: w / s, "Codes are whole numbers"),
        (lambda *_: torch.tensor(1), "the shape of the weight, (1,)"),
        (lambda w, s, g: best_by_loops(w, s, torch.ones_like(g)), "without the second moments"),
    ],
    "ptq-move": [
        ([-0.28, 0, 0.552], "the wrong way"),
        ([0.48, 0, 0.552], "add it to 0.2"),
        ([0.44, 0, 0.552], "its own moment counts"),
        ([0.68, 1, 0.1152], "from the network's own"),
        ([0.68, 1, 0.552], "This is the error of the nearest"),
        ([0.5, 1, 0.192], "Set the derivative"),
        ([0.68, 0, 0.192], "Round the moved weight"),
        ([0.68, 1, 0.3], "Δw2 is measured from 0.2"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_colleague_steps_up_only():
    """Oracle: by hand: w = 0.4 has the error −0.4, and the colleague's sum is 2 · 1 · −0.4."""
    codes = colleagues_flip(torch.tensor([0.4, -0.4]), 1.0, torch.eye(2))
    assert codes.tolist() == [1, 0]


def test_a_problem_needs_more_than_one_pass():
    """Oracle: the loss of every single flip; without such a problem a lone pass would be right."""
    case = problem(318, 6)
    alone = one_pass(*case).double()
    assert not settled(alone, case)
    assert loss(flip(*case).double(), case) < 0.9 * loss(alone, case)


@pytest.mark.parametrize(
    ("correlation", "codes"), [(0, (0, 0)), (0.3, (0, 0)), (0.36, (1, 0)), (0.9, (1, 0))]
)
def test_the_nearest_is_best_up_to_a_third(correlation, codes):
    """Oracle: by hand: 0.25 + 0.24 c and 0.45 − 0.36 c are equal at c = 1/3."""
    assert least_rounding(correlation) == codes
