"""The checkers of chapter 01: right answers pass, each wrong one is told what is wrong."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exercises import cost, cost_batch
from exercises.framework import examine
from reference_impl.measuring import model_cost
from reference_impl.models import LeNet300

EXERCISES = {**cost.EXERCISES, **cost_batch.EXERCISES}


def last_line(name, answer):
    found = examine(EXERCISES[name], answer)
    assert not found.passed
    return found.lines[-1]


def by_formula(inputs, outputs, ridge):
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return math.ceil(2 * ridge * weights / room) if room > 0 else None


def by_trying(inputs, outputs, ridge):
    weights, batch = inputs * outputs, 1
    while 2 * batch * weights / (4 * (weights + batch * (inputs + outputs))) < ridge:
        batch *= 2
        if batch > 2**30:
            return None
    low = batch // 2
    while batch - low > 1:
        middle = (low + batch) // 2
        reached = 2 * middle * weights >= ridge * 4 * (weights + middle * (inputs + outputs))
        low, batch = (low, middle) if reached else (middle, batch)
    return batch


RIGHT = {
    "cost-article-macs": [
        [442_368, 18_874_368, 8_192_000, 10_000],
        np.array([442_368, 18_874_368, 8_192_000, 10_000]),
        torch.tensor([442_368, 18_874_368, 8_192_000, 10_000]),
    ],
    "cost-smallest-batch": [cost_batch.smallest_batch, by_formula, by_trying],
    "cost-intensity-limit": [[2 * 266_200 / (4 * 1594), 1506], (83.5, 1506.0), [83.0, 1420]],
}


def strictly_above(inputs, outputs, ridge):
    batch = by_formula(inputs, outputs, ridge)
    if batch is None:
        return None
    moved = 4 * (inputs * outputs + batch * (inputs + outputs))
    return batch + (2 * batch * inputs * outputs == ridge * moved)


def with_bias(inputs, outputs, ridge):
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return math.ceil(2 * ridge * (weights + outputs) / room) if room > 0 else None


def touching(inputs, outputs, ridge):
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return None if room < 0 else math.ceil(2 * ridge * weights / room)


def infinite_at_the_limit(inputs, outputs, ridge):
    room = inputs * outputs - 2 * ridge * (inputs + outputs)
    return math.inf if room == 0 else by_formula(inputs, outputs, ridge)


def up_to_ten_thousand(inputs, outputs, ridge):
    for batch in range(1, 10_000):
        if _intensity(batch, inputs=inputs, outputs=outputs) >= ridge:
            return batch
    return None


def endless(inputs, outputs, ridge):
    batch = 1
    while 2 * batch * inputs * outputs < ridge * 4 * (inputs * outputs + batch * 1e9):
        batch += 1
    return batch


def endless_only_where_none(inputs, outputs, ridge):
    batch = 1
    while 2 * batch * inputs * outputs < (
        ridge * 4 * (inputs * outputs + batch * (inputs + outputs))
    ):
        batch += 1
    return batch


WRONG = {
    "cost-article-macs": {
        "These are the weights": [1_728, 73_728, 8_192_000, 10_000],
        "parameters, biases": [1_792, 73_856, 8_193_000, 10_010],
        "operations": [884_736, 37_748_736, 16_384_000, 20_000],
        "input channels": [147_456, 294_912, 8_192_000, 10_000],
        "three channels": [147_456, 18_874_368, 8_192_000, 10_000],
        "after conv2": [442_368, 4_718_592, 8_192_000, 10_000],
        "padding": [338_688, 10_616_832, 8_192_000, 10_000],
        "17 × 17": [499_392, 21_307_392, 8_192_000, 10_000],
        "28 × 28": [1_354_752, 57_802_752, 8_192_000, 10_000],
        "32 × 32": [1_769_472, 75_497_472, 8_192_000, 10_000],
        "The biases": [458_752, 18_907_136, 8_193_000, 10_010],
        "conv2": [442_368, 1, 8_192_000, 10_000],
        "has 4 numbers": [442_368],
        "list of 4 numbers": "many",
        "Entry 2 is no number": [442_368, "18,874,368", 8_192_000, 10_000],
    },
    "cost-smallest-batch": {
        "input and the output": lambda _i, _o, ridge: math.ceil(2 * ridge),
        "counts MACs": lambda i, o, ridge: by_formula(i, o, 2 * ridge),
        "four bytes": lambda i, o, ridge: by_formula(i, o, ridge / 4),
        "One too small": lambda i, o, ridge: (by_formula(i, o, ridge) or 0) - 1,
        "One too large": strictly_above,
        "has no bias": with_bias,
        "Solve for n": endless,
        "still running": endless_only_where_none,
        "divide by zero": touching,
        "exactly 1 FLOP/byte": up_to_ten_thousand,
        "at no batch": infinite_at_the_limit,
        "never exceeds": lambda i, o, ridge: by_formula(i, o, ridge) or math.inf,
        "the one before it": lambda *_: 7,
        "division by zero": lambda *_: 1 / 0,
        "the function itself": 23,
    },
    "cost-intensity-limit": {
        "half the limit": [41.75, 1506],
        "per value": [334, 1506],
        "counted once": [111.47, 1506],
        "batch 64": [23.11, 1506],
        "half of the limit": [83.5, 168],
        "Try batches near": [83.5, 1505],
        "batch 1000": [71.47, 1506],
        "no longer count": [0.5, 1506],
        "has 2 numbers": [83.5],
    },
}


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, answers in RIGHT.items() for answer in answers]
)
def test_right_answers_pass(name, answer):
    """Oracle: the reference and other correct solutions, found in another way."""
    found = examine(EXERCISES[name], answer)
    assert found.passed, found.lines


@pytest.mark.parametrize(
    ("name", "said"), [(name, said) for name, answers in WRONG.items() for said in answers]
)
def test_wrong_answers_hear_what_is_wrong(name, said):
    """Oracle: the words that name the mistake."""
    assert said in last_line(name, WRONG[name][said])


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_has_words_of_its_own(name):
    """Oracle: as many distinct last lines as wrong answers, but for the two endless loops."""
    lines = [last_line(name, answer) for answer in WRONG[name].values()]
    assert len(set(lines)) >= len(lines) - 1 >= 3


@pytest.mark.parametrize("name", EXERCISES)
def test_dots_are_no_answer_yet(name):
    """Oracle: the text that every unanswered exercise prints."""
    assert last_line(name, ...).startswith("No answer yet")


def test_the_articles_macs_are_torchs():
    """Oracle: torch.utils.flop_counter on the article's own network, an image of 16 × 16."""
    article = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(128 * 8 * 8, 1000),
        nn.Linear(1000, 10),
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        article(torch.zeros(1, 3, 16, 16))
    assert counter.get_total_flops() == 2 * sum(cost.ARTICLE_MACS)


def test_the_exact_cases_meet_the_ridge_exactly():
    """Oracle: the intensity in rational arithmetic, at the batch and at the one before it."""
    for (inputs, outputs, ridge), batch in cost_batch.EXACT_CASES.items():
        weights, activations = inputs * outputs, inputs + outputs
        exact = [
            Fraction(2 * n * weights, 4 * (weights + n * activations)) for n in (batch - 1, batch)
        ]
        assert exact[0] < Fraction(ridge) == exact[1]


@given(batch=st.integers(2, 10**4))
@example(batch=1500)
@example(batch=1600)
def test_a_batch_is_right_for_the_limit_submitted_with_it(batch):
    """Oracle: the definition of the first batch, with the limit that makes it so."""
    limit = cost.lenet300_intensity(batch) / 0.9
    near = abs(limit - cost.LENET300_LIMIT) < 0.0099 * cost.LENET300_LIMIT
    far = abs(limit - cost.LENET300_LIMIT) > 0.0101 * cost.LENET300_LIMIT
    passed = examine(EXERCISES["cost-intensity-limit"], [limit, batch]).passed
    assert passed or not near
    assert not passed or not far


def test_the_batches_are_those_found_by_trying():
    """Oracle: brute force over batches and shapes."""
    shapes = [(1, 1), (3, 50), (64, 64), (784, 300)]
    for ridge in (0.1, 0.25, 1.0, 12.0):
        for inputs, outputs in shapes:
            intensity = partial(_intensity, inputs=inputs, outputs=outputs)
            tried = next((n for n in range(1, 3000) if intensity(n) >= ridge), None)
            assert cost_batch.smallest_batch(inputs, outputs, ridge) == tried


def test_the_limit_and_its_batch_are_lenet300s():
    """Oracle: the package's own count of LeNet300 at a very large batch, and batch by batch."""
    lenet = model_cost(LeNet300(), (1, 28, 28))
    assert lenet.intensity(10**9) == pytest.approx(cost.LENET300_LIMIT, rel=1e-6)
    first = next(n for n in range(1, 3000) if lenet.intensity(n) >= 0.9 * cost.LENET300_LIMIT)
    assert first == cost.LENET300_BATCH


def _intensity(batch, *, inputs, outputs):
    weights = inputs * outputs
    return 2 * batch * weights / (4 * (weights + batch * (inputs + outputs)))
