"""The checkers of chapter 06 accept right answers in any form and name typical mistakes."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.utils.fusion import fuse_conv_bn_weights

from exercises.ptq import clipping_error, exponential_signal
from tests.exercises.claims import judged, spoiling


def folded(
    scale=lambda g, v, e: g / torch.sqrt(v + e), shift=lambda a, b, m, beta: a * (b - m) + beta
):
    """Return a folding with these formulas, the right ones unless others are given."""

    def fold(weight, bias, norm):
        a = scale(norm.weight, norm.running_var, norm.eps)
        new_weight = weight * a.view(-1, *[1] * (weight.ndim - 1))
        return new_weight, shift(a, bias, norm.running_mean, norm.bias)

    return fold


fold_right = folded()


def fold_by_torch(weight, bias, norm):
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    return [part.detach().numpy() for part in fuse_conv_bn_weights(weight, bias, *statistics)]


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


def best_as_tensor(weight, step, gram):
    return torch.tensor(best_by_loops(weight, step, gram), dtype=torch.int32)


RIGHT = {
    "equalize-by-hand": [[3, 0.25]],
    "fold-batch-norm": [fold_right, fold_by_torch],
    "best-rounding": [best_by_loops, best_as_tensor],
    "where-to-clip": [4.9, 4.83, 4.8],
}


def worst(weight, step, gram):
    floor = torch.floor(weight / step)
    choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(weight))))
    delta = step * (floor + choices) - weight
    return floor + choices[((delta @ gram) * delta).sum(1).argmax()]


WRONG = {
    "equalize-by-hand": [
        ([1 / 3, 4], "upside down"),
        ([9, 1 / 16], "left out the square root"),
        ([3, 2], "ranges that come out"),
        ([-3, -0.25], "only positive factors"),
        ([1, 1], "solve for s"),
    ],
    "fold-batch-norm": [
        (folded(lambda g, v, _: g / torch.sqrt(v)), "left ε, norm.eps, out"),
        (folded(lambda g, v, e: g / (torch.sqrt(v) + e)), "under it"),
        (folded(lambda g, v, e: g / (v + e)), "divided by the variance"),
        (folded(lambda _, v, e: 1 / torch.sqrt(v + e)), "forgot γ"),
        (folded(shift=lambda a, _, m, beta: beta - a * m), "layer's own bias"),
        (folded(shift=lambda a, b, m, beta: a * (b - m + beta)), "scaled β"),
        (folded(shift=lambda a, b, m, beta: a * b - m + beta), "without its"),
        (folded(shift=lambda a, b, _, beta: a * b + beta), "forgot the mean"),
        (folded(shift=lambda a, b, m, beta: a * (b + m) + beta), "collect what has"),
        (spoiling(fold_right), "changed one of its arguments"),
        (lambda *_: (1.0, 2.0), "must return two tensors"),
        (lambda *a: (a[0].flatten(), a[1]), "the shape of the weight"),
    ],
    "best-rounding": [
        (lambda w, s, _: torch.round(w / s), "looks at each weight alone"),
        (lambda w, s, _: torch.floor(w / s), "rounded down everywhere"),
        (worst, "the worst rounding"),
        (lambda w, s, g: s * best_as_tensor(w, s, g), "return the codes q"),
        (lambda w, s, _: w / s, "Codes are whole numbers"),
        (lambda *_: torch.tensor(1), "the shape of the weight, (1,)"),
        (lambda w, s, g: best_as_tensor(w, s, torch.ones_like(g)), "without the second moments"),
    ],
    "where-to-clip": [
        (float(exponential_signal().max()), "clips nothing"),
        (4.9 / 7, "You gave the step"),
        (2.0, "clips too much"),
        (6.5, "clips too little"),
        (50.0, "a range beyond the largest value"),
        (-1.0, "beyond the largest value wastes"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_clipping_error_is_that_of_numpy() -> None:
    """Oracle: NumPy's clip and round."""
    x = exponential_signal().numpy()
    step = 4.8 / 7
    expected = ((np.round(np.clip(x, 0, 4.8) / step) * step - x) ** 2).mean()
    assert clipping_error(4.8) == pytest.approx(expected)


def test_exponential_signal_has_its_density() -> None:
    """Oracle: mean 1 and variance 1, within 6 standard errors; and SciPy's distribution test."""
    x = exponential_signal().numpy()
    assert len(x) == 10_000
    assert stats.kstest(x, "expon").pvalue > 0.001
