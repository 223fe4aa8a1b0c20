"""Rules that look at several data sets: by hand on three units, and by enumeration."""

import pytest
import torch

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


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def constant(*means: float, n: int = 10) -> torch.Tensor:
    """Return n equal examples: each half-sample has the same means."""
    return torch.tensor(means).expand(n, -1).clone()


# Unit 0 leads in the plain set, unit 1 is second everywhere, unit 2 leads under both shifts.
SETS = {
    "plain": constant(6.0, 3.0, 1.0),
    "noise": constant(10.0, 30.0, 60.0),
    "blur": constant(0.1, 0.4, 0.5),
}


def test_shares_by_hand():
    """Oracle: division by 10, 100 and 1.

    Equation: eq-stability-share.
    """
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
    """Oracle: three units in three data sets."""
    assert rule(SETS, 1, draws()).nonzero().flatten().tolist() == one
    assert rule(SETS, 2, draws()).nonzero().flatten().tolist() == two


def test_a_unit_that_one_image_makes_important_is_less_stable_than_it_is_important():
    """Oracle: two units by hand: the outlier is in half of the half-samples."""
    values = constant(1.0, 0.0, 0.5, n=20)
    values[0, 1] = 30.0  # mean 1.5; without this image 0
    assert important({"plain": values}, 1, draws()).tolist() == [False, True, False]
    assert resampled({"plain": values}, 2, draws()).tolist() == [True, True, False]
    values[0, 1] = 22.0
    values[:, 0] = 1.05  # the outlier's mean is 1.1, or 2.2 and 0
    chosen = [resampled({"plain": values}, 1, draws(seed)) for seed in range(20)]
    assert all(mask.sum() == 1 for mask in chosen)


def test_pooled_takes_the_mean_and_not_the_median():
    """Oracle: means 0.37, 0.32, 0.32 of the shares; the medians are 0.1, 0.3, 0.3."""
    sets = {
        "plain": constant(0.9, 0.05, 0.05),
        "noise": constant(0.1, 0.6, 0.3),
        "blur": constant(0.1, 0.3, 0.6),
    }
    assert pooled(sets, 1, draws()).tolist() == [True, False, False]


def test_a_dead_unit_is_not_steady():
    """Oracle: four units and the last has no score at all; three are kept."""
    sets = {name: torch.cat([value, torch.zeros(10, 1)], dim=1) for name, value in SETS.items()}
    assert steady(sets, 3, draws()).tolist() == [True, True, True, False]


def test_each_data_set_counts_alike():
    """Oracle: a data set repeated ten times longer changes nothing."""
    longer = SETS | {"noise": SETS["noise"].repeat(10, 1)}
    for rule in (stable, pooled, steady):
        assert torch.equal(rule(longer, 2, draws()), rule(SETS, 2, draws()))


def test_the_generator_alone_decides_a_random_choice():
    """Oracle: the same seed, the same choice; each unit about as often as another."""
    assert torch.equal(random(SETS, 2, draws(3)), random(SETS, 2, draws(3)))
    counts = sum(random(SETS, 1, draws(seed)).long() for seed in range(3000))
    assert counts.sum() == 3000
    assert (counts - 1000).abs().max() < 120


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_keeps_the_number_of_units(name):
    """Oracle: counts."""
    values = {"a": torch.rand(9, 7, generator=draws()), "b": torch.rand(8, 7, generator=draws(1))}
    for n_keep in range(1, 8):
        assert RULES[name](values, n_keep, draws()).sum() == n_keep


ONES = torch.ones(3, 2)


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize(
    ("values", "n_keep", "error", "message"),
    [
        ({}, 1, ValueError, "values must be of one data set or more"),
        ({"a": 0 * ONES, "b": ONES}, 1, ValueError, "values must have a positive sum"),
        (
            {"a": ONES, "b": ONES.T},
            1,
            ValueError,
            r"values\['a'\] must have the 3 units of values\['b'\], got 2",
        ),
        ({"a": -ONES, "b": ONES}, 1, ValueError, r"values\['a'\] must be at least 0, got -1"),
        (ONES, 1, TypeError, "values must be Mapping"),
        ({"a": ONES, "b": ONES}, 3, ValueError, r"must be in \[1, 2\].*got 3"),
        ({"a": ONES, "b": ONES}, 0, ValueError, "n_keep must be at least 1"),
    ],
)
def test_bad_data_sets_are_refused(name, values, n_keep, error, message):
    """Oracle: the messages."""
    with pytest.raises(error, match=message):
        RULES[name](values, n_keep, draws())


@pytest.mark.parametrize("rule", [steady, stable, resampled])
def test_one_example_of_one_data_set_neither_varies_nor_can_be_halved(rule):
    """Oracle: the messages."""
    with pytest.raises(ValueError, match=r"2 samples or more, got 1|n must be at least 2, got 1"):
        rule({"plain": SETS["plain"][:1]}, 1, draws())
