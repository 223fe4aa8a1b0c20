"""The checkers of chapter 01: right answers pass, each wrong one is told what is wrong."""

import math
import sys
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
from tests.exercises.claims import advised, crossed, passing

MACS = [442_368, 18_874_368, 8_192_000, 10_000]


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


RIGHT = [
    ("cost-article-macs", MACS),
    ("cost-article-macs", np.array(MACS)),
    ("cost-article-macs", torch.tensor(MACS)),
    ("cost-smallest-batch", cost.smallest_batch),
    ("cost-smallest-batch", by_formula),
    ("cost-smallest-batch", by_trying),
    ("cost-intensity-limit", [2 * 266_200 / (4 * 1594), 1506]),
    ("cost-intensity-limit", (83.5, 1506.0)),
    ("cost-intensity-limit", [83.0, 1420]),
]


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


WRONG = [
    ("cost-article-macs", [1_728, 73_728, 8_192_000, 10_000], "These are the weights"),
    ("cost-article-macs", [1_792, 73_856, 8_193_000, 10_010], "parameters, biases"),
    ("cost-article-macs", [884_736, 37_748_736, 16_384_000, 20_000], "operations"),
    ("cost-article-macs", [147_456, 294_912, 8_192_000, 10_000], "input channels"),
    ("cost-article-macs", [147_456, 18_874_368, 8_192_000, 10_000], "three channels"),
    ("cost-article-macs", [442_368, 4_718_592, 8_192_000, 10_000], "after conv2"),
    ("cost-article-macs", [338_688, 10_616_832, 8_192_000, 10_000], "padding"),
    ("cost-article-macs", [499_392, 21_307_392, 8_192_000, 10_000], "17 × 17"),
    ("cost-article-macs", [1_354_752, 57_802_752, 8_192_000, 10_000], "28 × 28"),
    ("cost-article-macs", [1_769_472, 75_497_472, 8_192_000, 10_000], "32 × 32"),
    ("cost-article-macs", [458_752, 18_907_136, 8_193_000, 10_010], "The biases"),
    ("cost-article-macs", [442_368, 1, 8_192_000, 10_000], "conv2"),
    ("cost-article-macs", [442_368], "has 4 numbers"),
    ("cost-article-macs", "many", "list of 4 numbers"),
    ("cost-article-macs", [442_368, "18,874,368", 8_192_000, 10_000], "Entry 2 is not a number"),
    ("cost-smallest-batch", lambda _i, _o, ridge: math.ceil(2 * ridge), "input and the output"),
    ("cost-smallest-batch", lambda i, o, ridge: by_formula(i, o, 2 * ridge), "counts MACs"),
    ("cost-smallest-batch", lambda i, o, ridge: by_formula(i, o, ridge / 4), "four bytes"),
    (
        "cost-smallest-batch",
        lambda i, o, ridge: (by_formula(i, o, ridge) or 0) - 1,
        "One too small",
    ),
    ("cost-smallest-batch", strictly_above, "One too large"),
    ("cost-smallest-batch", with_bias, "has no bias"),
    ("cost-smallest-batch", endless, "Solve for n"),
    ("cost-smallest-batch", endless_only_where_none, "still running"),
    ("cost-smallest-batch", touching, "divide by zero"),
    ("cost-smallest-batch", up_to_ten_thousand, "exactly 1 FLOP/byte"),
    ("cost-smallest-batch", infinite_at_the_limit, "at no batch"),
    (
        "cost-smallest-batch",
        lambda i, o, ridge: by_formula(i, o, ridge) or math.inf,
        "never exceeds",
    ),
    ("cost-smallest-batch", lambda *_: 7, "the one before it"),
    ("cost-smallest-batch", lambda *_: 1 / 0, "division by zero"),
    ("cost-smallest-batch", 23, "the function itself"),
    ("cost-intensity-limit", [41.75, 1506], "half the limit"),
    ("cost-intensity-limit", [334, 1506], "per value"),
    ("cost-intensity-limit", [111.47, 1506], "counted once"),
    ("cost-intensity-limit", [23.11, 1506], "batch 64"),
    ("cost-intensity-limit", [83.5, 168], "half of the limit"),
    ("cost-intensity-limit", [83.5, 1505], "Try batches near"),
    ("cost-intensity-limit", [71.47, 1506], "batch 1000"),
    ("cost-intensity-limit", [0.5, 1506], "no longer count"),
    ("cost-intensity-limit", [83.5], "has 2 numbers"),
]


def off_by_one(index):
    return [macs + (place == index) for place, macs in enumerate(MACS)]


def wrong_at(case, instead):
    """Return the reference but for one case."""
    return lambda *asked: instead if asked == case else cost.smallest_batch(*asked)


def never_one_million(inputs, outputs, ridge):
    batch = cost.smallest_batch(inputs, outputs, ridge)
    return None if batch is not None and batch > 10_000 else batch


CLAIMS = [
    ("cost-article-macs", off_by_one(0), ["conv1"]),
    ("cost-article-macs", off_by_one(1), ["conv2"]),
    ("cost-article-macs", off_by_one(2), ["fc1"]),
    ("cost-article-macs", off_by_one(3), ["fc2"]),
    ("cost-intensity-limit", [84.4, 1506], ["the limit"]),
    ("cost-intensity-limit", [83.5, 1505], ["the first batch"]),
    ("cost-smallest-batch", wrong_at((784, 300, 10.0), 24), ["784 → 300"]),
    ("cost-smallest-batch", wrong_at((300, 100, 20.0), 87), ["300 → 100"]),
    ("cost-smallest-batch", wrong_at((1024, 1024, 12.5), 28), ["1024 → 1024"]),
    ("cost-smallest-batch", wrong_at((8, 8, 1.0), 5), ["a batch exactly"]),
    ("cost-smallest-batch", never_one_million, ["a batch exactly"]),
    ("cost-smallest-batch", wrong_at((100, 10, 20.0), 10**9), ["None where no batch"]),
    ("cost-smallest-batch", wrong_at((4, 4, 1.0), math.inf), ["None where the ridge"]),
]


test_right_answers_pass = passing(RIGHT)
test_wrong_answers_are_named = advised(WRONG)
test_each_claim_can_fail = crossed(CLAIMS)


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
            intensity = partial(_intensity, inputs=inputs, outputs=outputs)
            tried = next((n for n in range(1, 3000) if intensity(n) >= ridge), None)
            assert cost.smallest_batch(inputs, outputs, ridge) == tried


def test_the_limit_and_its_batch_are_lenet300s():
    """Oracle: the package's own count of LeNet300 at a very large batch, and batch by batch."""
    lenet = model_cost(LeNet300(), (1, 28, 28))
    assert lenet.intensity(10**9) == pytest.approx(cost.LENET300_LIMIT, rel=1e-6)
    first = next(n for n in range(1, 3000) if lenet.intensity(n) >= 0.9 * cost.LENET300_LIMIT)
    assert first == cost.LENET300_BATCH


def _intensity(batch, *, inputs, outputs):
    weights = inputs * outputs
    return 2 * batch * weights / (4 * (weights + batch * (inputs + outputs)))


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


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (cost.smallest_batch, (0, 1, 1.0), ValueError, "inputs must be at least 1"),
        (cost.smallest_batch, (1, 1.0, 1.0), TypeError, "outputs must be an integer"),
        (cost.smallest_batch, (1, 1, 0.0), ValueError, "ridge must be above 0"),
        (cost.smallest_batch, (1, 1, math.nan), ValueError, "ridge must be finite"),
        (cost.lenet300_intensity, (0,), ValueError, "batch must be at least 1"),
        (cost.lenet300_intensity, (1.5,), TypeError, "batch must be an integer"),
    ],
)
def test_bad_arguments_are_named(function, arguments, error, message) -> None:
    """Oracle: the argument's name in the message."""
    with pytest.raises(error, match=message):
        function(*arguments)
