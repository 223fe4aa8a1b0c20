"""Two exercises of chapter 15: pairs of halves that overlap, and samples that belong together."""

from collections.abc import Callable
from math import comb
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_tensor,
    as_numbers,
    at,
    numbers,
)

EXERCISES: dict[str, Exercise] = {}

# -- spot the bug: the halves of a pair must have no image in common -------------------------------

Draw = Callable[[int, int, torch.Generator], Any]


def _pairs(answer: Draw, n: int, count: int = 40, seed: int = 0) -> Tensor:
    """Return the pairs that an answer draws: whole numbers, in the shape (count, 2, ⌊n/2⌋)."""
    found = a_tensor(answer(n, count, torch.Generator().manual_seed(seed)))
    if found.shape != (count, 2, n // 2):
        raise WrongResultError(
            f"The result must have the shape {(count, 2, n // 2)}; it has {tuple(found.shape)}."
        )
    if found.is_floating_point() or found.dtype == torch.bool:
        raise WrongResultError("The result must hold the numbers of images, which are integers.")
    return found


def _halves_are_sets(answer: Draw) -> bool:
    drawn = {n: _pairs(answer, n) for n in (6, 9)}
    inside = all(int(pairs.min()) >= 0 and int(pairs.max()) < n for n, pairs in drawn.items())
    return inside and all(bool((one.sort().values.diff() > 0).all()) for one in drawn.values())


def _pairs_are_disjoint(answer: Draw) -> bool:
    together = [_pairs(answer, n).flatten(1).sort().values for n in (6, 9)]
    return all(bool((numbers.diff() > 0).all()) for numbers in together)


def _each_half_is_drawn(answer: Draw) -> bool:
    """Return whether all 20 halves of six images occur, and all pairs do not look alike."""
    halves = _pairs(answer, 6, count=300)[:, 0].sort().values
    return len(halves.unique(dim=0)) == comb(6, 3)


def _each_is_left_out(answer: Draw) -> bool:
    pairs = _pairs(answer, 5, count=200).flatten(1).tolist()
    return {image for pair in pairs for image in range(5) if image not in pair} == set(range(5))


def _follows_the_seed(answer: Draw) -> bool:
    first, again, other = (_pairs(answer, 8, seed=seed) for seed in (1, 1, 2))
    return torch.equal(first, again) and not torch.equal(first, other)


EXERCISES["stability-pairs"] = Exercise(
    kind=a_function("pairs(n, count, generator)"),
    claims={
        "a half holds different images, with numbers from 0 to n − 1": (
            _halves_are_sets,
            "Take the halves from a random order of the numbers 0 to n − 1.",
        ),
        "the halves of a pair have no image in common": (
            _pairs_are_disjoint,
            "Cut one random order in two: the first ⌊n/2⌋ numbers and the next ⌊n/2⌋.",
        ),
        "every half can occur": (
            _each_half_is_drawn,
            "Draw a new random order for each pair.",
        ),
        "if n is odd, each image is left out now and then": (
            _each_is_left_out,
            "Shuffle all n numbers before you cut.",
        ),
        "the generator is the only source of chance": (
            _follows_the_seed,
            "Pass the generator to each random function.",
        ),
    },
    mistakes={
        "You drew each half from an order of its own, so the halves overlap.": lambda answer: (
            _halves_are_sets(answer) and not _pairs_are_disjoint(answer)
        ),
        "You drew with replacement: an image can occur twice.": lambda answer: bool(
            (_pairs(answer, 9).sort().values.diff() == 0).any()
        ),
        "All your pairs are alike: draw a new order for each.": lambda answer: (
            len(_pairs(answer, 8).unique(dim=0)) == 1
        ),
        "Your second halves are the complements of sorted first halves, but the same image is "
        "always left out.": lambda answer: (
            _pairs_are_disjoint(answer) and not _each_is_left_out(answer)
        ),
    },
)

# -- transfer: 24 patients with ten samples each ---------------------------------------------------

PATIENTS, EACH = 24, 10
MISSED = comb(PATIENTS * EACH - EACH, PATIENTS * EACH // 2) / comb(
    PATIENTS * EACH, PATIENTS * EACH // 2
)
"""The probability that a random half of the samples has none of a patient."""


def _patients(right: float) -> Test:
    """Return the test of the first number, for which the exercise asks two decimals."""
    return lambda answer: abs(float(as_numbers(answer)[0]) - right) < 0.006


EXERCISES["stability-patients"] = Exercise(
    kind=numbers(3),
    claims={
        "the patients in both halves of a pair of halves of samples are right": (
            _patients(PATIENTS * (1 - 2 * MISSED)),
            "A half misses a patient with probability hypergeom(240, 10, 120).pmf(0); two halves "
            "can miss the patient, never both at once.",
        ),
        "the samples of a half by patients are right": (
            at(1, PATIENTS // 2 * EACH),
            "Half of the patients, with all of their samples.",
        ),
        "the largest number of genes is right": (
            at(2, 24),
            "⌊√(limit · (2π − 1) · C)⌋ with C = 1,000 genes.",
        ),
    },
    mistakes={
        "You counted the patients of one half: the other half must have them too.": _patients(
            PATIENTS * (1 - MISSED)
        ),
        "A half has about half of each patient's samples, so nearly every patient is in both "
        "halves.": at(0, 12, 6, 0),
        "That is the number of patients in a half: each has ten samples.": at(1, 12),
        "You left out the limit of one, or took the root of C alone.": at(2, 31),
        "You divided by π instead of 2π − 1: √(0.8 · 1000).": at(2, 28),
        "The number of genes is a whole number, rounded down.": at(2, 600**0.5),
        "C is the number of genes, not that of samples.": at(2, 12),
    },
)
