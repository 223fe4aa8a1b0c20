"""A bias for a class that a student never saw: Hinton's correction after the omission."""

import torch

from reference_impl.checked import FromZero, checked
from reference_impl.distillation.soft_targets import ClassedLogits, Labels, require_labels


@checked
def best_class_bias(logits: ClassedLogits, labels: Labels, index: FromZero) -> float:
    """Return β for which adding β to logit ``index`` gets most examples right.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 3.0], [1.0, 2.0], [0.0, 2.0]])
    >>> best_class_bias(logits, torch.tensor([0, 0, 1]), 0)  # gaps 3, 1 and 2
    1.5

    An example is answered with class k = ``index`` as soon as β exceeds its gap
    Δ = max_j≠k z_j − z_k. So the number of right answers changes at the gaps alone, and all values
    between two of them are equally good: every possibility is counted. The result is the middle of
    the widest of the best intervals, or 0 if 0 lies inside one of them. Use held-out examples.

    Raises:
        ValueError: if ``index`` is not a class.

    References: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 3.
    Equation: eq-student-bias, chapter 11.
    """
    require_labels(labels, logits.shape[1])
    if index >= logits.shape[1]:
        raise ValueError(f"index must be below {logits.shape[1]}, got {index}")
    z = logits.detach().double()
    best_other, answer = z.index_fill(1, labels.new_tensor(index), -torch.inf).max(dim=1)
    gap, order = (best_other - z[:, index]).sort()
    gained = (labels == index).long() - (answer == labels).long()  # once it is answered ``index``
    right = torch.cat([gained.new_zeros(1), gained[order].cumsum(0)])
    ends = torch.cat([gap[:1] - 1, gap, gap[-1:] + 1])  # interval i lies in ends[i] … ends[i + 1]
    right = right.masked_fill(ends[1:] == ends[:-1], -len(labels) - 1)  # nothing between equal gaps
    if right[(gap < 0).sum()] == right.max() and not (gap == 0).any():  # at a gap, β = 0 is a tie
        return 0.0
    widths = (ends[1:] - ends[:-1]).masked_fill(right < right.max(), -1)
    best = int(widths.argmax())
    return float((ends[best] + ends[best + 1]) / 2)
