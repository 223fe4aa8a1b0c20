"""Which units to keep, judged on several data sets: by importance, by stability, by both.

``values`` maps the name of a data set to the |contributions| of its images, (examples, units); the
first is the data as they are, the others are shifted. Each rule returns true for the ``n_keep``
units that stay. With Ī_dj the mean of unit j on data set d, divided by the sum over all units (a
shift makes all gradients larger: that is no matter of units):

- `important`: the highest Ī of the first data set; the baseline;
- `pooled`: the highest (1/D) Σ_d Ī_dj: sees what stability sees, and does not count;
- `resampled`: most often among the ``n_keep`` best of half-samples of the first data set;
- `stable`: most often among the ``n_keep`` best of half-samples of all data sets;
- `steady`: the lowest coefficient of variation of Ī_dj over the data sets d, whatever the mean:
  the words "remove the unstable units" and nothing else;
- `random`.

Where frequencies tie, importance decides, see `keep_most_stable`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.pruning.stability import (
    choose_highest,
    coefficient_of_variation,
    complementary_pairs,
    keep_most_stable,
    sample_means,
)

Values = Mapping[str, Float[Tensor, "n units"]]
Rule = Callable[[Values, int, torch.Generator], Bool[Tensor, " units"]]
"""(|contributions| by data set, units to keep, source of chance) → true for a unit that stays."""

N_PAIRS = 50
"""Complementary pairs of half-samples of each data set."""


def shares(values: Values) -> Float[Tensor, "sets units"]:
    """Return Ī_dj: each unit's mean in each data set, over the sum of all units' means.

    Raises:
        TypeError: if ``values`` is no mapping of floating-point tensors.
        ValueError: if there is none, one is empty, not finite, negative, no matrix or without a
            positive sum, or their numbers of units differ.

    Equation: eq-stability-share, chapter 13.
    """
    require_instance("values", values, Mapping)
    if not values:
        raise ValueError("values must hold a data set or more, got none")
    for name, value in values.items():
        require_float_tensor(f"values[{name!r}]", value)
        if value.ndim != 2:
            raise ValueError(
                f"values[{name!r}] must be (examples, units), got shape {tuple(value.shape)}"
            )
        if bool((value < 0).any()):
            raise ValueError(
                f"values[{name!r}] must be magnitudes, 0 or more, got {value.min().item()}"
            )
    units = {value.shape[1] for value in values.values()}
    if len(units) > 1:
        raise ValueError(f"values must be of the same units, got {sorted(units)} of them")
    means = torch.stack([value.double().mean(dim=0) for value in values.values()])
    total = means.sum(dim=1, keepdim=True)
    if not bool((total > 0).all()):
        raise ValueError("values must have a positive sum in each data set")
    return means / total


def important(values: Values, n_keep: int, generator: torch.Generator) -> Bool[Tensor, " units"]:
    """Keep the highest Ī of the first data set."""
    return choose_highest(_checked(values, n_keep, generator)[0], n_keep)


def pooled(values: Values, n_keep: int, generator: torch.Generator) -> Bool[Tensor, " units"]:
    """Keep the highest mean of Ī over the data sets."""
    return choose_highest(_checked(values, n_keep, generator).mean(dim=0), n_keep)


def steady(values: Values, n_keep: int, generator: torch.Generator) -> Bool[Tensor, " units"]:
    """Keep the lowest coefficient of variation of Ī over two data sets or more."""
    found = _checked(values, n_keep, generator)
    if len(found) < 2:
        raise ValueError("values must hold two data sets or more to vary over, got 1")
    variation = coefficient_of_variation(found)
    return choose_highest(1 / (1 + variation), n_keep)  # inf, of a dead unit, becomes 0


def resampled(values: Values, n_keep: int, generator: torch.Generator) -> Bool[Tensor, " units"]:
    """Keep what half-samples of the first data set choose most often."""
    first = next(iter(_checked_values(values, n_keep, generator)))
    return stable({first: values[first]}, n_keep, generator)


def stable(values: Values, n_keep: int, generator: torch.Generator) -> Bool[Tensor, " units"]:
    """Keep what half-samples of all data sets choose most often, each data set counting alike."""
    mean_share = _checked(values, n_keep, generator).mean(dim=0)
    chosen = []
    for name, value in values.items():
        if len(value) < 2:
            raise ValueError(f"values[{name!r}] must have two examples or more to halve, got 1")
        samples = complementary_pairs(len(value), N_PAIRS, generator).flatten(0, 1)
        chosen.append(choose_highest(sample_means(value, samples), n_keep))
    return keep_most_stable(torch.cat(chosen), mean_share, n_keep)


def random(values: Values, n_keep: int, generator: torch.Generator) -> Bool[Tensor, " units"]:
    """Keep any."""
    units = _checked(values, n_keep, generator).shape[1]
    return choose_highest(torch.rand(units, generator=generator), n_keep)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "important": important,
        "pooled": pooled,
        "resampled": resampled,
        "stable": stable,
        "steady": steady,
        "random": random,
    }
)


def _checked(
    values: Values, n_keep: int, generator: torch.Generator
) -> Float[Tensor, "sets units"]:
    found = shares(values)
    require_int("n_keep", n_keep, 1, found.shape[1])
    require_instance("generator", generator, torch.Generator)
    return found


def _checked_values(values: Values, n_keep: int, generator: torch.Generator) -> Values:
    _checked(values, n_keep, generator)
    return values
