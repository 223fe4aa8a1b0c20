"""Stability of a choice of units: how often a unit is chosen when the data are drawn again.

Of n examples, a half-sample has ⌊n/2⌋, drawn without replacement. On each of B samples the q
highest scores are chosen; unit j is chosen in a share Π̂_j of them. *Stable* are the units with
Π̂_j ≥ π, for a threshold π > ½. How many of them may be there by chance,
`reference_impl.pruning.stability_bounds` tells.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from reference_impl.checks import (
    require_arithmetic,
    require_float_tensor,
    require_instance,
    require_int,
    require_real,
    require_tensor,
)

SLACK = 1e-9
"""π B may miss a whole number by rounding: in floating point, 0.55 · 100 is above 55."""


def half_samples(n: int, count: int, generator: torch.Generator) -> Int64[Tensor, "count half"]:
    """Return ``count`` random subsets of ⌊n/2⌋ of the numbers 0 … n − 1.

    Args:
        n: examples, at least 2.
        count: B, subsets.
        generator: the only source of chance.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``n`` is below 2 or ``count`` below 1.

    References:
        Meinshausen & Bühlmann (2010), Stability selection.
    """
    return _permutations(n, count, generator)[:, : n // 2]


def complementary_pairs(
    n: int, count: int, generator: torch.Generator
) -> Int64[Tensor, "count 2 half"]:
    """Return ``count`` random pairs of disjoint subsets of ⌊n/2⌋ of the numbers 0 … n − 1.

    Of an odd n, each pair leaves one number out.

    Args:
        n: examples, at least 2.
        count: pairs; 2 · count subsets.
        generator: the only source of chance.

    Raises:
        TypeError, ValueError: as `half_samples`.

    References:
        Shah & Samworth (2013), Variable selection with error control.
    """
    return _permutations(n, count, generator)[:, : n // 2 * 2].reshape(count, 2, n // 2)


def sample_means(
    values: Float[Tensor, "n units"], samples: Int64[Tensor, "*samples size"]
) -> Float[Tensor, "*samples units"]:
    """Return x̄_bj = (1/|S_b|) Σ_{i ∈ S_b} x_ij: each unit's mean over each sample of examples.

    Args:
        values: one row an example, such as |activation × gradient|.
        samples: S_b, numbers of rows; one that occurs twice counts twice.

    Raises:
        TypeError: if ``values`` is no floating-point tensor or ``samples`` holds no integers.
        ValueError: if one is empty, a value is not finite, ``values`` is no matrix, ``samples`` a
            scalar, or a number is none of a row.

    Equation: eq-stability-importance, chapter 13.
    """
    require_float_tensor("values", values)
    require_arithmetic("samples", samples)
    if samples.ndim == 0:
        raise ValueError("samples must have an axis of row numbers, got a scalar")
    if values.ndim != 2:
        raise ValueError(f"values must be (examples, units), got shape {tuple(values.shape)}")
    n = len(values)
    low, high = (int(end) for end in samples.aminmax())
    if low < 0 or high >= n:
        raise ValueError(f"samples must hold numbers in [0, {n - 1}], got {low} to {high}")
    flat = samples.long().reshape(-1, samples.shape[-1])
    wide = values.float() if values.element_size() == 2 else values  # 16 bits overflow in a sum
    times = wide.new_zeros(len(flat), n)
    times.scatter_add_(1, flat, wide.new_ones(flat.shape))
    means = (times @ wide / flat.shape[1]).to(values.dtype)
    return means.reshape(*samples.shape[:-1], values.shape[1])


def choose_highest(
    scores: Float[Tensor, "*samples units"], q: int
) -> Bool[Tensor, "*samples units"]:
    """Return true for the q highest scores of each sample; of equals the last stay.

    Args:
        scores: of the units in each sample.
        q: how many to choose, 1 to the number of units.

    Raises:
        TypeError: if ``scores`` is no floating-point tensor or ``q`` no integer.
        ValueError: if ``scores`` is empty or not finite, or ``q`` out of range.

    >>> choose_highest(torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0]]), 1)
    tensor([[ True, False, False],
            [False,  True, False]])
    """
    require_float_tensor("scores", scores)
    if scores.ndim == 0:
        raise ValueError("scores must have an axis of units, got a scalar")
    p = scores.shape[-1]
    require_int("q", q, 1, p)
    order = scores.detach().argsort(dim=-1, stable=True)
    chosen = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    return chosen.scatter_(-1, order[..., p - q :], value=True)


def selection_frequency(chosen: Bool[Tensor, "samples units"]) -> Float[Tensor, " units"]:
    """Return Π̂_j = (1/B) Σ_b [j ∈ Ŝ_b], the share of the samples in which a unit is chosen.

    Args:
        chosen: true where unit j is in the choice Ŝ_b of sample b.

    Raises:
        TypeError: if ``chosen`` holds no booleans.
        ValueError: if it is empty or has another number of axes.

    >>> selection_frequency(torch.tensor([[True, False], [True, True]]))
    tensor([1.0000, 0.5000], dtype=torch.float64)

    Equation: eq-stability-frequency, chapter 13.
    """
    _require_choices(chosen, 2)
    return chosen.double().mean(dim=0)


def simultaneous_frequency(chosen: Bool[Tensor, "pairs 2 units"]) -> Float[Tensor, " units"]:
    """Return Π̃_j, the share of the pairs in both of whose samples a unit is chosen.

    Π̂_j ≤ (1 + Π̃_j)/2: a unit chosen in more than half of all samples is chosen in both of some
    pair's.

    Args:
        chosen: true where unit j is chosen in the first or the second sample of a pair.

    Raises:
        TypeError, ValueError: as `selection_frequency`.

    References:
        Meinshausen & Bühlmann (2010), lemma 1; Shah & Samworth (2013), section 2.

    Equation: eq-stability-pair, chapter 13.
    """
    _require_choices(chosen, 3)
    if chosen.shape[1] != 2:
        raise ValueError(f"chosen must be (pairs, 2, units), got shape {tuple(chosen.shape)}")
    return chosen.all(dim=1).double().mean(dim=0)


def stable_units(chosen: Bool[Tensor, "samples units"], threshold: float) -> Bool[Tensor, " units"]:
    """Return true where Π̂_j ≥ π: chosen in at least ⌈π B⌉ of the B samples.

    Args:
        chosen: true where unit j is in the choice of sample b.
        threshold: π, in (½, 1].

    Raises:
        TypeError, ValueError: as `selection_frequency`, and if ``threshold`` is out of range.

    References:
        Meinshausen & Bühlmann (2010), equation 7.

    Equation: eq-stability-set, chapter 13.
    """
    _require_choices(chosen, 2)
    pi = require_real("threshold", threshold, 0.5, 1, open_low=True)
    return chosen.sum(dim=0) >= math.ceil(pi * len(chosen) - SLACK)


def coefficient_of_variation(scores: Float[Tensor, "samples units"]) -> Float[Tensor, " units"]:
    """Return c_j = s_j / |x̄_j| with s_j² = Σ_b (x_bj − x̄_j)² / (B − 1).

    It has no unit, and a factor common to all of a unit's scores drops out. A unit whose mean is
    0, such as a dead one, has none: it gets inf.

    >>> coefficient_of_variation(torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    tensor([0.5000, 0.0000])

    Args:
        scores: of the units in each of B ≥ 2 samples.

    Raises:
        TypeError: if ``scores`` is no floating-point tensor.
        ValueError: if it is empty, not finite, no matrix, or has fewer than two rows.

    Equation: eq-stability-variation, chapter 13.
    """
    require_float_tensor("scores", scores)
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(
            f"scores must be (samples, units) of 2 samples or more, got {tuple(scores.shape)}"
        )
    mean = scores.mean(dim=0).abs()
    variation = scores.std(dim=0, correction=1) / mean
    return torch.where(mean > 0, variation, torch.full_like(variation, math.inf))


def keep_most_stable(
    chosen: Bool[Tensor, "samples units"], importance: Float[Tensor, " units"], n_keep: int
) -> Bool[Tensor, " units"]:
    """Return true for the ``n_keep`` units chosen most often; of equals the more important ones.

    Most frequencies are 0 or 1, so that the second criterion often decides.

    Args:
        chosen: true where unit j is in the choice of sample b.
        importance: of each unit, over all samples.
        n_keep: 1 to the number of units.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is empty, not finite or out of range, or their numbers of units differ.
    """
    _require_choices(chosen, 2)
    require_float_tensor("importance", importance)
    p = chosen.shape[1]
    if importance.shape != (p,):
        raise ValueError(f"importance must be of {p} units, got {tuple(importance.shape)}")
    require_int("n_keep", n_keep, 1, p)
    by_importance = importance.detach().argsort(stable=True)
    by_both = by_importance[chosen.sum(dim=0)[by_importance].argsort(stable=True)]
    kept = torch.zeros(p, dtype=torch.bool)
    kept[by_both[p - n_keep :]] = True
    return kept


def _permutations(n: int, count: int, generator: torch.Generator) -> Int64[Tensor, "count n"]:
    require_int("n", n, 2)
    require_int("count", count, 1)
    require_instance("generator", generator, torch.Generator)
    return torch.rand(count, n, generator=generator, dtype=torch.float64).argsort(dim=1)


def _require_choices(chosen: Tensor, ndim: int) -> None:
    require_tensor("chosen", chosen)
    if chosen.dtype != torch.bool:
        raise TypeError(f"chosen must hold booleans, got dtype {chosen.dtype}")
    if chosen.ndim != ndim:
        raise ValueError(f"chosen must have {ndim} axes, got shape {tuple(chosen.shape)}")
