"""Frequencies, variation and stable units: by hand, enumeration, SciPy's distributions, NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference_impl import pruning
from reference_impl.pruning.stability import keep_most_stable

CHOSEN = torch.tensor([[1, 1, 0], [1, 0, 1], [1, 0, 0], [1, 1, 0]]).bool()


@pytest.mark.parametrize("n", [2, 9, 10])
def test_halves_are_without_repetition_and_those_of_a_pair_disjoint(n):
    """Oracle: sets of Python; of 9 numbers each is left out now and then."""
    samples = pruning.half_samples(n, 50, generator()).tolist()
    assert len(samples) == 50
    assert all(len(set(one) & set(range(n))) == len(one) == n // 2 for one in samples)
    left = set()
    for a, b in pruning.complementary_pairs(n, 60, generator()).tolist():
        rest = set(range(n)) - set(a) - set(b)
        assert (len(a), len(b), len(rest)) == (n // 2, n // 2, n % 2)
        left |= rest
    assert len(left) == (n if n % 2 else 0)


def test_every_half_sample_is_as_likely_as_every_other():
    """Oracle: the 20 subsets of 3 of 6, and SciPy's chi-squared test."""
    found = [
        tuple(sorted(sample)) for sample in pruning.half_samples(6, 20_000, generator()).tolist()
    ]
    counts = [found.count(one) for one in itertools.combinations(range(6), 3)]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts).pvalue > 0.001


def test_means_over_samples_are_those_by_indexing():
    """Oracle: indexing and `mean`, an example twice in a sample included, by any integers.

    The mean of equal numbers is that number also where 3000 · 100 is above float16's range.
    """
    values = torch.randn(7, 4, generator=generator(), dtype=torch.float64)
    samples = torch.tensor([[[0, 1, 6], [2, 2, 3]]])
    expected = values[samples].mean(dim=2)
    for kind in (torch.uint8, torch.int16, torch.int32, torch.int64):
        torch.testing.assert_close(pruning.sample_means(values, samples.to(kind)), expected)
    means = pruning.sample_means(
        torch.full((6000, 2), 100.0).half(), torch.arange(3000).unsqueeze(0)
    )
    assert means.dtype == torch.float16
    assert means.tolist() == [[100.0, 100.0]]


@pytest.mark.equation("eq-stability-frequency")
def test_frequencies_over_all_half_samples_are_those_of_an_enumeration():
    """Oracle: all 70 halves of 8 examples, one by one, against 20,000 random ones."""
    values = torch.rand(8, 6, generator=generator(), dtype=torch.float64)
    exact = np.zeros(6)
    for half in itertools.combinations(range(8), 4):
        exact[np.argsort(values[list(half)].mean(0).numpy())[-2:]] += 1 / 70
    every = torch.tensor(list(itertools.combinations(range(8), 4)))
    chosen = pruning.choose_highest(pruning.sample_means(values, every), 2)
    np.testing.assert_allclose(pruning.selection_frequency(chosen), exact, atol=1e-12)
    drawn = pruning.choose_highest(
        pruning.sample_means(values, pruning.half_samples(8, 20_000, generator())), 2
    )
    np.testing.assert_allclose(pruning.selection_frequency(drawn), exact, atol=0.015)


def test_frequencies_by_hand():
    """Oracle: a table of four samples and three units; as two pairs, only unit 0 is in both."""
    assert pruning.selection_frequency(CHOSEN).tolist() == [1.0, 0.5, 0.25]
    assert pruning.selection_frequency(CHOSEN).dtype == torch.float64
    assert pruning.simultaneous_frequency(CHOSEN.view(2, 2, 3)).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.equation("eq-stability-pair")
@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(0.1, 0.95))
def test_a_frequency_above_a_half_needs_pairs_that_agree(seed, pairs, share):
    """Oracle: the inequality Π̂ ≤ (1 + Π̃)/2, which the bounds rest on."""
    chosen = torch.rand(pairs, 2, 5, generator=generator(seed)) < share
    once = pruning.selection_frequency(chosen.flatten(0, 1))
    assert (once <= (1 + pruning.simultaneous_frequency(chosen)) / 2 + 1e-12).all()


@pytest.mark.equation("eq-stability-set")
def test_what_reaches_the_threshold_is_stable():
    """Oracle: the definition, Π̂ ≥ π, where 0.55 · 100 in floating point is above 55.

    Of 20,000 units chosen at random in 20 samples SciPy's tail of the binomial distribution.
    """
    chosen = torch.zeros(100, 3, dtype=torch.bool)
    for unit, count in enumerate((54, 55, 56)):
        chosen[:count, unit] = True
    assert 0.55 * 100 > 55
    assert pruning.stable_units(chosen, 0.55).tolist() == [False, True, True]
    assert pruning.stable_units(CHOSEN, 1.0).tolist() == [True, False, False]
    assert pruning.stable_units(CHOSEN[:3], 0.6).tolist() == [True, False, False]
    random = torch.rand(20, 20_000, generator=generator()) < 0.4
    share = pruning.stable_units(random, 0.6).double().mean().item()
    assert share == pytest.approx(stats.binom(20, 0.4).sf(11), abs=0.006)


@pytest.mark.equation("eq-stability-variation")
def test_variation_is_the_deviation_over_the_mean_without_a_unit():
    """Oracle: SciPy's `variation` with B − 1 in the denominator; a dead unit's is infinite."""
    scores = torch.rand(9, 5, generator=generator(), dtype=torch.float64) - 0.7
    expected = np.abs(stats.variation(scores.numpy(), axis=0, ddof=1))
    factors = torch.tensor([1e-3, 1.0, 7.0, 100.0, 1e6], dtype=torch.float64)
    for given_scores in (scores, scores * factors):
        np.testing.assert_allclose(pruning.coefficient_of_variation(given_scores), expected)
    dead = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    assert pruning.coefficient_of_variation(dead).tolist() == [math.inf, 0.0]


def test_most_stable_by_hand_and_importance_decides_between_equals():
    """Oracle: Python's sort by the pair (count, importance)."""
    importance = torch.tensor([0.1, 5.0, 7.0])
    assert keep_most_stable(CHOSEN, importance, 1).tolist() == [True, False, False]
    assert keep_most_stable(CHOSEN, importance, 2).tolist() == [True, True, False]
    chosen = torch.rand(7, 40, generator=generator()) < 0.5
    importance = torch.rand(40, generator=generator(1))
    pairs = sorted(zip(chosen.sum(0).tolist(), importance.tolist(), range(40), strict=True))
    kept = keep_most_stable(chosen, importance, 15)
    assert kept.nonzero().flatten().tolist() == sorted(unit for *_, unit in pairs[-15:])
