"""Contrastive representation distillation: which student feature belongs to which teacher's?

The answer of a good classifier of pairs bounds the mutual information of the two networks'
features from below, so that training it, and the student with it, raises the bound.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Finite, Positive, Scalar, Where, Within, checked, widened
from reference_impl.distillation.numerics import unit

Scores = Annotated[
    Float[Tensor, "n n"],
    Within(),  # the loss of a score of −inf may be 0
    Where("of two examples or more", lambda scores: len(scores) >= 2),
]
"""ψ, of every student with every teacher; the diagonal holds the pairs that belong together."""


@checked
def pair_scores(
    student: Finite[Tensor, "n d"], teacher: Finite[Tensor, "n d"], *, temperature: Positive = 0.1
) -> Float[Tensor, "n n"]:
    """Return cos(f_i, f'_j) / T_c of the features of every student i and teacher j.

    Both come after an adapter to d numbers; the teacher's learns too. T_c is the temperature.
    """
    f, g = unit.__wrapped__(widened(student)), unit.__wrapped__(widened(teacher))
    dtype = torch.promote_types(f.dtype, g.dtype)
    return f.to(dtype) @ g.to(dtype).T / temperature


@checked
def contrastive_loss(scores: Scores) -> Scalar:
    """Return −E ln P_ii − (n − 1) E ln(1 − P_ij), i ≠ j, in nats; P = e^ψ / (e^ψ + n − 1).

    >>> import torch
    >>> round(contrastive_loss(torch.eye(3) * torch.tensor(2.0).log()).item(), 3)  # ln 2 + 2 ln 1.5
    1.504

    P is the probability that a pair is one of the same example, when each of those comes with
    n − 1 pairs of different ones. The best score is ln p(f, f') / (p(f) p(f')). The mutual
    information is at least ln(n − 1) less this loss, whatever the scores: `information_bound`.

    References: Tian et al. 2020, "Contrastive representation distillation", section 3, with the
    batch as the source of other examples.
    Equation: eq-relation-posterior, eq-relation-contrast, chapter 12.
    """
    n = len(scores)
    odds = widened(scores) - math.log(n - 1)  # ln P / (1 − P)
    others = odds.flatten()[1:].view(n - 1, n + 1)[:, :-1]  # all but the diagonal
    return -F.logsigmoid(odds.diagonal()).mean() - (n - 1) * F.logsigmoid(-others).mean()


@checked
def information_bound(scores: Scores) -> Scalar:
    """Return ln(n − 1) − `contrastive_loss`, in nats: in the mean at most the information MI.

    >>> import torch
    >>> round(information_bound(40 * torch.eye(3) - 20).item(), 3)  # ln 2, its ceiling
    0.693

    It cannot exceed ln(n − 1), so a large information needs a large batch to be seen. And in the
    mean it cannot exceed MI − 1, however large the batch: for the best score the loss is
    ln(n − 1) − MI + (n − 1) E (1 + x) ln(1 + x) ≥ ln(n − 1) − MI + 1, with the odds
    x = e^ψ / (n − 1) of pairs of different examples, whose mean is 1/(n − 1).

    References: Tian et al. 2020, "Contrastive representation distillation", section 3.
    Equation: eq-relation-bound, eq-relation-nat, eq-relation-gaussian, chapter 12.
    """
    return math.log(len(scores) - 1) - contrastive_loss.__wrapped__(scores)
