"""Masks that keep the highest scores: chosen by count, not by threshold.

A count is exact and stable under ties. A mask is true where a weight is kept.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from jaxtyping import Bool
from torch import Tensor

from reference_impl.checked import Count, Finite, Where, Within, checked

Sparsity = Annotated[float, Within(0, 1, below=True)]
"""Share to drop, in [0, 1): something is always kept."""

Kept = Annotated[float, Within(0, 1, above=True)]
"""Share to keep, in (0, 1]."""

Scores = Annotated[Mapping[str, Finite[Tensor, "..."]], Where("of one tensor or more", bool)]
"""Name → scores: the larger, the more worth keeping."""

Masks = dict[str, Bool[Tensor, "..."]]


@checked
def n_dropped(sparsity: Sparsity, n: Count) -> int:
    """Return round(sparsity · n), at most n − 1: how many of n scores to drop.

    >>> n_dropped(0.5, 9), n_dropped(0.99, 10)
    (4, 9)
    """
    return min(round(sparsity * n), n - 1)


@checked
def choose_highest(
    scores: Finite[Tensor, "*samples units"], q: Count
) -> Bool[Tensor, "*samples units"]:
    """Return true for the q highest scores along the last axis; among equals, for the last.

    q is at most the number of units.

    >>> choose_highest(torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0]]), 1)
    tensor([[ True, False, False],
            [False,  True, False]])
    """
    if q > scores.shape[-1]:
        raise ValueError(f"q must be in [1, {scores.shape[-1]}], the number of units, got {q}")
    ascending = scores.detach().argsort(dim=-1, stable=True)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    return chosen.scatter_(-1, ascending[..., -q:], value=True)


@checked
def keep_highest(score: Finite[Tensor, "*shape"], *, share: Kept) -> Bool[Tensor, "*shape"]:
    """Return a mask that keeps this share of n scores, the highest; among equals, the last.

    It drops round((1 − share) · n), at most n − 1. A comparison ``score > threshold`` would drop
    all that tie with the threshold, or none.

    >>> keep_highest(torch.tensor([3.0, 1.0, 2.0, 1.0]), share=0.75)
    tensor([ True, False,  True,  True])

    Equation: eq-sparse-best, chapter 13.
    """
    n = score.numel()
    dropped = min(round(round(1 - share, 12) * n), n - 1)  # 1 - 0.9 is a little less than 0.1
    return choose_highest(score.flatten(), n - dropped).view(score.shape)


@checked
def keep_highest_of_all(scores: Scores, *, share: Kept) -> Masks:
    """Return masks that keep the highest scores of all tensors together: global pruning.

    >>> import torch
    >>> scores = {"a": torch.tensor([1.0, 5.0]), "b": torch.tensor([3.0, 4.0])}
    >>> keep_highest_of_all(scores, share=0.5)
    {'a': tensor([False,  True]), 'b': tensor([False,  True])}

    The scores must be comparable with one another. A whole tensor may be dropped: the caller
    decides whether the network works without its layer.

    Equation: eq-sparse-scale, chapter 13.
    """
    together = torch.cat([score.detach().flatten() for score in scores.values()])
    sizes = [score.numel() for score in scores.values()]
    parts = keep_highest(together, share=share).split(sizes)
    pairs = zip(scores.items(), parts, strict=True)
    return {name: part.view(score.shape) for (name, score), part in pairs}


@checked
def keep_highest_of_each(scores: Scores, *, share: Kept) -> Masks:
    """Return masks that keep the same share of each tensor's scores: layerwise pruning."""
    return {name: keep_highest(score, share=share) for name, score in scores.items()}


@checked
def keep_n_of_m(score: Finite[Tensor, "out in"], n: Count, m: Count) -> Bool[Tensor, "out in"]:
    """Return a mask that keeps the n ≤ m highest scores of every m consecutive ones in a row.

    >>> keep_n_of_m(torch.tensor([[4.0, 1.0, 2.0, 3.0]]), 2, 4)
    tensor([[ True, False, False,  True]])

    References: Mishra et al. 2021, "Accelerating sparse deep neural networks": 2:4.
    Equation: eq-sparse-patterns, chapter 13.
    """
    if n > m:
        raise ValueError(f"n must be at most m = {m}, got {n}")
    if score.shape[1] % m:
        raise ValueError(f"m must divide {score.shape[1]}, got {m}")
    return choose_highest(score.reshape(-1, m), n).view(score.shape)
