"""Each claim of chapter 01's exercises can fail alone; the references refuse bad arguments."""

import math
import sys

import numpy as np
import pytest
from claims import assert_failed

from exercises import cost, cost_batch, report

MACS = [442_368, 18_874_368, 8_192_000, 10_000]


def off_by_one(index):
    return [macs + (place == index) for place, macs in enumerate(MACS)]


def wrong_at(case, instead):
    """Return the reference but for one case."""
    return lambda *asked: instead if asked == case else cost_batch.smallest_batch(*asked)


def never_one_million(inputs, outputs, ridge):
    batch = cost_batch.smallest_batch(inputs, outputs, ridge)
    return None if batch is not None and batch > 10_000 else batch


@pytest.mark.parametrize(
    ("name", "answer", "failed"),
    [
        ("cost-article-macs", off_by_one(0), "conv1"),
        ("cost-article-macs", off_by_one(1), "conv2"),
        ("cost-article-macs", off_by_one(2), "fc1"),
        ("cost-article-macs", off_by_one(3), "fc2"),
        ("cost-intensity-limit", [84.4, 1506], "the limit"),
        ("cost-intensity-limit", [83.5, 1505], "the first batch"),
        ("cost-smallest-batch", wrong_at((784, 300, 10.0), 24), "784 → 300"),
        ("cost-smallest-batch", wrong_at((300, 100, 20.0), 87), "300 → 100"),
        ("cost-smallest-batch", wrong_at((1024, 1024, 12.5), 28), "1024 → 1024"),
        ("cost-smallest-batch", wrong_at((8, 8, 1.0), 5), "a batch exactly"),
        ("cost-smallest-batch", never_one_million, "a batch exactly"),
        ("cost-smallest-batch", wrong_at((100, 10, 20.0), 10**9), "None where no batch"),
        ("cost-smallest-batch", wrong_at((4, 4, 1.0), math.inf), "None where the ridge"),
    ],
)
def test_each_claim_is_failed_by_its_own_wrong_answer(name, answer, failed) -> None:
    """Oracle: right answers with one thing wrong."""
    assert_failed(name, answer, [failed])


def test_a_debuggers_trace_survives_an_examination() -> None:
    """Oracle: the trace function set before."""
    before = sys.gettrace()

    def trace(*_):
        return None

    sys.settrace(trace)
    try:
        report("cost-smallest-batch", cost_batch.smallest_batch)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)


def test_widths_of_numpy_do_not_overflow() -> None:
    """Oracle: Python's integers."""
    found = cost_batch.smallest_batch(np.int8(100), np.int8(100), 1.0)
    assert found == cost_batch.smallest_batch(100, 100, 1.0) == 3


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (cost_batch.smallest_batch, (0, 1, 1.0), ValueError, "inputs must be at least 1"),
        (cost_batch.smallest_batch, (1, 1.0, 1.0), TypeError, "outputs must be an integer"),
        (cost_batch.smallest_batch, (1, 1, 0.0), ValueError, "ridge must be in"),
        (cost_batch.smallest_batch, (1, 1, math.nan), ValueError, "ridge must be finite"),
        (cost.lenet300_intensity, (0,), ValueError, "batch must be at least 1"),
        (cost.lenet300_intensity, (1.5,), TypeError, "batch must be an integer"),
    ],
)
def test_bad_arguments_are_named(function, arguments, error, message) -> None:
    """Oracle: the argument's name in the message."""
    with pytest.raises(error, match=message):
        function(*arguments)
