"""Which units go together: by chains of similar pairs, or only where all pairs are similar."""

from typing import Annotated

import torch
from torch import Tensor

from reference_impl.checked import Finite, Where, Within, checked
from reference_impl.merging.width_map import Keep, Units

Similarity = Annotated[Finite[Tensor, "n n"], Where("symmetric", lambda s: torch.equal(s, s.T))]
Cosine = Annotated[float, Within(-1, 1)]
SomeKept = Annotated[Keep, Where("true for one unit or more", lambda keep: bool(keep.any()))]


@checked
def connected_components(similarity: Similarity, threshold: Cosine) -> Units:
    """Return for each unit the first one that a chain of pairs above the threshold leads to.

    >>> import torch
    >>> chain = torch.tensor([[1.0, 0.8, 0.0], [0.8, 1.0, 0.8], [0.0, 0.8, 1.0]])
    >>> connected_components(chain, 0.7)
    tensor([0, 0, 0])

    Units at the ends of a chain may be unlike: A ~ B ~ C says nothing about A and C.
    """
    n = len(similarity)
    labels = torch.arange(n, device=similarity.device)
    linked = (similarity >= threshold) | (labels == labels.unsqueeze(1))
    while True:
        lowest = torch.where(linked, labels, n).amin(dim=1)  # of all that are linked with it
        if torch.equal(lowest, labels):
            return labels
        labels = lowest


@checked
def complete_linkage(similarity: Similarity, threshold: Cosine) -> Units:
    """Return clusters, named by their first units, whose pairs all reach the threshold.

    >>> import torch
    >>> chain = torch.tensor([[1.0, 0.8, 0.0], [0.8, 1.0, 0.8], [0.0, 0.8, 1.0]])
    >>> complete_linkage(chain, 0.7)
    tensor([0, 0, 2])

    The two clusters whose least similar pair is most similar become one, until none is similar
    enough; among equals, the first. O(n³) comparisons.
    """
    least = similarity.detach().clone().fill_diagonal_(-torch.inf)
    n = len(least)
    labels = torch.arange(n, device=least.device)
    for _ in range(n - 1):
        i, j = sorted(divmod(int(least.argmax()), n))
        if least[i, j] < threshold:
            break
        labels[labels == j] = i
        least[i] = least[:, i] = torch.minimum(least[i], least[j])
        least[i, i] = -torch.inf
        least[j] = least[:, j] = -torch.inf
    return labels


@checked
def nearest_kept(similarity: Similarity, keep: SomeKept) -> Units:
    """Return for each unit the most similar kept one, itself if kept; among equals, the first.

    >>> import torch
    >>> similarity = torch.tensor([[1.0, 0.2, 0.9], [0.2, 1.0, 0.4], [0.9, 0.4, 1.0]])
    >>> nearest_kept(similarity, torch.tensor([True, True, False]))
    tensor([0, 1, 0])
    """
    places = keep.nonzero().flatten()
    nearest = places[similarity[:, keep].argmax(dim=1)]
    return torch.where(keep, torch.arange(len(keep), device=keep.device), nearest)
