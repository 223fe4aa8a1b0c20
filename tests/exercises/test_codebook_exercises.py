"""Every checker of chapter 05 accepts right answers, names wrong ones, and each claim can fail."""

import numpy as np
import pytest
import torch

from exercises.codebook import layer_weights, least_size
from reference_impl.measuring import sqnr
from reference_impl.quantization import lloyd, optimal_codebook
from tests.exercises.claims import judged, spoiling


def looping_step(x, centroids):
    nearest = nearest_of(x, centroids)
    moved = centroids.clone()
    for k in range(len(centroids)):
        if (nearest == k).any():
            moved[k] = x[nearest == k].mean()
    return moved


def numpy_step(x, centroids):
    x, centroids = x.numpy(), centroids.numpy().copy()
    nearest = np.abs(x[:, None] - centroids).argmin(axis=1)
    for k in set(nearest.tolist()):
        centroids[k] = x[nearest == k].mean()
    return centroids


RIGHT = {
    "best-pair": [[4.6, 22], [22, 4.6]],
    "lloyd-step": [looping_step, numpy_step],
    "codebook-size": [7],
}


def nearest_of(x, centroids):
    return (x[:, None] - centroids).abs().argmin(dim=1)


def each(of, ks=lambda _, centroids: range(len(centroids)), places=nearest_of):
    """Return the step that moves these centroids to a number of their values."""

    def step(x, centroids):
        nearest = places(x, centroids)
        return torch.stack([of(x[nearest == k]) for k in ks(nearest, centroids)])

    return step


def below(x, centroids):
    return (torch.bucketize(x, centroids) - 1).clamp_min(0)


with_nan = each(torch.mean)
with_zero = each(lambda values: values.sum() / max(len(values), 1))
without_empty = each(torch.mean, ks=lambda nearest, _: nearest.unique())

WRONG = {
    "best-pair": [
        ([2, 13], "fixed point", "no other pair"),
        ([1, 22], "min–max"),
        ([3, 22], "medians"),
        ([4, 20], "Give each number to the nearer"),
        ([4.6, 21.8], "both must be means of theirs", "each value is the mean"),
    ],
    "lloyd-step": [
        (with_nan, "became nan"),
        (with_zero, "became 0", "a centroid without values"),
        (without_empty, "keep it, and do not divide"),
        (each(torch.median), "medians"),
        (each(torch.mean, places=below), "half-way"),
        (lambda _, centroids: centroids, "as they were"),
        (spoiling(looping_step, 1), "Work on new tensors", "x and centroids"),
    ],
    "codebook-size": [
        (3, "number of bits"),
        (4, "number of bits"),
        (16, "min–max rounding uses"),
        (8, "power of two"),
        (7.4, "Count the values", "the answer is a whole"),
        (6, "Measure", "this many values"),
        (9, "smaller codebook", "one value fewer"),
        (1e9, "smaller codebook"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_step_of_the_checker_is_lloyds() -> None:
    """Oracle: the package's iteration, stopped after one step."""
    x = torch.randn(300, generator=torch.Generator().manual_seed(0)).double()
    start = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    run = lloyd(x, start, steps=1)
    assert run.quantizer.values == pytest.approx(looping_step(x, start).tolist())


def test_the_least_size_is_the_first_that_reaches_the_ratio() -> None:
    """Oracle: the SQNR measured at the size and below it."""
    x = layer_weights()[:40]
    size = least_size(x, 15.0)
    assert sqnr(x, optimal_codebook(x, size).round_trip(x)) >= 15
    assert sqnr(x, optimal_codebook(x, size - 1).round_trip(x)) < 15
    with pytest.raises(ValueError, match="decibels must be reached with 64 values"):
        least_size(x, 200.0)
