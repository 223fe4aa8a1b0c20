"""Every checker of chapter 05 accepts right answers, names wrong ones, and each claim can fail."""

import numpy as np
import pytest
import torch

from exercises.codebook import layer_weights, least_size
from reference_impl.measuring import sqnr
from reference_impl.quantization import lloyd, optimal_codebook
from tests.exercises.claims import advised, crossed, passing


def looping_step(x, centroids):
    nearest = (x[:, None] - centroids).abs().argmin(dim=1)
    moved = centroids.clone()
    for k in range(len(centroids)):
        if (nearest == k).any():
            moved[k] = x[nearest == k].mean()
    return moved


def counting_step(x, centroids):
    thresholds = (centroids[1:] + centroids[:-1]) / 2
    nearest = torch.bucketize(x, thresholds)
    count = torch.bincount(nearest, minlength=len(centroids))
    total = torch.bincount(nearest, weights=x.double(), minlength=len(centroids))
    return torch.where(count > 0, total / count.clamp_min(1), centroids.double())


def numpy_step(x, centroids):
    x, centroids = x.numpy(), centroids.numpy().copy()
    nearest = np.abs(x[:, None] - centroids).argmin(axis=1)
    for k in set(nearest.tolist()):
        centroids[k] = x[nearest == k].mean()
    return centroids


RIGHT = [
    ("best-pair", [4.6, 22]),
    ("best-pair", (22, 4.6)),
    ("best-pair", torch.tensor([4.6, 22.0])),
    ("best-pair", np.array([[4.6], [22.0]])),
    ("lloyd-step", looping_step),
    ("lloyd-step", counting_step),
    ("lloyd-step", numpy_step),
    ("codebook-size", 7),
    ("codebook-size", np.int64(7)),
    ("codebook-size", torch.tensor([7])),
]


test_right_answers_pass = passing(RIGHT)


def nearest_of(x, centroids):
    return (x[:, None] - centroids).abs().argmin(dim=1)


def with_nan(x, centroids):
    nearest = nearest_of(x, centroids)
    return torch.stack([x[nearest == k].mean() for k in range(len(centroids))])


def with_zero(x, centroids):
    nearest = nearest_of(x, centroids)
    sums = torch.stack([x[nearest == k].sum() for k in range(len(centroids))])
    return sums / nearest.bincount(minlength=len(centroids)).clamp_min(1)


def without_empty(x, centroids):
    nearest = nearest_of(x, centroids)
    return torch.stack([x[nearest == k].mean() for k in nearest.unique()])


def medians(x, centroids):
    nearest = nearest_of(x, centroids)
    return torch.stack([x[nearest == k].median() for k in range(len(centroids))])


def cut_at_centroids(x, centroids):
    below = (torch.bucketize(x, centroids) - 1).clamp_min(0)
    return torch.stack([x[below == k].mean() for k in range(len(centroids))])


def in_place(x, centroids):
    centroids.copy_(looping_step(x, centroids))
    return centroids


WRONG = [
    ("best-pair", [2, 13], "fixed point"),
    ("best-pair", [1, 22], "min–max"),
    ("best-pair", [3, 22], "medians"),
    ("best-pair", [4, 20], "Give each number to the nearer"),
    ("best-pair", [4.6], "The answer has 2 numbers"),
    ("lloyd-step", with_nan, "became nan"),
    ("lloyd-step", with_zero, "became 0"),
    ("lloyd-step", without_empty, "keep it, and do not divide"),
    ("lloyd-step", medians, "medians"),
    ("lloyd-step", cut_at_centroids, "half-way"),
    ("lloyd-step", lambda x, centroids: centroids, "as they were"),
    ("lloyd-step", lambda x, centroids: 7, "must return a tensor"),
    ("lloyd-step", lambda x: x, "TypeError"),
    ("lloyd-step", in_place, "Work on new tensors"),
    ("lloyd-step", 3.0, "the function itself"),
    ("codebook-size", 3, "number of bits"),
    ("codebook-size", 4, "number of bits"),
    ("codebook-size", 16, "min–max rounding uses"),
    ("codebook-size", 8, "power of two"),
    ("codebook-size", 7.5, "Count the values"),
    ("codebook-size", 6, "Measure"),
    ("codebook-size", 0, "Measure"),
    ("codebook-size", 30, "smaller codebook"),
    ("codebook-size", 1e9, "smaller codebook"),
    ("codebook-size", ..., "No answer yet"),
]


test_wrong_answers_are_named = advised(WRONG)


CLAIMS = [
    ("best-pair", [4.6, 21.8], ["each value is the mean"]),
    ("best-pair", [2, 13], ["no other pair"]),
    ("lloyd-step", with_zero, ["a centroid without values"]),
    ("lloyd-step", in_place, ["x and centroids"]),
    ("codebook-size", 7.4, ["the answer is a whole"]),
    ("codebook-size", 6, ["this many values"]),
    ("codebook-size", 9, ["one value fewer"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


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
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor"):
        least_size([1.0], 10.0)
    with pytest.raises(ValueError, match="decibels must be finite"):
        least_size(x, float("nan"))
