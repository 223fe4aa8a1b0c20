"""A bias for a class that a student never saw: Hinton's correction after the omission."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int
from reference_impl.distillation.objective import require_labels


def best_class_bias(
    logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"], index: int
) -> float:
    """Return b for which adding b to logit ``index`` gets most examples right.

    An example is answered with the class as soon as b exceeds its gap max_j≠k z_j − z_k. So the
    number of right answers changes at the gaps alone, and all values between two of them are as
    good as another: every possibility is counted. Of the best intervals the widest is taken, and
    its middle; if 0 lies inside one of the best, b is 0.

    Args:
        logits: z, of examples that were held out. Their labels are used.
        labels: y.
        index: k, the class.

    Returns:
        b in the unit of the logits.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if shapes do not fit, a value is not finite, a label or ``index`` is no class.

    References:
        Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 3.

    Equation: eq-student-bias, chapter 09.
    """
    require_float_tensor("logits", logits)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"logits must be (n, classes ≥ 2), got shape {tuple(logits.shape)}")
    k = require_int("index", index, 0, logits.shape[1] - 1)
    require_labels("labels", labels, *logits.shape)
    others = logits.detach().double().clone()
    others[:, k] = -torch.inf
    best_other, answer = others.max(dim=1)
    gap, order = (best_other - logits.detach()[:, k].double()).sort()
    gained = (labels == k).long() - (answer == labels).long()  # once the example is answered k
    right = torch.cat([torch.zeros(1, dtype=torch.long), gained[order].cumsum(0)])
    ends = torch.cat([gap[:1] - 1, gap, gap[-1:] + 1])  # interval i lies in ends[i] … ends[i + 1]
    right = right.masked_fill(ends[1:] == ends[:-1], -len(labels) - 1)  # between equal gaps: none
    at_zero = int((gap < 0).sum())
    widths = (ends[1:] - ends[:-1]).masked_fill(right < right.max(), -1)
    if right[at_zero] == right.max() and not (gap == 0).any():  # at a gap, b = 0 is a tie
        return 0.0
    best = int(widths.argmax())
    return float((ends[best] + ends[best + 1]) / 2)
