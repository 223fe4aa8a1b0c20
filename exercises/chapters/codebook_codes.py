"""Exercises of chapter 05: codes of the nearest levels, weights that matter differently."""

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    at,
    called,
    leaves,
    near,
    normals,
    numbers,
)

EXERCISES: dict[str, Exercise] = {}

# -- spot the bug: codes of the nearest levels -----------------------------------------------------

Codes = Callable[[Tensor, Tensor], Tensor]


def _nearest(x: Tensor, levels: Tensor) -> Tensor:
    """Return the place of the nearest level."""
    return (x[:, None] - levels).abs().argmin(dim=1)


def _at_levels(x: Tensor, levels: Tensor) -> Tensor:
    """Return how many levels lie below: the colleague's codes."""
    return torch.bucketize(x, levels)


def _unsorted(x: Tensor, levels: Tensor) -> Tensor:
    """Return codes by the thresholds between levels in the given order."""
    return torch.bucketize(x, (levels[1:] + levels[:-1]) / 2)


def _in_order(x: Tensor, levels: Tensor) -> Tensor:
    """Return places in the sorted levels."""
    return _unsorted(x, levels.sort().values)


def _coded(*, shuffled: bool) -> list[Case]:
    """Return numbers off all thresholds with levels, ascending or shuffled."""
    cases = []
    numbers_of, levels_of = normals(6, *[(300,)] * 4), normals(7, (1,), (2,), (5,), (16,))
    for drawn, levels in zip(numbers_of, levels_of, strict=True):
        ascending = levels.sort().values
        edges = torch.cat([levels, (ascending[1:] + ascending[:-1]) / 2])
        x = drawn[(drawn[:, None] - edges).abs().amin(dim=1) > 1e-4]
        cases.append((x, ascending.roll(1) if shuffled else ascending))
    return cases


def _restores_as(formula: Codes, *, shuffled: bool = False) -> Test:
    """Return the test whether codes are those of a formula, right or wrong."""
    return agrees(formula, lambda: _coded(shuffled=shuffled), share=0, within=0)


def _places(answer: Codes) -> bool:
    """Return whether all codes are places of the list."""
    cases = _coded(shuffled=True)
    found = [(called(answer, case), len(case[1])) for case in cases]
    return all(bool(((codes >= 0) & (codes < size)).all()) for codes, size in found)


EXERCISES["codebook-nearest"] = Exercise(
    kind=a_function("codes_of(x, levels)"),
    claims={
        "every code is a place in the list": (
            _places,
            "Codes run from 0 to K − 1, for numbers beyond the outermost levels as well.",
        ),
        "with ascending levels each code is that of the nearest": (
            _restores_as(_nearest),
            "The nearest level changes half-way between two levels.",
        ),
        "with levels in any order each code is that of the nearest": (
            _restores_as(_nearest, shuffled=True),
            "Sort the levels, and keep the order: a code is a place in the list as it was given.",
        ),
        "x and levels are left as they were": (
            leaves(lambda: _coded(shuffled=True)[2]),
            "Work on new tensors.",
        ),
    },
    mistakes={
        "The boundaries are still the levels: bucketize counts the levels below a number.": (
            _restores_as(_at_levels)
        ),
        "The thresholds are right for ascending levels only: bucketize expects ascending "
        "boundaries.": _restores_as(_unsorted, shuffled=True),
        "Your codes are places in the sorted list: translate them into places in the given "
        "list.": _restores_as(_in_order, shuffled=True),
    },
)

# -- transfer: a weighted squared error ------------------------------------------------------------

_WEIGHTED = [0.0, 6.4, 43.2]


EXERCISES["codebook-importance"] = Exercise(
    kind=numbers(3),
    claims={
        "the lower level is right": (
            at(0, _WEIGHTED[0]),
            "Compute the weighted error of all three cuts; a level is a weighted mean.",
        ),
        "the upper level is right": (
            at(1, _WEIGHTED[1]),
            "A level is the weighted mean of its cell, Σ I x / Σ I.",
        ),
        "the weighted error is right": (
            at(2, _WEIGHTED[2]),
            "Multiply each squared error by the importance of its weight, then add.",
        ),
    },
    mistakes={
        "That is the best pair without importances, and its error.": near([10 / 3, 12, 56 / 3]),
        "You kept the cut of the unweighted problem.": near([2, 12, 64]),
        "This pair meets both conditions, and another cut has a smaller error.": near([1, 8, 48]),
        "The cut is right; the upper level is a plain mean instead of a weighted one.": at(
            1, 22 / 3
        ),
    },
)
