"""Exercises of chapter 05: the best pair, a codebook's length, a step of Lloyd's."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from exercises.chapters import codebook_codes
from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    as_numbers,
    leaves,
    near,
    normals,
    numbers,
    same,
    value,
)
from reference_impl.checked import Finite, checked
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer, optimal_codebook
from reference_impl.training import load_checkpoint

EXERCISES: dict[str, Exercise] = {**codebook_codes.EXERCISES}

# -- by hand: the best two values for six numbers --------------------------------------------------


def _six() -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0, 8.0, 9.0, 22.0], dtype=torch.float64)


def _pair(test: Callable[[Tensor], bool]) -> Test:
    """Return the test of the two values in their order."""
    return lambda answer: test(as_numbers(answer).sort().values)


EXERCISES["codebook-hand"] = Exercise(
    kind=numbers(2),
    claims={
        "each value is the mean of the numbers nearest to it": (
            _pair(lambda pair: same(_step(_six(), pair), pair, share=0, within=0.05)),
            "Give each number to the nearer of your two levels; both must be means of theirs.",
        ),
        "no other pair has a smaller squared error": (
            _pair(lambda pair: bool((_six()[:, None] - pair).square().amin(dim=1).sum() < 53.3)),
            "There are five ways to cut six numbers in two: compute the cost of each.",
        ),
    },
    mistakes={
        "Three numbers each, 2 and 13, is a fixed point of Lloyd's iteration, with the squared "
        "error 124; another cut has less than half of it.": _pair(near([2, 13])),
        "These are the ends: the two levels of min–max rounding.": _pair(near([1, 22])),
        "You took medians: the squared error is least about the mean.": _pair(near([3, 22])),
    },
)

# -- implement: one step of Lloyd's ----------------------------------------------------------------

Step = Callable[[Tensor, Tensor], Tensor]


def _moved(
    average: Callable[[Tensor], Tensor] = torch.mean,
    empty: Callable[[Tensor], Tensor] = torch.clone,
    *,
    at_centroids: bool = False,
) -> Step:
    """Return a step to the average of the nearest values, and to ``empty(c)`` where none is."""

    def step(x: Tensor, centroids: Tensor) -> Tensor:
        owner = (x[:, None] - centroids).abs().argmin(dim=1)
        if at_centroids:
            owner = (torch.bucketize(x, centroids) - 1).clamp_min(0)
        owned = [x[owner == k] for k in range(len(centroids))]
        pairs = zip(owned, centroids, strict=True)
        return torch.stack([average(own) if len(own) else empty(c) for own, c in pairs])

    return step


_step: Step = _moved()


def _draws(*, gap: bool = False) -> list[Case]:
    """Return values with starts; with ``gap`` one centroid lies where no value is nearest."""
    cases = []
    for size, drawn in zip((1, 2, 5, 16), normals(5, *[(400,)] * 4), strict=True):
        start = torch.linspace(-1.5, 1.5, size) if size > 1 else torch.tensor([0.3])
        edges = torch.cat([start, (start[1:] + start[:-1]) / 2])  # which side rounding may decide
        x = drawn[(drawn[:, None] - edges).abs().amin(dim=1) > 1e-4]
        cases.append((x, torch.cat([start, torch.tensor([90.0])]) if gap else start))
    return cases


def _made_by(formula: Step, *, gap: bool = False) -> Test:
    return agrees(formula, lambda: _draws(gap=gap), share=0, within=1e-4)


EXERCISES["codebook-step"] = Exercise(
    kind=a_function("step(x, levels)"),
    claims={
        "each level moves to the mean of the numbers nearest to it": (
            _made_by(_step),
            "For each number find the nearest level; then average the numbers of each level.",
        ),
        "a level without numbers keeps its place": (
            _made_by(_step, gap=True),
            "It can happen that no number is nearest to a level: keep it, and do not divide by 0.",
        ),
        "x and levels are left as they were": (
            leaves(lambda: _draws()[2]),
            "Work on new tensors.",
        ),
    },
    mistakes={
        "A level without numbers became nan: the mean of an empty cell.": _made_by(
            _moved(empty=lambda c: torch.full_like(c, torch.nan)), gap=True
        ),
        "A level without numbers became 0: the sum of an empty cell, divided by something "
        "else.": _made_by(_moved(empty=torch.zeros_like), gap=True),
        "You took medians: the squared error is least about the mean.": _made_by(
            _moved(torch.median)
        ),
        "You cut at the levels themselves: the nearest level changes half-way between two of "
        "them.": _made_by(_moved(at_centroids=True)),
        "You returned the levels as they were.": _made_by(lambda _, start: start),
    },
)

# -- predict: how many values a codebook needs -----------------------------------------------------


def layer_weights() -> Tensor:
    """Return the 30,000 weights of LeNet-300-100's second layer."""
    return load_checkpoint("lenet300").get_parameter("fc2.weight").detach()


@checked
def least_size(x: Finite[Tensor, "..."], decibels: float) -> int:
    """Return the smallest K whose best codebook reaches an SQNR.

    Raises:
        ValueError: if 64 values do not reach it.
    """
    for size in range(1, 65):
        if sqnr(x, optimal_codebook(x, size).round_trip(x)) >= decibels:
            return size
    raise ValueError(f"decibels must be reached with 64 values, got {decibels}")


@cache
def _least() -> int:
    """Return the smallest codebook that is as good as min–max rounding at 4 bits."""
    x = layer_weights()
    return least_size(x, sqnr(x, min_max_quantizer(x, 4).round_trip(x)))


EXERCISES["codebook-size"] = Exercise(
    kind=a_number,
    claims={
        "the answer is a whole number of levels": (
            value(float.is_integer),
            "Count the levels of the codebook.",
        ),
        "this many levels reach the SQNR of min–max rounding at 4 bits": (
            value(lambda size: round(size) >= _least()),
            "Measure optimal_codebook(weights, size) for a few sizes.",
        ),
        "one level fewer does not": (
            value(lambda size: round(size - 1) < _least()),
            "A smaller codebook is enough.",
        ),
    },
    mistakes={
        "That is the number of bits; the question is how many levels the list has.": value(
            lambda size: size in (3, 4)
        ),
        "16 is what min–max rounding uses at 4 bits.": near(16),
        "8 is a power of two, and what the rule predicts: are fewer enough?": near(8),
    },
)
