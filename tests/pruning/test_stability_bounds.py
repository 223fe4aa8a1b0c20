"""The bounds by hand, against exact probabilities of random choices, and against simulations."""

import math

import pytest
import torch
from draws import generator
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference_impl import pruning


@pytest.mark.equation("eq-stability-bound")
def test_bounds_by_hand():
    """Oracle: the formula: 100 / (0.5 · 100), and π = 1; 30² / (0.5 · 300) = 6.

    At π = 1 both of a pair must choose: with independent choices p (q/p)² units, the bound itself.
    """
    assert pruning.false_selections_bound(10, 100, 0.75) == 2.0
    assert pruning.false_selections_bound(10, 100, 1) == 1.0
    assert pruning.false_selections_bound(30, 300, 1) == pytest.approx(300 * (30 / 300) ** 2)
    assert pruning.rare_selections_bound(0.1, 10, 0.75) == 2.0
    assert pruning.rare_selections_bound(0.0, 10, 0.75) == 0.0
    assert pruning.largest_choice(300, 0.75, 6.0) == 30
    assert pruning.largest_choice(10, 1.0, 1000.0) == 10
    assert pruning.largest_choice(300, 0.75, 1e-3) == 0  # 1 / 150 is more


@given(st.integers(2, 500), st.integers(1, 500), st.integers(1, 60), st.floats(0.51, 1))
def test_no_random_choice_exceeds_the_bound(p, q, pairs, threshold):
    """Oracle: SciPy's binomial tail: independent choices of each unit with probability q/p."""
    q = min(p, q)
    need = math.ceil(threshold * 2 * pairs - 1e-9)
    exact = p * stats.binom(2 * pairs, q / p).sf(need - 1)
    assert exact <= pruning.false_selections_bound(q, p, threshold) * (1 + 1e-9)


@pytest.mark.equation("eq-stability-choice")
@given(st.integers(1, 500), st.floats(0.51, 1), st.floats(0.01, 50))
def test_the_largest_choice_is_the_largest(p, threshold, bound):
    """Oracle: trial of every q."""
    bounds = [pruning.false_selections_bound(q, p, threshold) for q in range(1, p + 1)]
    fits = [q for q, least in enumerate(bounds, 1) if least <= bound * (1 + 1e-12)]
    assert pruning.largest_choice(p, threshold, bound) == max(fits, default=0)


def test_one_pair_attains_the_bound_of_the_rare_where_all_are_equally_rare():
    """Oracle: at π = 1 both halves must choose, with Σ p_j²; equal p_j = θ attain the bound."""
    assert pruning.rare_selections_bound(0.2, 7 * 0.2, 1) == pytest.approx(7 * 0.2**2)
    own = (0.05, 0.1, 0.2)
    assert sum(p**2 for p in own) < pruning.rare_selections_bound(0.2, sum(own), 1)


def planted(seeds, n=60, p=40, signals=4):
    """Yield the chosen units of 25 pairs: by |correlation|, of data whose truth is known."""
    for seed in range(seeds):
        draws = generator(seed)
        x = torch.randn(n, p, generator=draws, dtype=torch.float64)
        y = x[:, :signals].sum(dim=1) + torch.randn(n, generator=draws, dtype=torch.float64)
        samples = pruning.complementary_pairs(n, 25, draws).flatten(0, 1)
        yield pruning.choose_highest((x[samples] * y[samples].unsqueeze(-1)).mean(dim=1).abs(), 8)


def test_planted_nulls_stay_below_the_bound():
    """Oracle: a simulation of exchangeable nulls: 200 data sets, 36 nulls of 40."""
    found = [pruning.stable_units(chosen, 0.6)[4:].sum().item() for chosen in planted(200)]
    mean = sum(found) / len(found)
    assert 0.05 < mean < pruning.false_selections_bound(8, 40, 0.6)


@pytest.mark.equation("eq-stability-rare")
def test_rare_units_stay_below_the_bound_whatever_the_choice():
    """Oracle: p_j², by the independence of disjoint halves, and counts; nothing is exchangeable.

    Twelve nulls of unequal spread: the highest |mean| is more often that of a wide one.
    """
    n, q, theta, runs = 20, 3, 0.2, 1000
    draws = generator(0)
    x = torch.randn(runs, n, 12, generator=draws) * torch.linspace(1, 3, 12)
    pairs = torch.stack([pruning.complementary_pairs(n, 5, draws) for _ in range(runs)])
    halves = torch.stack([one[pair.flatten(0, 1)] for one, pair in zip(x, pairs, strict=True)])
    chosen = pruning.choose_highest(halves.mean(dim=2).abs(), q)  # (runs, 10, 12)
    own = chosen.double().mean(dim=(0, 1))
    low = own <= theta
    assert 5 <= int(low.sum()) <= 11
    expected = own[low].sum().item()
    both = chosen[:, :2].all(dim=1)[:, low].sum(dim=1).double()  # one pair at π = 1
    margin = 4 * both.std().item() / runs**0.5
    assert both.mean().item() == pytest.approx((own[low] ** 2).sum().item(), abs=margin)
    assert margin < both.mean().item() <= pruning.rare_selections_bound(theta, expected, 1)
    stable = sum(pruning.stable_units(one, 0.6)[low].sum().item() for one in chosen) / runs
    assert 0.05 < stable <= pruning.rare_selections_bound(theta, expected, 0.6)
