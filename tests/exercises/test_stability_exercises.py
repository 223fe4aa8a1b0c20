"""Every checker of chapter 13 accepts right answers, and names wrong ones."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from exercises.stability import smallest_threshold
from reference_impl import pruning
from tests.exercises.claims import judged, spoiling


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
    return pruning.stable_units(pruning.choose_highest(scores, q), threshold)


RIGHT = {
    "stability-numbers": [[0.8, 0.5, 5, 12]],
    "stability-stable": [
        by_scatter,
        by_numpy,
        by_lists,
        by_package,
        lambda *a: by_scatter(*a).int(),
    ],
    "stability-threshold": [0.46],
}


def mean_first(scores, q, _):
    return pruning.choose_highest(scores.mean(dim=0), q)


def by_column(scores, q, threshold):
    chosen = torch.zeros(scores.shape, dtype=torch.float64)
    chosen.scatter_(0, scores.topk(min(q, len(scores)), dim=0).indices, 1)
    return chosen.mean(dim=0) >= threshold - 1e-9


def counted(enough):
    """Return the choice by a comparison of each unit's count with B π."""
    return lambda scores, q, threshold: enough(
        pruning.choose_highest(scores, q).double().sum(dim=0), threshold * len(scores)
    )


strictly_more = counted(lambda count, needed: count > needed + 1e-7)
rounded_up = counted(lambda count, needed: count >= math.ceil(needed))

WRONG = {
    "stability-numbers": [
        ([4, 0.5, 5, 12], "not their share", "unit 1"),
        ([0.4, 0.5, 5, 12], "number of halves, 5", "unit 1"),
        ([0.8, 1 / math.sqrt(6), 5, 12], "B − 1", "the coefficient"),
        ([0.8, 1, 5, 12], "variance over the mean", "the coefficient"),
        ([0.8, 2, 5, 12], "That is the deviation", "the coefficient"),
        ([0.8, 0.5, 2, 12], "left 2π − 1 out", "the bound"),
        ([0.8, 0.5, 400 / 140, 12], "instead of 2π − 1", "the bound"),
        ([0.8, 0.5, 0.25, 12], "did not square", "the bound"),
        ([0.8, 0.5, 5, math.sqrt(160)], "whole number", "the largest q"),
        ([0.8, 0.5, 5, 13], "rounded up", "the largest q"),
        ([0.8, 0.5, 5, 8], "v = 2", "the largest q"),
    ],
    "stability-stable": [
        (lambda s, *rest: by_scatter(-s, *rest), "lowest", "of random", "a share", "55 of"),
        (lambda scores, *rest: by_scatter(scores.abs(), *rest), "with their sign", "of random"),
        (mean_first, "chose once", "of random", "a share", "55 of"),
        (strictly_more, "at least is enough", "a share", "55 of"),
        (counted(torch.ge), "forgiving", "55 of"),
        (rounded_up, "forgiving", "55 of"),
        (spoiling(by_package), "a new one", "the scores"),
        (by_column, "column"),
        (lambda *_: 3, "one truth a unit"),
        (lambda scores, *_: scores > 0, "the shape"),
        (lambda scores, *_: scores.mean(dim=0), "other numbers"),
    ],
    "stability-threshold": [
        (23, "divide it by 50", "and at"),
        (0.44, "sf(k − 1)", "at this"),
        (smallest_threshold(units=1), "multiply by p", "at this"),
        (smallest_threshold(samples=100), "50 pairs", "at this"),
        (0.52, "above a half only", "and at"),
        (0.6, "Go down", "and at"),
        (0.2, "300 · P", "at this"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


@pytest.mark.parametrize("samples", [20, 50, 100])
def test_the_smallest_threshold_is_scipys(samples):
    """Oracle: SciPy's binomial tail, on both sides of the answer."""
    k = round(samples * smallest_threshold(samples=samples))
    law = stats.binom(samples, 60 / 300)
    assert 300 * law.sf(k - 1) < 0.01 <= 300 * law.sf(k - 2)


def test_the_numbers_by_hand_are_the_packages():
    """Oracle: the package's frequency, variation, bound and choice."""
    chosen = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]
    assert pruning.selection_frequency(torch.tensor(chosen).bool())[1].item() == pytest.approx(0.8)
    scores = torch.tensor([[2.0], [4.0], [6.0]])
    assert pruning.coefficient_of_variation(scores).item() == pytest.approx(0.5)
    assert pruning.false_selections_bound(20, 200, 0.7) == pytest.approx(5)
    assert pruning.largest_choice(200, 0.7, 2.0) == 12
