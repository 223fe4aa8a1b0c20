"""The checkers of chapter 06 accept right answers in any form and name typical mistakes."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from exercises import report
from exercises.ptq import clipping_error, exponential_signal
from tests.exercises.claims import advised, passing


def fold_right(weight, bias, norm):
    a = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    new_weight = weight * a.view(-1, *[1] * (weight.ndim - 1))
    return new_weight, a * (bias - norm.running_mean) + norm.bias


def fold_by_loops(weight, bias, norm):
    new_weight, new_bias = weight.clone().numpy(), bias.clone().numpy()
    for i in range(len(bias)):
        a = float(norm.weight[i]) / math.sqrt(float(norm.running_var[i]) + norm.eps)
        new_weight[i] *= a
        new_bias[i] = a * (new_bias[i] - float(norm.running_mean[i])) + float(norm.bias[i])
    return [new_weight, new_bias]


def fold_in_place(weight, bias, norm):
    new_weight, new_bias = fold_right(weight, bias, norm)
    return weight.copy_(new_weight), bias.copy_(new_bias)


def fold_with(
    scale: Callable[[Any, Any, float], Any], shift: Callable[[Any, Any, Any, Any], Any]
) -> Callable[..., Any]:
    def fold(weight, bias, norm):
        a = scale(norm.weight, norm.running_var, norm.eps)
        new_weight = weight * a.view(-1, *[1] * (weight.ndim - 1))
        return new_weight, shift(a, bias, norm.running_mean, norm.bias)

    return fold


def root(g, v, e):
    return g / torch.sqrt(v + e)


def shifted(a, b, m, beta):
    return a * (b - m) + beta


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


def worst(weight, step, gram):
    floor = torch.floor(weight / step)
    choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(weight))))
    delta = step * (floor + choices) - weight
    return floor + choices[((delta @ gram) * delta).sum(1).argmax()]


RIGHT = [
    ("equalize-by-hand", [3, 0.25]),
    ("equalize-by-hand", (3.0, 0.25)),
    ("equalize-by-hand", np.array([3, 0.25])),
    ("equalize-by-hand", torch.tensor([[3.0], [0.25]])),
    ("fold-batch-norm", fold_right),
    ("fold-batch-norm", fold_by_loops),
    ("best-rounding", best_by_loops),
    ("best-rounding", best_as_tensor),
    ("where-to-clip", 4.9),
    ("where-to-clip", 4.83),
    ("where-to-clip", torch.tensor([4.8])),
]

WRONG = [
    ("equalize-by-hand", [1 / 3, 4], "upside down"),
    ("equalize-by-hand", [9, 1 / 16], "left out the square root"),
    ("equalize-by-hand", [3, 2], "ranges that come out"),
    ("equalize-by-hand", [-3, -0.25], "only positive factors"),
    ("equalize-by-hand", [3], "has 2 numbers"),
    ("equalize-by-hand", [1, 1], "solve for s"),
    (
        "fold-batch-norm",
        fold_with(lambda g, v, e: g / torch.sqrt(v), shifted),
        "left ε, norm.eps, out",
    ),
    (
        "fold-batch-norm",
        fold_with(lambda g, v, e: g / (torch.sqrt(v) + e), shifted),
        "under it",
    ),
    ("fold-batch-norm", fold_with(lambda g, v, e: g / (v + e), shifted), "divided by the variance"),
    ("fold-batch-norm", fold_with(root, lambda a, b, m, beta: beta - a * m), "layer's own bias"),
    ("fold-batch-norm", fold_with(root, lambda a, b, m, beta: a * (b - m + beta)), "scaled β"),
    ("fold-batch-norm", fold_with(root, lambda a, b, m, beta: a * b - m + beta), "without its"),
    ("fold-batch-norm", fold_with(root, lambda a, b, m, beta: a * b + beta), "forgot the mean"),
    ("fold-batch-norm", fold_with(lambda g, v, e: 1 / torch.sqrt(v + e), shifted), "forgot γ"),
    (
        "fold-batch-norm",
        fold_with(root, lambda a, b, m, beta: a * (b + m) + beta),
        "collect what has",
    ),
    ("fold-batch-norm", fold_in_place, "changed one of its arguments"),
    ("fold-batch-norm", lambda *a: fold_right(*a)[0], "must return two tensors"),
    ("fold-batch-norm", lambda *a: (1.0, 2.0), "must return two tensors"),
    ("fold-batch-norm", lambda *a: (a[0].flatten(), a[1]), "the shape of the weight"),
    ("fold-batch-norm", lambda *a: a[99], "It raised IndexError"),
    ("fold-batch-norm", 3, "The answer is the function itself"),
    ("best-rounding", lambda w, s, g: torch.round(w / s), "looks at each weight alone"),
    ("best-rounding", lambda w, s, g: torch.floor(w / s), "rounded down everywhere"),
    ("best-rounding", worst, "the worst rounding"),
    ("best-rounding", lambda w, s, g: s * best_as_tensor(w, s, g), "return the codes q"),
    ("best-rounding", lambda w, s, g: w / s, "Codes are whole numbers"),
    ("best-rounding", lambda w, s, g: None, "must return a tensor"),
    ("best-rounding", lambda w, s, g: torch.tensor(1), "the shape of the weight, (1,)"),
    (
        "best-rounding",
        lambda w, s, g: best_as_tensor(w, s, torch.ones_like(g)),
        "without the second moments",
    ),
    ("where-to-clip", float(exponential_signal().max()), "clips nothing"),
    ("where-to-clip", 4.9 / 7, "You gave the step"),
    ("where-to-clip", 2.0, "clips too much"),
    ("where-to-clip", 6.5, "clips too little"),
    ("where-to-clip", 50.0, "a range beyond the largest value"),
    ("where-to-clip", -1.0, "beyond the largest value wastes"),
    ("where-to-clip", "4.9", "The answer is a number"),
]


test_right_answers_pass = passing(RIGHT)


test_wrong_answers_are_named = advised(WRONG)


@pytest.mark.parametrize("name", sorted({name for name, _ in RIGHT}))
def test_no_answer_yet_is_no_mistake(name: str) -> None:
    """Oracle: the dots of the exercise's cell."""
    assert report(name, ...).lines == ("No answer yet: put yours in the place of the dots.",)


def test_clipping_error_is_that_of_numpy() -> None:
    """Oracle: NumPy's clip and round."""
    x = exponential_signal().numpy()
    step = 4.8 / 7
    expected = ((np.round(np.clip(x, 0, 4.8) / step) * step - x) ** 2).mean()
    assert clipping_error(4.8) == pytest.approx(expected)


def test_exponential_signal_has_its_density() -> None:
    """Oracle: mean 1 and variance 1, within 6 standard errors; and SciPy's distribution test."""
    from scipy import stats

    x = exponential_signal().numpy()
    assert len(x) == 10_000
    assert stats.kstest(x, "expon").pvalue > 0.001
