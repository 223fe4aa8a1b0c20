"""Stability of a choice of units: how often a unit is chosen when the data are drawn again.

A half-sample of n examples has ⌊n/2⌋ of them, drawn without replacement. On each sample as many of
the highest scores are chosen; unit j is chosen in a share Π̂_j of the samples. *Stable* are the
units with Π̂_j ≥ π > ½. `reference_impl.pruning.stability_bounds` bounds how many of them are so
by chance.
"""

import math
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Float64, Int64, Integer
from torch import Tensor

from reference_impl.checked import Count, Finite, Within, checked, widened
from reference_impl.pruning.masks import choose_highest
from reference_impl.pruning.stability_bounds import Threshold

Chance = torch.Generator
Examples = Annotated[int, Within(2)]
Values = Finite[Tensor, "n units"]
RowNumbers = Annotated[Integer[Tensor, "*samples size"], Within(0)]
Pairs = Int64[Tensor, "count 2 half"]
Choices = Bool[Tensor, "samples units"]
"""True where unit j is chosen on sample b."""


@checked
def complementary_pairs(n: Examples, count: Count, generator: Chance) -> Pairs:
    """Return ``count`` random pairs of disjoint subsets of ⌊n/2⌋ of the numbers 0 … n − 1.

    If n is odd, each pair leaves one number out.

    References: Shah & Samworth 2013, "Variable selection with error control".
    """
    order = torch.rand(count, n, generator=generator, dtype=torch.float64).argsort(dim=1)
    return order[:, : n // 2 * 2].reshape(count, 2, n // 2)


@checked
def half_samples(n: Examples, count: Count, generator: Chance) -> Int64[Tensor, "count half"]:
    """Return ``count`` random subsets of ⌊n/2⌋ of the numbers 0 … n − 1.

    References: Meinshausen & Bühlmann 2010, "Stability selection".
    """
    return complementary_pairs(n, count, generator)[:, 0]


@checked
def sample_means(values: Values, samples: RowNumbers) -> Float[Tensor, "*samples units"]:
    """Return I_bj, the mean of x_ij over the examples i of sample b, for each unit j.

    >>> import torch
    >>> sample_means(torch.tensor([[1.0], [2.0], [6.0]]), torch.tensor([[0, 1], [1, 2]]))
    tensor([[1.5000],
            [4.0000]])

    ``samples`` are numbers of rows; one that occurs twice counts twice.

    Equation: eq-stability-importance, chapter 15.
    """
    if samples.max() >= len(values):
        raise ValueError(f"samples must be in [0, {len(values) - 1}], got {int(samples.max())}")
    flat = samples.long().reshape(-1, samples.shape[-1])
    wide = widened(values)  # float16 sums overflow
    times = wide.new_zeros(len(flat), len(wide))
    times.scatter_add_(1, flat, torch.ones_like(flat, dtype=wide.dtype))
    means = (times @ wide / flat.shape[1]).to(values.dtype)
    return means.reshape(*samples.shape[:-1], values.shape[1])


@checked
def selection_frequency(chosen: Choices) -> Float64[Tensor, " units"]:
    """Return Π̂_j = mean_b [sample b chooses j], the share of the samples that choose a unit.

    >>> selection_frequency(torch.tensor([[True, False], [True, True]]))
    tensor([1.0000, 0.5000], dtype=torch.float64)

    Equation: eq-stability-frequency, chapter 15.
    """
    return chosen.double().mean(dim=0)


@checked
def simultaneous_frequency(chosen: Bool[Tensor, "pairs 2 units"]) -> Float64[Tensor, " units"]:
    """Return Π̃_j, the share of the pairs on both of whose samples a unit is chosen.

    >>> import torch
    >>> both, one = [[True, True], [True, False]], [[False, True], [True, True]]
    >>> simultaneous_frequency(torch.tensor([both, one]))
    tensor([0.5000, 0.5000], dtype=torch.float64)

    Π̂_j ≤ (1 + Π̃_j)/2: a unit chosen on more than half of all samples is chosen on both of a pair.

    References: Meinshausen & Bühlmann 2010, lemma 1; Shah & Samworth 2013, section 2.
    Equation: eq-stability-pair, chapter 15.
    """
    return chosen.all(dim=1).double().mean(dim=0)


@checked
def stable_units(chosen: Choices, threshold: Threshold) -> Bool[Tensor, " units"]:
    """Return true where Π̂_j ≥ π: chosen on at least the share π of the samples.

    >>> import torch
    >>> chosen = torch.tensor([[True, False], [True, True], [True, False], [False, True]])
    >>> stable_units(chosen, 0.75)
    tensor([ True, False])

    References: Meinshausen & Bühlmann 2010, equation 7.
    Equation: eq-stability-set, chapter 15.
    """
    slack = 1e-9  # in floating point, 0.55 · 100 is above 55
    return chosen.sum(dim=0) >= math.ceil(threshold * len(chosen) - slack)


@checked
def coefficient_of_variation(scores: Finite[Tensor, "samples units"]) -> Float[Tensor, " units"]:
    """Return cv_j = σ_j / |x̄_j|; σ_j² = Σ_b (x_bj − x̄_j)² over the number of samples − 1.

    It has no unit, and a factor common to all of a unit's scores cancels. A unit whose mean is 0,
    such as a dead one, gets inf. There are two samples or more.

    >>> coefficient_of_variation(torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    tensor([0.5000, 0.0000])

    Equation: eq-stability-variation, chapter 15.
    """
    if len(scores) < 2:
        raise ValueError(f"scores must be of 2 samples or more, got {len(scores)}")
    mean = scores.mean(dim=0).abs()
    return torch.where(mean > 0, scores.std(dim=0, correction=1) / mean, math.inf)


@checked
def keep_most_stable(
    chosen: Choices, importance: Finite[Tensor, " units"], n_keep: Count
) -> Bool[Tensor, " units"]:
    """Return true for the ``n_keep`` units chosen most often; among equals, the more important.

    Most frequencies are 0 or 1, so that the importance often decides.
    """
    rank = importance.argsort(stable=True).argsort()  # 0 for the least important
    return choose_highest((chosen.sum(dim=0) * len(rank) + rank).double(), n_keep)
