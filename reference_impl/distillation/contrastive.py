"""Contrastive representation distillation: which student feature belongs to which teacher's?

The answer of a good classifier of pairs bounds the mutual information of the two networks'
features from below, so that training it, and the student with it, raises the bound.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_real, require_same_shape
from reference_impl.distillation.numerics import unit, widened


def pair_scores(
    student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"], *, temperature: float = 0.1
) -> Float[Tensor, "n n"]:
    """Return ⟨f_i, g_j⟩ / τ of the normalised features of every student i and teacher j.

    Args:
        student: features f, behind an adapter to d numbers.
        teacher: features g, behind an adapter of their own, which learns too.
        temperature: τ > 0.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes differ, there is but one example, a value is not finite, or τ is
            not above 0.
    """
    for name, features in (("student", student), ("teacher", teacher)):
        require_float_tensor(name, features)
        if features.ndim != 2:
            raise ValueError(f"{name} must be (n, d), got shape {tuple(features.shape)}")
    require_same_shape("student", student, "teacher", teacher)
    if len(student) < 2:
        raise ValueError(f"student must have two examples or more, got {len(student)}")
    tau = require_real("temperature", temperature, 0, open_low=True)
    f, g = unit(widened(student)), unit(widened(teacher))
    dtype = torch.promote_types(f.dtype, g.dtype)
    return f.to(dtype) @ g.to(dtype).T / tau


def contrastive_loss(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Return −E log h(i, i) − (n − 1) E log(1 − h(i, j)), i ≠ j, in nats; h = e^s / (e^s + n − 1).

    h is the probability that a pair is one of the same example, when each of those comes with
    N = n − 1 pairs of different ones. The best score is log p(f, g) / (p(f) p(g)).

    The mutual information of f and g is at least log N minus this loss, whatever the scores:
    see `information_bound`.

    Args:
        scores: s, of every student with every teacher; the diagonal holds the pairs that belong
            together.

    Raises:
        TypeError: if ``scores`` is no floating-point tensor.
        ValueError: if it is not square, smaller than 2×2, or not finite.

    References:
        Tian, Krishnan & Isola 2020, "Contrastive representation distillation", section 3, with
        the batch as the source of other examples.

    Equation: eq-relation-posterior, eq-relation-contrast, chapter 10.
    """
    n = _require_square(scores)
    odds = widened(scores) - math.log(n - 1)  # log h / (1 − h)
    others = odds.flatten()[1:].view(n - 1, n + 1)[:, :-1]  # all but the diagonal
    return -F.logsigmoid(odds.diagonal()).mean() - (n - 1) * F.logsigmoid(-others).mean()


def information_bound(scores: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Return log N − `contrastive_loss`, in nats, with N = n − 1: at most I(f; g), in the mean.

    It cannot exceed log N, so a large mutual information needs a large batch to be seen. And in
    the mean it cannot exceed I(f; g) − 1, however large the batch: for the best score the loss is
    log N − I + N E (1 + x) log(1 + x) ≥ log N − I + 1, with x = e^s / N of pairs of different
    examples, whose mean is 1/N.

    Args:
        scores: as for `contrastive_loss`.

    Raises:
        TypeError, ValueError: as `contrastive_loss`.

    References:
        Tian, Krishnan & Isola 2020, "Contrastive representation distillation", section 3.

    Equation: eq-relation-bound, eq-relation-nat, eq-relation-gaussian, chapter 10.
    """
    return math.log(_require_square(scores) - 1) - contrastive_loss(scores)


def _require_square(scores: Tensor) -> int:
    """Return n of an n×n matrix of two rows or more."""
    require_float_tensor("scores", scores)
    n = len(scores) if scores.ndim else 0
    if scores.shape != (n, n) or n < 2:
        raise ValueError(f"scores must be (n, n) with n ≥ 2, got {tuple(scores.shape)}")
    return n
