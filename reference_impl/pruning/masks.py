"""Masks that keep the highest scores: by count, not by threshold, so exact and stable under ties.

A mask is true where a weight is kept.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_int, require_real


def n_dropped(sparsity: float, n: int) -> int:
    """Return round(sparsity · n), and at most n − 1: something is always kept.

    Args:
        sparsity: share of the n scores to drop, in [0, 1).
        n: how many there are.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``sparsity`` is outside [0, 1) or ``n`` below 1.

    >>> n_dropped(0.5, 9), n_dropped(0.99, 10)
    (4, 9)
    """
    require_int("n", n, 1)
    require_real("sparsity", sparsity, 0, 1)
    if sparsity == 1:
        raise ValueError("sparsity must be below 1, got 1: nothing would be kept")
    return min(round(sparsity * n), n - 1)


def keep_highest(score: Float[Tensor, "*shape"], sparsity: float) -> Bool[Tensor, "*shape"]:
    """Return a mask that drops the round(sparsity · n) lowest scores; of equals the first go.

    A comparison ``score > threshold`` would drop all that tie with the threshold, or none.

    Args:
        score: the larger, the more worth keeping; any shape.
        sparsity: share to drop, in [0, 1).

    Returns:
        True where kept, of the score's shape.

    Raises:
        TypeError: if ``score`` is no floating-point tensor, or ``sparsity`` no number.
        ValueError: if ``score`` is empty or not finite, or ``sparsity`` outside [0, 1).

    >>> keep_highest(torch.tensor([3.0, 1.0, 2.0, 1.0]), 0.25)
    tensor([ True, False,  True,  True])

    Equation: eq-sparse-best, chapter 11.
    """
    require_float_tensor("score", score)
    flat = score.detach().flatten()
    dropped = flat.argsort(stable=True)[: n_dropped(sparsity, flat.numel())]
    kept = torch.ones(flat.numel(), dtype=torch.bool, device=flat.device)
    kept[dropped] = False
    return kept.view(score.shape)


def keep_highest_of_all(
    scores: Mapping[str, Float[Tensor, "..."]], sparsity: float
) -> dict[str, Bool[Tensor, "..."]]:
    """Return masks that drop the lowest of all tensors' scores together, whichever they are in.

    A whole tensor may be dropped: the caller decides whether its layer can do without.

    Args:
        scores: name → scores that can be compared with one another.
        sparsity: share of all scores to drop, in [0, 1).

    Raises:
        TypeError: if ``scores`` is no mapping, a score no floating-point tensor, or ``sparsity``
            no number.
        ValueError: if there is none, one is empty or not finite, or ``sparsity`` outside [0, 1).

    Equation: eq-sparse-scale, chapter 11.
    """
    require_instance("scores", scores, Mapping)
    if not scores:
        raise ValueError("scores must hold a tensor or more, got none")
    for name, score in scores.items():
        require_float_tensor(f"scores[{name!r}]", score)
    flat = torch.cat([score.detach().flatten() for score in scores.values()])
    parts = keep_highest(flat, sparsity).split([score.numel() for score in scores.values()])
    return {
        name: part.view(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def keep_n_of_m(score: Float[Tensor, "out in"], n: int, m: int) -> Bool[Tensor, "out in"]:
    """Return a mask that keeps the n highest scores of every m consecutive ones in a row.

    Args:
        score: one row per output; of equals in a group the first go.
        n: kept of each group, 1 ≤ n ≤ m.
        m: the group's size; divides the length of the rows.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``score`` is empty, not finite or no matrix, n is not in [1, m], or m does
            not divide the rows' length.

    References:
        Mishra et al. (2021), Accelerating sparse deep neural networks: 2:4.

    >>> keep_n_of_m(torch.tensor([[4.0, 1.0, 2.0, 3.0]]), 2, 4)
    tensor([[ True, False, False,  True]])

    Equation: eq-sparse-patterns, chapter 11.
    """
    require_float_tensor("score", score)
    require_int("m", m, 1)
    require_int("n", n, 1, m)
    if score.ndim != 2 or score.shape[1] % m:
        raise ValueError(
            f"score must be a matrix whose rows' length m = {m} divides, got {tuple(score.shape)}"
        )
    groups = score.detach().reshape(-1, m)
    kept = torch.ones(groups.shape, dtype=torch.bool, device=groups.device)
    kept.scatter_(1, groups.argsort(dim=1, stable=True)[:, : m - n], value=False)
    return kept.view(score.shape)
