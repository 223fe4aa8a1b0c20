"""Which units to keep, judged on several data sets: by importance, by stability, by both.

``values`` maps the name of a data set to the |contributions| of its images, (examples, units); the
first is the data as they are, the others are shifted. Ī_dj is the mean of unit j on data set d over
the sum of all units' means, since a shift makes all gradients larger. Each rule returns true for
the ``n_keep`` units to keep.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from reference_impl.checked import Count, Where, Within, checked
from reference_impl.pruning.masks import choose_highest
from reference_impl.pruning.stability import (
    Chance,
    coefficient_of_variation,
    complementary_pairs,
    keep_most_stable,
    sample_means,
)

Contributions = Annotated[Float[Tensor, "_ units"], Within(0)]
Values = Annotated[Mapping[str, Contributions], Where("of one data set or more", bool)]
Kept = Bool[Tensor, " units"]
Rule = Callable[[Values, int, Chance], Kept]
"""(|contributions| by data set, units to keep, source of chance) → true for a unit to keep."""

N_PAIRS = 50  # of half-samples of each data set


@checked
def shares(values: Values) -> Float64[Tensor, "sets units"]:
    """Return Ī_dj: each unit's mean in each data set, over the sum of all units' means.

    >>> import torch
    >>> shares({"plain": torch.tensor([[1.0, 3.0]]), "blur": torch.tensor([[4.0, 4.0]])})
    tensor([[0.2500, 0.7500],
            [0.5000, 0.5000]], dtype=torch.float64)

    Equation: eq-stability-share, chapter 15.
    """
    means = torch.stack([value.double().mean(dim=0) for value in values.values()])
    total = means.sum(dim=1, keepdim=True)
    if not total.all():
        raise ValueError("values must have a positive sum in each data set, got 0")
    return means / total


@checked
def important(values: Values, n_keep: Count, generator: Chance) -> Kept:  # noqa: ARG001 — a rule
    """Keep the highest Ī of the first data set: the baseline."""
    return choose_highest(shares(values)[0], n_keep)


@checked
def pooled(values: Values, n_keep: Count, generator: Chance) -> Kept:  # noqa: ARG001
    """Keep the highest (1/D) Σ_d Ī_dj: it uses the data that `stable` uses, and does not count."""
    return choose_highest(shares(values).mean(dim=0), n_keep)


@checked
def steady(values: Values, n_keep: Count, generator: Chance) -> Kept:  # noqa: ARG001
    """Keep the lowest coefficient of variation of Ī over two data sets or more, nothing else."""
    variation = coefficient_of_variation(shares(values))
    return choose_highest(1 / (1 + variation), n_keep)  # inf, of a dead unit, becomes 0


@checked
def resampled(values: Values, n_keep: Count, generator: Chance) -> Kept:
    """Keep what is most often among the ``n_keep`` best of half-samples of the first data set."""
    first = next(iter(values))
    return stable({first: values[first]}, n_keep, generator)


@checked
def stable(values: Values, n_keep: Count, generator: Chance) -> Kept:
    """Keep what is most often among the ``n_keep`` best of half-samples of all data sets.

    Each data set counts alike. Where frequencies tie, importance decides, see `keep_most_stable`.
    """
    chosen = []
    for value in values.values():
        samples = complementary_pairs(len(value), N_PAIRS, generator).flatten(0, 1)
        chosen.append(choose_highest(sample_means(value, samples), n_keep))
    return keep_most_stable(torch.cat(chosen), shares(values).mean(dim=0), n_keep)


@checked
def random(values: Values, n_keep: Count, generator: Chance) -> Kept:
    """Keep any units."""
    return choose_highest(torch.rand(shares(values).shape[1], generator=generator), n_keep)


RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.__name__: rule for rule in (important, pooled, resampled, stable, steady, random)}
)
