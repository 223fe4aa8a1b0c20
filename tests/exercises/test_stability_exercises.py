"""The checkers of chapter 15's pairs of halves and patients accept right answers, name wrong ones.

Those of its other exercises are among the tests of pruning.
"""

import pytest
import torch
from scipy import stats

from exercises.chapters.stability_pairs import PATIENTS
from reference_impl import pruning
from tests.exercises.claims import judged


def cut(n, count, generator):
    order = torch.stack([torch.randperm(n, generator=generator) for _ in range(count)])
    return order[:, : n // 2 * 2].view(count, 2, n // 2)


def overlapping(n, count, generator):
    drawn = [torch.randperm(n, generator=generator)[: n // 2] for _ in range(2 * count)]
    return torch.stack(drawn).view(count, 2, n // 2)


def one_left_out(n, count, generator):
    return cut(n // 2 * 2, count, generator)


def with_putting_back(n, count, generator):
    return torch.randint(n, (count, 2, n // 2), generator=generator)


LAW = stats.hypergeom(240, 10, 120)
RIGHT = {
    "stability-pairs": [cut, pruning.complementary_pairs, lambda *a: cut(*a).numpy()],
    "stability-patients": [[24 * (1 - 2 * LAW.pmf(0)), 120, 24]],
}
WRONG = {
    "stability-pairs": [
        (overlapping, "an order of its own", "the halves"),
        (with_putting_back, "with replacement", "a half", "the halves", "every half"),
        (one_left_out, "always left out", "if n is odd"),
        (lambda n, count, g: cut(n, 1, g).repeat(count, 1, 1), "All your pairs are alike"),
        (lambda n, count, _: cut(n, count, torch.Generator()), "Pass the generator", "the gen"),
        (lambda n, count, g: cut(n, count, g)[:, 0], "must have the shape"),
        (lambda n, count, g: cut(n, count, g).double(), "which are integers"),
        (lambda n, count, g: cut(n, count, g) + 1, "random order of the numbers", "a half"),
    ],
    "stability-patients": [
        ({0: 24 * (1 - LAW.pmf(0))}, "the other half", "the patients"),
        ({0: 12}, "half of each patient's", "the patients"),
        ({0: 20}, "hypergeom", "the patients"),
        ({1: 12}, "each has ten samples", "the samples"),
        ({1: 60}, "all of their samples", "the samples"),
        ({2: 31}, "root of C alone", "the largest"),
        ({2: 28}, "instead of 2π − 1", "the largest"),
        ({2: 600**0.5}, "whole number", "the largest"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_two_halves_miss_a_patient_as_scipy_says():
    """Oracle: 2,000 pairs of halves of the 240 samples, drawn and counted."""
    pairs = pruning.complementary_pairs(240, 2000, torch.Generator().manual_seed(0)) // 10
    both = [len({*a} & {*b}) for a, b in pairs.tolist()]
    assert sum(both) / 2000 == pytest.approx(PATIENTS * (1 - 2 * LAW.pmf(0)), abs=0.02)
