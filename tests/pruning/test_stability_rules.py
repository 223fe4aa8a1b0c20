"""Rules that look at several data sets: by hand on three units, and by enumeration."""

import pytest
import torch
from draws import generator, normal

from reference_impl.pruning import RULES
from reference_impl.pruning.stability_rules import (
    important,
    pooled,
    random,
    resampled,
    shares,
    stable,
    steady,
)


def constant(*means, n=10):
    """Return n equal examples: each half-sample has the same means."""
    return torch.tensor(means).expand(n, -1).clone()


# Unit 0 leads in the plain set, unit 1 is second everywhere, unit 2 leads under both shifts.
SETS = {
    "plain": constant(6.0, 3.0, 1.0),
    "noise": constant(10.0, 30.0, 60.0),
    "blur": constant(0.1, 0.4, 0.5),
}


@pytest.mark.equation("eq-stability-share")
def test_shares_by_hand():
    """Oracle: division by 10, 100 and 1."""
    expected = [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.1, 0.4, 0.5]]
    torch.testing.assert_close(shares(SETS), torch.tensor(expected).double())


@pytest.mark.parametrize(
    ("rule", "one", "two"),
    [
        (important, [0], [0, 1]),
        (resampled, [0], [0, 1]),
        (pooled, [2], [1, 2]),  # means 0.267, 0.333, 0.4
        (stable, [2], [1, 2]),  # chosen first in 1, 0, 2 of the sets; among two in 1, 3, 2
        (steady, [1], [1, 2]),  # deviations 0.29, 0.06, 0.26 over the means
    ],
)
def test_rules_by_hand(rule, one, two):
    """Oracle: three units in three data sets; one ten times longer changes nothing."""
    for sets in (SETS, SETS | {"noise": SETS["noise"].repeat(10, 1)}):
        assert rule(sets, 1, generator()).nonzero().flatten().tolist() == one
        assert rule(sets, 2, generator()).nonzero().flatten().tolist() == two


def test_pooled_takes_the_mean_and_a_dead_unit_is_not_steady():
    """Oracle: means 0.37, 0.32, 0.32 and medians 0.1, 0.3, 0.3; a fourth unit without a score."""
    sets = {
        "plain": constant(0.9, 0.05, 0.05),
        "noise": constant(0.1, 0.6, 0.3),
        "blur": constant(0.1, 0.3, 0.6),
    }
    assert pooled(sets, 1, generator()).tolist() == [True, False, False]
    sets = {name: torch.cat([value, torch.zeros(10, 1)], dim=1) for name, value in SETS.items()}
    assert steady(sets, 3, generator()).tolist() == [True, True, True, False]


def test_a_unit_that_one_image_makes_important_is_less_stable_than_it_is_important():
    """Oracle: two units by hand: the outlier is in half of the half-samples."""
    values = constant(1.0, 0.0, 0.5, n=20)
    values[0, 1] = 30.0  # mean 1.5; without this image 0
    assert important({"plain": values}, 1, generator()).tolist() == [False, True, False]
    assert resampled({"plain": values}, 2, generator()).tolist() == [True, True, False]


def test_the_generator_alone_decides_a_random_choice():
    """Oracle: the same seed, the same choice; each unit about as often as another."""
    assert torch.equal(random(SETS, 2, generator(3)), random(SETS, 2, generator(3)))
    counts = sum(random(SETS, 1, generator(seed)).long() for seed in range(3000))
    assert counts.sum() == 3000
    assert (counts - 1000).abs().max() < 120


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_keeps_the_number_of_units(name):
    """Oracle: counts."""
    values = {"a": normal(9, 7).abs(), "b": normal(8, 7, seed=1).abs()}
    found = [int(RULES[name](values, n, generator()).sum()) for n in range(1, 8)]
    assert found == [*range(1, 8)]
