"""Every checker of chapter 13 accepts right answers, and names wrong ones."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from exercises import report
from exercises.stability import smallest_threshold
from reference_impl.pruning import choose_highest, stable_units
from tests.exercises.claims import assert_failed


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


@pytest.mark.parametrize(
    ("name", "answer"),
    [
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
    ],
)
def test_right_answers_pass(name, answer):
    found = report(name, answer)
    assert found.passed, found.lines


@pytest.mark.parametrize("samples", [20, 50, 100])
def test_the_smallest_threshold_is_scipys(samples):
    """Oracle: SciPy's binomial tail, on both sides of the answer."""
    k = round(samples * smallest_threshold(samples=samples))
    law = stats.binom(samples, 60 / 300)
    assert 300 * law.sf(k - 1) < 0.01 <= 300 * law.sf(k - 2)


@pytest.mark.parametrize(
    ("answer", "starts"),
    [
        ([4, 0.5, 5, 12], ["unit 1"]),
        ([0.8, 1 / math.sqrt(6), 5, 12], ["the coefficient"]),
        ([0.8, 0.5, 2, 12], ["the bound"]),
        ([0.8, 0.5, 5, 13], ["the largest q"]),
        ([0.8, 0.5, 5, math.sqrt(160)], ["the largest q"]),
        ([0, 0, 0, 0], ["unit 1", "the coefficient", "the bound", "the largest q"]),
    ],
)
def test_each_number_has_its_claim(answer, starts):
    assert_failed("stability-numbers", answer, starts)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([4, 0.5, 5, 12], "not their share"),
        ([0.4, 0.5, 5, 12], "number of halves, 5"),
        ([0.8, 1 / math.sqrt(6), 5, 12], "B − 1"),
        ([0.8, 1, 5, 12], "variance over the mean"),
        ([0.8, 2, 5, 12], "That is the deviation"),
        ([0.8, 0.5, 2, 12], "left 2π − 1 out"),
        ([0.8, 0.5, 400 / 140, 12], "instead of 2π − 1"),
        ([0.8, 0.5, 0.25, 12], "did not square"),
        ([0.8, 0.5, 5, math.sqrt(160)], "whole number"),
        ([0.8, 0.5, 5, 13], "rounded up"),
        ([0.8, 0.5, 5, 8], "v = 2"),
    ],
)
def test_typical_wrong_numbers_are_named(answer, says):
    assert says in report("stability-numbers", answer).lines[-1]


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


@pytest.mark.parametrize(
    ("answer", "starts", "says"),
    [
        (lowest, ["of random", "a share", "55 of"], "lowest"),
        (by_magnitude, ["of random"], "with their sign"),
        (mean_first, ["of random", "a share", "55 of"], "chose once"),
        (strictly_more, ["of random", "a share", "55 of"], "at least is enough"),
        (unforgiving, ["55 of"], "forgiving"),
        (rounded_up, ["55 of"], "forgiving"),
        (in_place, ["the scores"], "a new one"),
    ],
)
def test_typical_wrong_functions_are_named(answer, starts, says):
    assert_failed("stability-stable", answer, starts)
    assert says in report("stability-stable", answer).lines[-1]


def test_choosing_in_columns_is_named():
    assert "column" in report("stability-stable", by_column).lines[-1]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda *_: 3, "one truth a unit"),
        (lambda scores, *_: scores > 0, "the shape"),
        (lambda scores, *_: scores.mean(dim=0), "other numbers"),
        (lambda *_: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_is_no_mask_is_said(answer, says):
    found = report("stability-stable", answer)
    assert not found.passed
    assert says in found.lines[-1]


@pytest.mark.parametrize(
    ("answer", "starts", "says"),
    [
        (23, ["and at"], "divide it by 50"),
        (0.44, ["at this"], "sf(k − 1)"),
        (smallest_threshold(units=1), ["at this"], "multiply by p"),
        (smallest_threshold(samples=100), ["at this"], "50 pairs"),
        (0.52, ["and at"], "above a half only"),
        (0.6, ["and at"], "Go down"),
        (0.2, ["at this"], "300 · P"),
    ],
)
def test_wrong_thresholds_are_named(answer, starts, says):
    assert_failed("stability-threshold", answer, starts)
    assert says in report("stability-threshold", answer).lines[-1]
