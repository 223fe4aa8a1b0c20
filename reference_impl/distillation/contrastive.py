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
"""s, of every student with every teacher; the diagonal holds the pairs that belong together."""


@checked
def pair_scores(
    student: Finite[Tensor, "n d"], teacher: Finite[Tensor, "n d"], *, temperature: Positive = 0.1
) -> Float[Tensor, "n n"]:
    """Return ⟨f_i, g_j⟩ / τ of the normalised features of every student i and teacher j.

    Both come after an adapter to d numbers; the teacher's learns too. τ is the temperature.
    """
    f, g = unit.__wrapped__(widened(student)), unit.__wrapped__(widened(teacher))
    dtype = torch.promote_types(f.dtype, g.dtype)
    return f.to(dtype) @ g.to(dtype).T / temperature


@checked
def contrastive_loss(scores: Scores) -> Scalar:
    """Return −E log h(i, i) − (n − 1) E log(1 − h(i, j)), i ≠ j, in nats; h = e^s / (e^s + n − 1).

    h is the probability that a pair is one of the same example, when each of those comes with
    N = n − 1 pairs of different ones. The best score is log p(f, g) / (p(f) p(g)). The mutual
    information is at least log N minus this loss, whatever the scores: see `information_bound`.

    References: Tian et al. 2020, "Contrastive representation distillation", section 3, with the
    batch as the source of other examples.
    Equation: eq-relation-posterior, eq-relation-contrast, chapter 12.
    """
    n = len(scores)
    odds = widened(scores) - math.log(n - 1)  # log h / (1 − h)
    others = odds.flatten()[1:].view(n - 1, n + 1)[:, :-1]  # all but the diagonal
    return -F.logsigmoid(odds.diagonal()).mean() - (n - 1) * F.logsigmoid(-others).mean()


@checked
def information_bound(scores: Scores) -> Scalar:
    """Return log N − `contrastive_loss`, in nats, with N = n − 1: at most I(f; g), in the mean.

    It cannot exceed log N, so a large mutual information needs a large batch to be seen. And in
    the mean it cannot exceed I(f; g) − 1, however large the batch: for the best score the loss is
    log N − I + N E (1 + x) log(1 + x) ≥ log N − I + 1, with x = e^s / N of pairs of different
    examples, whose mean is 1/N.

    References: Tian et al. 2020, "Contrastive representation distillation", section 3.
    Equation: eq-relation-bound, eq-relation-nat, eq-relation-gaussian, chapter 12.
    """
    return math.log(len(scores) - 1) - contrastive_loss.__wrapped__(scores)
