"""Every checker of chapter 13 accepts right answers, and names wrong ones."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from exercises.stability import smallest_threshold
from reference_impl.pruning import (
    choose_highest,
    coefficient_of_variation,
    false_selections_bound,
    largest_choice,
    selection_frequency,
    stable_units,
)
from tests.exercises.claims import advised, crossed, passing


def by_scatter(scores, q, threshold):
    chosen = torch.zeros(scores.shape, dtype=torch.float64)
    chosen.scatter_(1, scores.topk(q, dim=1).indices, 1)
    return chosen.sum(dim=0) >= threshold * len(scores) - 1e-6


def by_numpy(scores, q, threshold):
    ranks = np.argsort(np.argsort(-scores.numpy(), axis=1), axis=1)
    return (ranks < q).mean(axis=0) > threshold - 1e-6


def by_lists(scores, q, threshold):
    counts = [0] * scores.shape[1]
    for row in scores.tolist():
        for unit in sorted(range(len(row)), key=row.__getitem__)[-q:]:
            counts[unit] += 1
    return [round(100 * count / len(scores), 6) >= round(100 * threshold, 6) for count in counts]


def by_package(scores, q, threshold):
    return stable_units(choose_highest(scores, q), threshold)


def as_integers(scores, q, threshold):
    return by_scatter(scores, q, threshold).int()


RIGHT = [
    ("stability-numbers", [0.8, 0.5, 5, 12]),
    ("stability-numbers", (4 / 5, 1 / 2, 5.0, 12.0)),
    ("stability-numbers", np.array([0.8, 0.5, 5, 12])),
    ("stability-numbers", torch.tensor([0.8, 0.5, 5, 12])),
    ("stability-stable", by_scatter),
    ("stability-stable", by_numpy),
    ("stability-stable", by_lists),
    ("stability-stable", by_package),
    ("stability-stable", as_integers),
    ("stability-threshold", 0.46),
    ("stability-threshold", 23 / 50),
    ("stability-threshold", torch.tensor(0.46)),
]


@pytest.mark.parametrize("samples", [20, 50, 100])
def test_the_smallest_threshold_is_scipys(samples):
    """Oracle: SciPy's binomial tail, on both sides of the answer."""
    k = round(samples * smallest_threshold(samples=samples))
    law = stats.binom(samples, 60 / 300)
    assert 300 * law.sf(k - 1) < 0.01 <= 300 * law.sf(k - 2)


def lowest(scores, q, threshold):
    return by_scatter(-scores, q, threshold)


def by_magnitude(scores, q, threshold):
    return by_scatter(scores.abs(), q, threshold)


def mean_first(scores, q, threshold):  # noqa: ARG001 — the mistake
    return choose_highest(scores.mean(dim=0), q)


def by_column(scores, q, threshold):
    chosen = torch.zeros(scores.shape, dtype=torch.float64)
    chosen.scatter_(0, scores.topk(min(q, len(scores)), dim=0).indices, 1)
    return chosen.mean(dim=0) >= threshold - 1e-9


def strictly_more(scores, q, threshold):
    return choose_highest(scores, q).double().mean(dim=0) > threshold + 1e-9


def unforgiving(scores, q, threshold):
    return choose_highest(scores, q).double().sum(dim=0) >= threshold * len(scores)


def rounded_up(scores, q, threshold):
    return choose_highest(scores, q).sum(dim=0) >= math.ceil(threshold * len(scores))


def in_place(scores, q, threshold):
    chosen = choose_highest(scores, q)
    scores.copy_(chosen)
    return by_package(chosen.float(), q, threshold)


STABLE = [
    (lowest, ["of random", "a share", "55 of"], "lowest"),
    (by_magnitude, ["of random"], "with their sign"),
    (mean_first, ["of random", "a share", "55 of"], "chose once"),
    (strictly_more, ["a share", "55 of"], "at least is enough"),
    (unforgiving, ["55 of"], "forgiving"),
    (rounded_up, ["55 of"], "forgiving"),
    (in_place, ["the scores"], "a new one"),
]

NUMBERS = [
    ([4, 0.5, 5, 12], ["unit 1"], "not their share"),
    ([0.4, 0.5, 5, 12], ["unit 1"], "number of halves, 5"),
    ([0.8, 1 / math.sqrt(6), 5, 12], ["the coefficient"], "B − 1"),
    ([0.8, 1, 5, 12], ["the coefficient"], "variance over the mean"),
    ([0.8, 2, 5, 12], ["the coefficient"], "That is the deviation"),
    ([0.8, 0.5, 2, 12], ["the bound"], "left 2π − 1 out"),
    ([0.8, 0.5, 400 / 140, 12], ["the bound"], "instead of 2π − 1"),
    ([0.8, 0.5, 0.25, 12], ["the bound"], "did not square"),
    ([0.8, 0.5, 5, math.sqrt(160)], ["the largest q"], "whole number"),
    ([0.8, 0.5, 5, 13], ["the largest q"], "rounded up"),
    ([0.8, 0.5, 5, 8], ["the largest q"], "v = 2"),
]

THRESHOLDS = [
    (23, ["and at"], "divide it by 50"),
    (0.44, ["at this"], "sf(k − 1)"),
    (smallest_threshold(units=1), ["at this"], "multiply by p"),
    (smallest_threshold(samples=100), ["at this"], "50 pairs"),
    (0.52, ["and at"], "above a half only"),
    (0.6, ["and at"], "Go down"),
    (0.2, ["at this"], "300 · P"),
]

TABLES = {
    "stability-numbers": NUMBERS,
    "stability-stable": STABLE,
    "stability-threshold": THRESHOLDS,
}
CLAIMS = [(name, answer, starts) for name, rows in TABLES.items() for answer, starts, _ in rows]
WRONG = [
    *((name, answer, says) for name, rows in TABLES.items() for answer, _, says in rows),
    ("stability-stable", by_column, "column"),
    ("stability-stable", lambda *_: 3, "one truth a unit"),
    ("stability-stable", lambda scores, *_: scores > 0, "the shape"),
    ("stability-stable", lambda scores, *_: scores.mean(dim=0), "other numbers"),
    ("stability-stable", lambda *_: 1 / 0, "ZeroDivisionError"),
]

test_right_answers_pass = passing(RIGHT)
test_wrong_answers_are_named = advised(WRONG)
test_each_claim_can_fail = crossed(CLAIMS)


def test_the_numbers_by_hand_are_the_packages():
    """Oracle: the package's frequency, variation, bound and choice."""
    chosen = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]
    assert selection_frequency(torch.tensor(chosen).bool())[1].item() == pytest.approx(0.8)
    scores = torch.tensor([[2.0], [4.0], [6.0]])
    assert coefficient_of_variation(scores).item() == pytest.approx(0.5)
    assert false_selections_bound(20, 200, 0.7) == pytest.approx(5)
    assert largest_choice(200, 0.7, 2.0) == 12
