"""The checkers of chapter 01: right answers pass, each wrong one is told what is wrong."""

import math
import sys
from bisect import bisect_left
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exercises import report
from exercises.chapters import cost
from reference_impl.measuring import model_cost
from reference_impl.models import LeNet300
from tests.exercises.claims import judged

MACS = [442_368, 18_874_368, 8_192_000, 10_000]


def intensity(batch, inputs, outputs):
    weights = inputs * outputs
    return 2 * batch * weights / (4 * (weights + batch * (inputs + outputs)))


def by_formula(inputs, outputs, ridge):
    weights = inputs * outputs
    room = weights - 2 * ridge * (inputs + outputs)
    return math.ceil(2 * ridge * weights / room) if room > 0 else None


def by_bisection(inputs, outputs, ridge):
    batches = range(1, 2**30)
    place = bisect_left(batches, ridge, key=lambda n: intensity(n, inputs, outputs))
    return batches[place] if place < len(batches) else None


def by_fractions(batch, inputs, outputs):
    values = Fraction(1, outputs) + Fraction(1, inputs)
    return float(1 / (2 * (Fraction(1, batch) + values)))


def tried(most):
    """Return the answer that tries the batches below ``most`` one after the other."""
    return lambda *layer_and_ridge: next(
        (n for n in range(1, most) if intensity(n, *layer_and_ridge[:2]) >= layer_and_ridge[2]),
        None,
    )


RIGHT = {
    "cost-article": [MACS],
    "cost-batch": [by_formula, cost.smallest_batch, by_bisection],
    "cost-limit": [[2 * 266_200 / (4 * 1594), 1506], [83.5, 1506.0], [83.2, 1506]],
    "cost-bug": [intensity, by_fractions],
    "cost-separable": [[37_748_736, 4_784_128, 112.39, 8.965], [37_748_736, 4_784_128, 112, 9]],
}


def wrong_at(case, instead):
    """Return the reference, except in one case."""
    return lambda *asked: instead if asked == case else cost.smallest_batch(*asked)


WRONG = {
    "cost-article": [
        ({0: 1_728, 1: 73_728}, "These are the weights"),
        ([1_792, 73_856, 8_193_000, 10_010], "parameters, biases"),
        ([2 * count for count in MACS], "operations"),
        ({0: 147_456, 1: 294_912}, "input channels"),
        ({0: 147_456}, "three channels"),
        ({1: 4_718_592}, "after conv2"),
        ({0: 338_688, 1: 10_616_832}, "padding"),
        ({0: 499_392, 1: 21_307_392}, "17 × 17"),
        ({0: 1_354_752, 1: 57_802_752}, "image is larger"),
        ({0: 1_769_472, 1: 75_497_472}, "image is larger"),
        ([458_752, 18_907_136, 8_193_000, 10_010], "The biases"),
        ({0: MACS[0] + 1}, "conv1: how many", "conv1"),
        ({1: 1}, "conv2: how many", "conv2"),
        ({2: MACS[2] + 1}, "fc1: how many", "fc1"),
        ({3: MACS[3] + 1}, "fc2: how many", "fc2"),
    ],
    "cost-batch": [
        (lambda _i, _o, ridge: math.ceil(2 * ridge), "input and the output"),
        (lambda i, o, ridge: by_formula(i, o, 2 * ridge), "counts MACs"),
        (lambda i, o, ridge: by_formula(i, o, ridge / 4), "four bytes"),
        ({"ceil": "floor"}, "One too small"),
        ({"math.ceil": "1 + math.floor"}, "One too large"),
        ({"ridge * weights": "ridge * (weights + outputs)"}, "has no bias"),
        ({"room > 0": "room >= 0"}, "divide by zero"),
        (tried(10_000), "exactly 1 FLOP/byte"),
        (wrong_at((4, 4, 1.0), math.inf), "at no batch", "None where the ridge"),
        ({"else None": "else math.inf"}, "never exceeds"),
        (lambda *_: 7, "the one before it"),
        (wrong_at((784, 300, 10.0), 24), "the first must reach", "784 → 300"),
        (wrong_at((300, 100, 20.0), 87), "the first must reach", "300 → 100"),
        (wrong_at((1024, 1024, 12.5), 28), "the first must reach", "1024 → 1024"),
        (wrong_at((8, 8, 1.0), 5), "at batch 4", "a batch exactly"),
        (wrong_at((1024, 1024, 255.75), None), "at batch 523,776", "a batch exactly"),
        (wrong_at((100, 10, 20.0), 10**9), "never exceeds", "None where no batch"),
    ],
    "cost-limit": [
        ([41.75, 1506], "half the limit"),
        ([334, 1506], "per value"),
        ([111.47, 1506], "counted once"),
        ([23.11, 1506], "batch 64"),
        ([83.5, 168], "half of the limit"),
        ([83.5, 1420], "nine times as many", "the first batch"),
        ([71.47, 1506], "64 or 1000"),
        ([84.4, 1506], "no longer count", "the limit"),
    ],
    "cost-bug": [
        ({"2 * batch": "batch"}, "two operations", "the intensity of one", "the intensity of a b"),
        (lambda n, i, o: intensity(n, i, o) * (n > 1), "over 945,136", "the intensity of one"),
        (
            {"(weights + batch * (": "batch * (weights + ("},
            "once for the whole",
            "the intensity of a",
        ),
        ({"2 * batch * weights": "2 * weights"}, "How often", "the intensity of a batch"),
    ],
    "cost-separable": [
        ({0: 589_824}, "windows of 3 × 3", "MACs of the ordinary"),
        ({1: 4_194_304}, "With 64 groups", "MACs of the pair"),
        ({2: 60.0}, "Four bytes", "FLOP/byte of the ordinary"),
        ({3: 11.0}, "before you divide", "FLOP/byte of the pair"),
        ({3: 17.63}, "between the two layers", "FLOP/byte of the pair"),
        ({2: 56.2, 3: 4.48}, "MACs for each byte", "FLOP/byte of the ord", "FLOP/byte of the pair"),
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


def test_the_separable_pair_is_counted_as_torch_and_the_package_count_it():
    """Oracle: torch.utils.flop_counter for the MACs, the package's count for the bytes."""
    whole = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)
    pair = nn.Sequential(depthwise, nn.Conv2d(64, 64, 1, bias=False))
    for place, network in enumerate((whole, pair)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 64, 32, 32))
        assert counter.get_total_flops() == 2 * cost.SEPARABLE[place]
        counted = model_cost(network, (64, 32, 32))
        assert counted.intensity(1) == pytest.approx(cost.SEPARABLE[2 + place])


def test_the_batches_are_those_found_by_trying():
    """Oracle: brute force over batches and shapes."""
    shapes = [(1, 1), (3, 50), (64, 64), (784, 300)]
    for ridge in (0.1, 0.25, 1.0, 12.0):
        for inputs, outputs in shapes:
            found = cost.smallest_batch(inputs, outputs, ridge)
            assert found == tried(3000)(inputs, outputs, ridge)


def test_the_limit_and_its_batch_are_lenet300s():
    """Oracle: the package's own count of LeNet300 at a very large batch, and batch by batch."""
    lenet = model_cost(LeNet300(), (1, 28, 28))
    assert lenet.intensity(10**9) == pytest.approx(cost.LENET300_LIMIT, rel=1e-6)
    first = next(n for n in range(1, 3000) if lenet.intensity(n) >= 0.9 * cost.LENET300_LIMIT)
    assert first == cost.LENET300_BATCH


def test_a_debuggers_trace_survives_an_examination():
    """Oracle: the trace function set before."""
    before, trace = sys.gettrace(), mock.Mock(return_value=None)
    sys.settrace(trace)
    report("cost-batch", cost.smallest_batch)
    after = sys.gettrace()
    sys.settrace(before)
    assert after is trace


def test_widths_of_numpy_do_not_overflow():
    """Oracle: Python's integers."""
    found = cost.smallest_batch(np.int8(100), np.int8(100), 1.0)
    assert found == cost.smallest_batch(100, 100, 1.0) == 3
