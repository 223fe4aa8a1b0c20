"""The checkers of chapter 06 accept right answers in any form and name typical mistakes."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from exercises import report
from exercises.ptq_rounding import clipping_error, exponential_signal


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


RIGHT: dict[str, dict[str, Any]] = {
    "equalize-by-hand": {
        "list": [3, 0.25],
        "tuple of floats": (3.0, 0.25),
        "array": np.array([3, 0.25]),
        "column": torch.tensor([[3.0], [0.25]]),
    },
    "fold-batch-norm": {"vectorized": fold_right, "loops, arrays, a list": fold_by_loops},
    "best-rounding": {"loops": best_by_loops, "tensor of integers": best_as_tensor},
    "where-to-clip": {"measured": 4.9, "closed form": 4.83, "tensor": torch.tensor([4.8])},
}

WRONG: dict[str, dict[str, tuple[Any, str]]] = {
    "equalize-by-hand": {
        "upside down": ([1 / 3, 4], "upside down"),
        "no root": ([9, 1 / 16], "left out the square root"),
        "ranges": ([3, 2], "ranges that come out"),
        "negative": ([-3, -0.25], "only positive factors"),
        "one number": ([3], "has 2 numbers"),
        "something": ([1, 1], "solve for s"),
    },
    "fold-batch-norm": {
        "no epsilon": (
            fold_with(lambda g, v, e: g / torch.sqrt(v), shifted),
            "left ε, norm.eps, out",
        ),
        "epsilon outside": (
            fold_with(lambda g, v, e: g / (torch.sqrt(v) + e), shifted),
            "under it",
        ),
        "no root": (fold_with(lambda g, v, e: g / (v + e), shifted), "divided by the variance"),
        "no bias": (fold_with(root, lambda a, b, m, beta: beta - a * m), "layer's own bias"),
        "beta scaled": (fold_with(root, lambda a, b, m, beta: a * (b - m + beta)), "scaled β"),
        "mean unscaled": (fold_with(root, lambda a, b, m, beta: a * b - m + beta), "without its"),
        "no mean": (fold_with(root, lambda a, b, m, beta: a * b + beta), "forgot the mean"),
        "no gamma": (fold_with(lambda g, v, e: 1 / torch.sqrt(v + e), shifted), "forgot γ"),
        "sign": (fold_with(root, lambda a, b, m, beta: a * (b + m) + beta), "collect what has"),
        "in place": (fold_in_place, "changed one of its arguments"),
        "only the weight": (lambda *a: fold_right(*a)[0], "must return two tensors"),
        "numbers": (lambda *a: (1.0, 2.0), "must return two tensors"),
        "shape": (lambda *a: (a[0].flatten(), a[1]), "must have that shape"),
        "raises": (lambda *a: a[99], "It raised IndexError"),
        "no function": (3, "The answer is the function itself"),
    },
    "best-rounding": {
        "nearest": (lambda w, s, g: torch.round(w / s), "looks at each weight alone"),
        "down": (lambda w, s, g: torch.floor(w / s), "rounded down everywhere"),
        "worst": (worst, "the worst rounding"),
        "values": (lambda w, s, g: s * best_as_tensor(w, s, g), "return the codes q"),
        "real codes": (lambda w, s, g: w / s, "Codes are whole numbers"),
        "no tensor": (lambda w, s, g: None, "must return a tensor"),
        "one number": (lambda w, s, g: torch.tensor(1), "one code for each of the 1 weights"),
        "sum of errors": (
            lambda w, s, g: best_as_tensor(w, s, torch.ones_like(g)),
            "without the second moments",
        ),
    },
    "where-to-clip": {
        "nothing clipped": (float(exponential_signal().max()), "clips nothing"),
        "step": (4.9 / 7, "You gave the step"),
        "too much": (2.0, "clips too much"),
        "too little": (6.5, "clips too little"),
        "beyond": (50.0, "a range beyond the largest value"),
        "negative": (-1.0, "beyond the largest value wastes"),
        "text": ("4.9", "The answer is a number"),
    },
}


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name, forms in RIGHT.items() for form in forms]
)
def test_right_answers_pass_in_any_form(name: str, form: str) -> None:
    """Oracle: answers worked out by hand or written with loops."""
    found = report(name, RIGHT[name][form])
    assert found.passed, found.lines


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in WRONG.items() for case in cases]
)
def test_wrong_answers_fail_and_their_mistake_is_named(name: str, case: str) -> None:
    """Oracle: a part of the advice that belongs to the mistake."""
    answer, advice = WRONG[name][case]
    found = report(name, answer)
    assert not found.passed
    assert advice in found.lines[-1], found.lines


@pytest.mark.parametrize("name", sorted(RIGHT))
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
