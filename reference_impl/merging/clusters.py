"""Which units go together: by chains of similar pairs, or only where all pairs are similar."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_real, require_tensor


def connected_components(similarity: Float[Tensor, "n n"], threshold: float) -> Int64[Tensor, " n"]:
    """Return for each unit the first one that a chain of pairs with S ≥ threshold leads to.

    Units at the ends of a chain may be unlike: A ~ B ~ C says nothing of A and C.

    Args:
        similarity: S, symmetric.
        threshold: in [−1, 1].

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if S is not square, symmetric and finite, or ``threshold`` outside [−1, 1].
    """
    linked = _require_similarity(similarity) >= require_real("threshold", threshold, -1, 1)
    n = len(linked)
    linked = linked | torch.eye(n, dtype=torch.bool, device=linked.device)
    labels = torch.arange(n, device=linked.device)
    while True:
        lowest = torch.where(linked, labels, n).amin(dim=1)  # of all that are linked with it
        if torch.equal(lowest, labels):
            return labels
        labels = lowest


def complete_linkage(similarity: Float[Tensor, "n n"], threshold: float) -> Int64[Tensor, " n"]:
    """Return clusters in which all pairs have S ≥ threshold, each named by its first unit.

    Again and again the two clusters whose least similar pair is most similar become one; of equals
    the first. O(n³) comparisons.

    Args:
        similarity: S, symmetric.
        threshold: in [−1, 1].

    Raises:
        TypeError, ValueError: as `connected_components`.
    """
    least = _require_similarity(similarity).detach().clone().fill_diagonal_(-torch.inf)
    require_real("threshold", threshold, -1, 1)
    n = len(least)
    labels = torch.arange(n, device=least.device)
    for _ in range(n - 1):
        i, j = divmod(int(least.argmax()), n)
        if least[i, j] < threshold:
            break
        i, j = min(i, j), max(i, j)
        labels[labels == j] = i
        least[i] = least[:, i] = torch.minimum(least[i], least[j])
        least[i, i] = -torch.inf
        least[j] = least[:, j] = -torch.inf
    return labels


def nearest_kept(similarity: Float[Tensor, "n n"], keep: Bool[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return for each unit the kept one that is most similar to it; a kept unit has itself.

    Of equals the first.

    Args:
        similarity: S, symmetric.
        keep: true for a unit that stays.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if S is not square, symmetric and finite, ``keep`` is not (n,), or none stays.
    """
    n = len(_require_similarity(similarity))
    require_tensor("keep", keep)
    if keep.dtype != torch.bool:
        raise TypeError(f"keep must hold booleans, got {keep.dtype}")
    if keep.shape != (n,) or not keep.any():
        raise ValueError(f"keep must be ({n},) and leave a unit or more, got {tuple(keep.shape)}")
    places = keep.nonzero().flatten()
    nearest = places[similarity[:, keep].argmax(dim=1)]
    return torch.where(keep, torch.arange(n, device=keep.device), nearest)


def _require_similarity(similarity: Tensor) -> Tensor:
    require_float_tensor("similarity", similarity)
    if similarity.ndim != 2 or not torch.equal(similarity, similarity.T):
        raise ValueError(f"similarity must be symmetric, got shape {tuple(similarity.shape)}")
    return similarity
