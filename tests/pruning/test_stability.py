"""Frequencies, variation and stable units: by hand, enumeration, SciPy's distributions, NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference_impl.pruning import (
    choose_highest,
    coefficient_of_variation,
    complementary_pairs,
    half_samples,
    sample_means,
    selection_frequency,
    simultaneous_frequency,
    stable_units,
)
from reference_impl.pruning.stability import keep_most_stable

CHOSEN = torch.tensor([[1, 1, 0], [1, 0, 1], [1, 0, 0], [1, 1, 0]]).bool()


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n", [2, 9, 10])
def test_half_samples_are_halves_without_repetition(n):
    """Oracle: sets of Python."""
    samples = half_samples(n, 50, draws()).tolist()
    assert len(samples) == 50
    for sample in samples:
        assert len(set(sample)) == len(sample) == n // 2
        assert set(sample) <= set(range(n))


def test_every_half_sample_is_as_likely_as_every_other():
    """Oracle: the 20 subsets of 3 of 6, and SciPy's chi-squared test."""
    found = [tuple(sorted(sample)) for sample in half_samples(6, 20_000, draws()).tolist()]
    counts = [found.count(one) for one in itertools.combinations(range(6), 3)]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts).pvalue > 0.001


def test_two_half_samples_overlap_as_two_draws_from_one_urn():
    """Oracle: SciPy's hypergeometric distribution."""
    n, count = 20, 20_000
    a = half_samples(n, count, draws(0))
    b = half_samples(n, count, draws(1))
    inside = torch.zeros(count, n).scatter_(1, a, 1).gather(1, b).sum(dim=1).long()
    found = torch.bincount(inside, minlength=11).numpy() / count
    np.testing.assert_allclose(found, stats.hypergeom(n, 10, 10).pmf(range(11)), atol=0.01)


@pytest.mark.parametrize("n", [2, 9, 10])
def test_complementary_pairs_are_disjoint_halves(n):
    """Oracle: sets of Python; of 9 numbers one is left out."""
    left = set()
    for a, b in complementary_pairs(n, 60, draws()).tolist():
        assert len(set(a)) == len(set(b)) == n // 2
        assert not set(a) & set(b)
        left |= set(range(n)) - set(a) - set(b)
    assert len(left) == (n if n % 2 else 0)


def test_means_over_samples_are_those_by_indexing():
    """Oracle: indexing and `mean`, an example twice in a sample included."""
    values = torch.randn(7, 4, generator=draws(), dtype=torch.float64)
    samples = torch.tensor([[[0, 1, 6], [2, 2, 3]]])
    expected = values[samples].mean(dim=2)
    torch.testing.assert_close(sample_means(values, samples), expected)


def test_frequencies_over_all_half_samples_are_those_of_an_enumeration():
    """Oracle: all 70 halves of 8 examples, one by one, against 20,000 random ones.

    Equation: eq-stability-frequency.
    """
    values = torch.rand(8, 6, generator=draws(), dtype=torch.float64)
    exact = np.zeros(6)
    for half in itertools.combinations(range(8), 4):
        exact[np.argsort(values[list(half)].mean(0).numpy())[-2:]] += 1 / 70
    every = torch.tensor(list(itertools.combinations(range(8), 4)))
    chosen = choose_highest(sample_means(values, every), 2)
    np.testing.assert_allclose(selection_frequency(chosen), exact, atol=1e-12)
    drawn = choose_highest(sample_means(values, half_samples(8, 20_000, draws())), 2)
    np.testing.assert_allclose(selection_frequency(drawn), exact, atol=0.015)


def test_frequency_by_hand():
    """Oracle: a table of four samples and three units."""
    assert selection_frequency(CHOSEN).tolist() == [1.0, 0.5, 0.25]
    assert selection_frequency(CHOSEN).dtype == torch.float64


def test_simultaneous_frequency_by_hand():
    """Oracle: the same table as two pairs; unit 0 is always chosen, no other in both halves."""
    assert simultaneous_frequency(CHOSEN.view(2, 2, 3)).tolist() == [1.0, 0.0, 0.0]


@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(0.1, 0.95))
def test_a_frequency_above_a_half_needs_pairs_that_agree(seed, pairs, share):
    """Oracle: the inequality Π̂ ≤ (1 + Π̃)/2, which the bounds rest on.

    Equation: eq-stability-pair.
    """
    chosen = torch.rand(pairs, 2, 5, generator=draws(seed)) < share
    once = selection_frequency(chosen.flatten(0, 1))
    assert (once <= (1 + simultaneous_frequency(chosen)) / 2 + 1e-12).all()


def test_the_threshold_itself_is_stable():
    """Oracle: the definition, Π̂ ≥ π; 0.55 · 100 in floating point is above 55."""
    chosen = torch.zeros(100, 3, dtype=torch.bool)
    for unit, count in enumerate((54, 55, 56)):
        chosen[:count, unit] = True
    assert 0.55 * 100 > 55
    assert stable_units(chosen, 0.55).tolist() == [False, True, True]
    assert stable_units(CHOSEN, 1.0).tolist() == [True, False, False]
    assert stable_units(CHOSEN[:3], 0.6).tolist() == [True, False, False]


def test_random_choices_are_stable_as_often_as_the_binomial_distribution_says():
    """Oracle: SciPy's tail of the binomial distribution: 20,000 units chosen in 20 samples.

    Equation: eq-stability-set.
    """
    chosen = torch.rand(20, 20_000, generator=draws()) < 0.4
    share = stable_units(chosen, 0.6).double().mean().item()
    assert share == pytest.approx(stats.binom(20, 0.4).sf(11), abs=0.006)


def test_variation_is_numpys_deviation_over_the_mean():
    """Oracle: SciPy's `variation` with B − 1 in the denominator.

    Equation: eq-stability-variation.
    """
    scores = torch.rand(9, 5, generator=draws(), dtype=torch.float64) - 0.7
    expected = np.abs(stats.variation(scores.numpy(), axis=0, ddof=1))
    np.testing.assert_allclose(coefficient_of_variation(scores), expected)


def test_variation_has_no_unit():
    """Oracle: a factor for each unit drops out."""
    scores = torch.rand(9, 5, generator=draws(), dtype=torch.float64)
    factors = torch.tensor([1e-3, 1.0, 7.0, 100.0, 1e6], dtype=torch.float64)
    torch.testing.assert_close(
        coefficient_of_variation(scores * factors), coefficient_of_variation(scores)
    )


def test_variation_of_a_dead_unit_is_infinite():
    """Oracle: the limit of a deviation over a mean that is zero."""
    assert coefficient_of_variation(torch.tensor([[0.0, 1.0], [0.0, 1.0]])).tolist() == [
        math.inf,
        0.0,
    ]


def test_most_stable_by_hand_and_importance_decides_between_equals():
    """Oracle: Python's sort by the pair (count, importance)."""
    importance = torch.tensor([0.1, 5.0, 7.0])
    assert keep_most_stable(CHOSEN, importance, 1).tolist() == [True, False, False]
    assert keep_most_stable(CHOSEN, importance, 2).tolist() == [True, True, False]
    chosen = torch.rand(7, 40, generator=draws()) < 0.5
    importance = torch.rand(40, generator=draws(1))
    pairs = sorted(zip(chosen.sum(0).tolist(), importance.tolist(), range(40), strict=True))
    kept = keep_most_stable(chosen, importance, 15)
    assert kept.nonzero().flatten().tolist() == sorted(unit for *_, unit in pairs[-15:])


def test_means_of_16_bits_do_not_overflow_in_the_sum():
    """Oracle: the mean of equal numbers is that number; 3000 · 100 is above float16's range."""
    means = sample_means(torch.full((6000, 2), 100.0).half(), torch.arange(3000).unsqueeze(0))
    assert means.dtype == torch.float16
    assert means.tolist() == [[100.0, 100.0]]


def test_numbers_of_rows_may_be_any_integers():
    """Oracle: the same numbers as int64."""
    values = torch.tensor([[1.0], [2.0], [6.0]])
    for kind in (torch.uint8, torch.int16, torch.int32):
        assert sample_means(values, torch.tensor([[0, 2]], dtype=kind)).tolist() == [[3.5]]


ROWS = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: half_samples(1, 5, draws()), ValueError, "n must be at least 2, got 1"),
        (lambda: half_samples(4, 1, 0), TypeError, "generator must be Generator, got int 0"),
        (lambda: complementary_pairs(4.0, 1, draws()), TypeError, "n must be an integer"),
        (lambda: sample_means(ROWS, torch.tensor([[3]])), ValueError, r"in \[0, 2\], got 3"),
        (lambda: sample_means(ROWS, torch.tensor([[-1]])), ValueError, "at least 0, got -1"),
        (lambda: sample_means(ROWS, torch.ones(1, 2)), TypeError, "samples must hold integers"),
        (lambda: selection_frequency(ROWS), TypeError, "chosen must hold bool"),
        (lambda: selection_frequency(CHOSEN[:0]), ValueError, "chosen must not be empty"),
        (lambda: simultaneous_frequency(CHOSEN), ValueError, r"must be \(pairs, 2, units\)"),
        (lambda: simultaneous_frequency(CHOSEN.view(1, 4, 3)), ValueError, r"\(pairs, 2, units\)"),
        (lambda: stable_units(CHOSEN, 0.5), ValueError, r"threshold must be in \(0.5, 1\]"),
        (lambda: coefficient_of_variation(ROWS[:1]), ValueError, "2 samples or more, got 1"),
        (
            lambda: keep_most_stable(CHOSEN, ROWS[:, 0][:2], 1),
            ValueError,
            "must have the 2 units of",
        ),
        (lambda: keep_most_stable(CHOSEN, ROWS[:, 0], 4), ValueError, r"must be in \[1, 3\]"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the messages."""
    with pytest.raises(error, match=message):
        call()
