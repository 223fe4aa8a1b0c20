"""The checkers of chapter 20 accept right answers, and name wrong ones."""

import itertools

import numpy as np
import pytest
import torch

from exercises.chapters import order
from reference_impl import quantization
from reference_impl.measuring import order_gap, swap_gain
from reference_impl.pruning import keep_highest
from reference_impl.training import load_checkpoint
from tests.exercises.claims import judged


def by_pairs(n_bytes, accuracies):
    return [
        not any(
            b <= n_bytes[i] and a >= accuracies[i] and (b < n_bytes[i] or a > accuracies[i])
            for b, a in zip(n_bytes, accuracies, strict=True)
        )
        for i in range(len(n_bytes))
    ]


def by_sorting(n_bytes, accuracies):
    found, best, smallest = [False] * len(n_bytes), float("-inf"), None
    for i in sorted(range(len(n_bytes)), key=lambda i: (n_bytes[i], -accuracies[i])):
        if accuracies[i] > best:
            best, smallest = accuracies[i], n_bytes[i]
        found[i] = (n_bytes[i], accuracies[i]) == (smallest, best)
    return found


RIGHT = {
    "order-hand": [[0.3, 0.0, 0.3, 0.25]],
    "order-predict": [list(order.COMMUTES)],
    "order-bug": [[1 / 3, 0.0], [0.333, 0]],
    "order-front": [by_pairs, by_sorting],
    "order-rank": [0.218, 0.22],
}

WRONG = {
    "order-hand": [
        ([-0.5, 0, 0.3, 0.25], "forgot to mask", "prune, then merge"),
        ([0.0, 0.3, 0.3, 0.25], "swapped the two orders", "prune, then merge", "merge, then prune"),
        ([0.3, 0, 0.214, 0.25], "sum of |w|", "the gap of prune"),
        ([0.3, 0, 0.3, 0.0], "once more", "the gap of round"),
        ([0.3, 0, 0.3, 0.5], "once more", "the gap of round"),
        ([0.3, 0.1, 0.3, 0.25], "acts last", "merge, then prune"),
    ],
    "order-predict": [
        ([1 - c for c in order.COMMUTES], "1 is for no gap"),
        ({1: 1}, "no code for 0", "pair 2"),
        ({3: 1}, "multiple of the step", "pair 4"),
        ({5: 0}, "step doubles", "pair 6"),
        ({0: 2}, "1 for a pair", "each answer", "pair 1"),
    ],
    "order-bug": [
        ([-1 / 3, 0], "the other way round", "what the colleague"),
        ([2 / 3, 0], "subtract that of the others", "what the colleague"),
        ([1, 0], "the pair is a and c", "what the colleague"),
        ([1 / 3, 1 / 3], "in both orders, or in neither", "the gain of the swap"),
    ],
    "order-front": [
        ({"b <= n": "b < n", "a >= acc": "a > acc"}, "equals in one", "ties"),
        ({"b <= n": "b >= n", "b < n": "b > n"}, "fewer are better"),
        (lambda b, a: [x == max(a) for x in a], "only the highest"),
        (lambda b, a: [True], "must return"),
        (lambda b, a: [False] * len(b), "that is alone"),
    ],
    "order-rank": [
        (order.MASK_ANEW, "once, from W"),
        (order.TRUNCATED, "alone loses"),
        (0.5, "chosen once"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_gap_of_a_lower_rank_is_measured():
    """Oracle: NumPy's singular vectors, and the two wrong ways."""
    W = load_checkpoint("lenet300").get_parameter("fc2.weight").detach()
    mask = keep_highest(W.abs(), share=0.5)

    def low_rank(w):
        left, s, right = map(torch.from_numpy, np.linalg.svd(w.numpy()))
        return (left[:, :25] * s[:25]) @ right[:25]

    assert order_gap(W, low_rank, lambda w: w * mask) == pytest.approx(order.RANK_GAP, abs=1e-3)
    anew = order_gap(W, low_rank, lambda w: w * keep_highest(w.abs(), share=0.5))
    assert anew == pytest.approx(order.MASK_ANEW, abs=1e-3)
    lost = (W - low_rank(W)).norm() / W.norm()
    assert lost.item() == pytest.approx(order.TRUNCATED, abs=1e-3)


def test_the_pairs_that_commute_have_no_gap():
    """Oracle: the operations themselves, on random weights."""
    w = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    grid = quantization.IntegerGrid(3, signed=True, narrow=True)
    fixed = quantization.symmetric_from_range(w.min(), w.max(), grid).round_trip
    ends = quantization.min_max_quantizer(w, 3).round_trip
    mask, U = w.abs() > 0.5, torch.rand(6, 3, generator=torch.Generator().manual_seed(1))

    def own_step(x):
        return quantization.symmetric_from_range(x.min(), x.max(), grid).round_trip(x)

    pairs = [
        (lambda x: x * mask, fixed),
        (lambda x: x * mask, ends),
        (lambda x: x[:, ::2], fixed),
        (lambda x: x @ U, fixed),
        (torch.relu, fixed),
        (lambda x: 2 * x, own_step),
    ]
    found = [order_gap(w, *pair) for pair in pairs]
    assert [gap < 1e-7 for gap in found] == [bool(c) for c in order.COMMUTES]


def test_the_contrast_of_a_pair_without_a_gain_is_a_third():
    """Oracle: all six orders of three stages."""
    values = {o: float(o.index("a") < o.index("b")) for o in itertools.permutations("abc")}
    first = [v for o, v in values.items() if o.index("a") < o.index("c")]
    rest = [v for o, v in values.items() if o.index("a") > o.index("c")]
    assert sum(first) / 3 - sum(rest) / 3 == pytest.approx(order.CONTRAST[0])
    assert swap_gain(values, "a", "c") == order.CONTRAST[1]
