"""The checkers of chapter 01: right answers pass, each wrong one is told what is wrong."""

import math
import sys
from bisect import bisect_left
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exercises import cost, report
from reference_impl.measuring import model_cost
from reference_impl.models import LeNet300
from tests.exercises.claims import judged

MACS = [442_368, 18_874_368, 8_192_000, 10_000]


def intensity(batch, *, inputs, outputs):
    weights = inputs * outputs
    return 2 * batch * weights / (4 * (weights + batch * (inputs + outputs)))


def by_formula(inputs, outputs, ridge, *, moved=0, touches=False):
    """Return the first batch; ``moved`` biases are read too, the limit itself counts or not."""
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    reached = room >= 0 if touches else room > 0
    return math.ceil(2 * ridge * (weights + moved) / room) if reached else None


def by_bisection(inputs, outputs, ridge):
    batches, reached = range(1, 2**30), partial(intensity, inputs=inputs, outputs=outputs)
    place = bisect_left(batches, ridge, key=reached)
    return batches[place] if place < len(batches) else None


RIGHT = {
    "cost-article-macs": [MACS],
    "cost-smallest-batch": [cost.smallest_batch, by_formula, by_bisection],
    "cost-intensity-limit": [[2 * 266_200 / (4 * 1594), 1506], [83.5, 1506.0], [83.0, 1420]],
}


def strictly_above(inputs, outputs, ridge):
    batch = by_formula(inputs, outputs, ridge)
    if batch is None:
        return None
    return batch + (intensity(batch, inputs=inputs, outputs=outputs) == ridge)


def up_to_ten_thousand(inputs, outputs, ridge):
    reached = partial(intensity, inputs=inputs, outputs=outputs)
    return next((batch for batch in range(1, 10_000) if reached(batch) >= ridge), None)


def endless(inputs, outputs, ridge, *, values=1e9):
    batch = 1
    while 2 * batch * inputs * outputs < ridge * 4 * (inputs * outputs + batch * values):
        batch += 1
    return batch


def macs(**changed):
    """Return the article's MACs with these layers changed."""
    return list((dict(zip(("conv1", "conv2", "fc1", "fc2"), MACS, strict=True)) | changed).values())


def wrong_at(case, instead):
    """Return the reference, except in one case."""
    return lambda *asked: instead if asked == case else cost.smallest_batch(*asked)


WRONG = {
    "cost-article-macs": [
        (macs(conv1=1_728, conv2=73_728), "These are the weights"),
        ([1_792, 73_856, 8_193_000, 10_010], "parameters, biases"),
        ([2 * count for count in MACS], "operations"),
        (macs(conv1=147_456, conv2=294_912), "input channels"),
        (macs(conv1=147_456), "three channels"),
        (macs(conv2=4_718_592), "after conv2"),
        (macs(conv1=338_688, conv2=10_616_832), "padding"),
        (macs(conv1=499_392, conv2=21_307_392), "17 × 17"),
        (macs(conv1=1_354_752, conv2=57_802_752), "28 × 28"),
        (macs(conv1=1_769_472, conv2=75_497_472), "32 × 32"),
        ([458_752, 18_907_136, 8_193_000, 10_010], "The biases"),
        (macs(conv1=MACS[0] + 1), "conv1: how many", "conv1"),
        (macs(conv2=1), "conv2: how many", "conv2"),
        (macs(fc1=MACS[2] + 1), "fc1: how many", "fc1"),
        (macs(fc2=MACS[3] + 1), "fc2: how many", "fc2"),
    ],
    "cost-smallest-batch": [
        (lambda _i, _o, ridge: math.ceil(2 * ridge), "input and the output"),
        (lambda i, o, ridge: by_formula(i, o, 2 * ridge), "counts MACs"),
        (lambda i, o, ridge: by_formula(i, o, ridge / 4), "four bytes"),
        (lambda i, o, ridge: (by_formula(i, o, ridge) or 0) - 1, "One too small"),
        (strictly_above, "One too large"),
        (lambda i, o, ridge: by_formula(i, o, ridge, moved=o), "has no bias"),
        (endless, "Solve for n"),
        (lambda i, o, ridge: endless(i, o, ridge, values=i + o), "still running"),
        (lambda i, o, ridge: by_formula(i, o, ridge, touches=True), "divide by zero"),
        (up_to_ten_thousand, "exactly 1 FLOP/byte"),
        (wrong_at((4, 4, 1.0), math.inf), "at no batch", "None where the ridge"),
        (lambda i, o, ridge: by_formula(i, o, ridge) or math.inf, "never exceeds"),
        (lambda *_: 7, "the one before it"),
        (wrong_at((784, 300, 10.0), 24), "the first must reach", "784 → 300"),
        (wrong_at((300, 100, 20.0), 87), "the first must reach", "300 → 100"),
        (wrong_at((1024, 1024, 12.5), 28), "the first must reach", "1024 → 1024"),
        (wrong_at((8, 8, 1.0), 5), "at batch 4", "a batch exactly"),
        (wrong_at((1024, 1024, 255.75), None), "at batch 523,776", "a batch exactly"),
        (wrong_at((100, 10, 20.0), 10**9), "never exceeds", "None where no batch"),
    ],
    "cost-intensity-limit": [
        ([41.75, 1506], "half the limit"),
        ([334, 1506], "per value"),
        ([111.47, 1506], "counted once"),
        ([23.11, 1506], "batch 64"),
        ([83.5, 168], "half of the limit"),
        ([83.5, 1505], "Try batches near", "the first batch"),
        ([71.47, 1506], "batch 1000"),
        ([84.4, 1506], "no longer count", "the limit"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


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
    for (inputs, outputs, ridge), batch in cost.EXACT_CASES.items():
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
    passed = report("cost-intensity-limit", [limit, batch]).passed
    assert passed or not near
    assert not passed or not far


def test_the_batches_are_those_found_by_trying():
    """Oracle: brute force over batches and shapes."""
    shapes = [(1, 1), (3, 50), (64, 64), (784, 300)]
    for ridge in (0.1, 0.25, 1.0, 12.0):
        for inputs, outputs in shapes:
            reached = partial(intensity, inputs=inputs, outputs=outputs)
            tried = next((n for n in range(1, 3000) if reached(n) >= ridge), None)
            assert cost.smallest_batch(inputs, outputs, ridge) == tried


def test_the_limit_and_its_batch_are_lenet300s():
    """Oracle: the package's own count of LeNet300 at a very large batch, and batch by batch."""
    lenet = model_cost(LeNet300(), (1, 28, 28))
    assert lenet.intensity(10**9) == pytest.approx(cost.LENET300_LIMIT, rel=1e-6)
    first = next(n for n in range(1, 3000) if lenet.intensity(n) >= 0.9 * cost.LENET300_LIMIT)
    assert first == cost.LENET300_BATCH


def test_a_debuggers_trace_survives_an_examination() -> None:
    """Oracle: the trace function set before."""
    before = sys.gettrace()

    def trace(*_):
        return None

    sys.settrace(trace)
    try:
        report("cost-smallest-batch", cost.smallest_batch)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)


def test_widths_of_numpy_do_not_overflow() -> None:
    """Oracle: Python's integers."""
    found = cost.smallest_batch(np.int8(100), np.int8(100), 1.0)
    assert found == cost.smallest_batch(100, 100, 1.0) == 3
