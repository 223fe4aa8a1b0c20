"""Losses between the logits of a student and of its teacher.

Each is a mean over the batch of a sum over the classes. A mean over the classes too, such as
``nn.KLDivLoss(reduction="mean")``, makes the loss as many times too small as there are classes.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import (
    require_float_tensor,
    require_floating,
    require_real,
    require_same_shape,
)
from reference_impl.distillation.numerics import finite, widened

Logits = Float[Tensor, "n classes"]

MAX_TEMPERATURE = 1e6
"""Beyond it, softened probabilities differ by less than floating point resolves."""


def soften(logits: Logits, temperature: float) -> Float[Tensor, "n classes"]:
    """Return p_i = exp(z_i / T) / Σ_j exp(z_j / T), the softmax at temperature T, per example.

    >>> import torch
    >>> soften(torch.tensor([[2.0, 0.0]]), temperature=2.0)
    tensor([[0.7311, 0.2689]])

    Args:
        logits: z, one row per example.
        temperature: T > 0. One is the usual softmax; with T → ∞ the classes become equal.

    Raises:
        TypeError: if ``logits`` is no floating-point tensor or ``temperature`` no real number.
        ValueError: if ``logits`` is empty, not finite or not a matrix, or T is not in (0, 10⁶].

    References:
        Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", equation 1.

    Equation: eq-distill-softmax, chapter 08.
    """
    _require_logits("logits", logits)
    z = logits.double()  # a small T overflows sooner in fewer bits
    z = (z - z.amax(dim=-1, keepdim=True)) / require_temperature(temperature)
    return F.softmax(z, dim=-1).to(logits.dtype)


def soft_cross_entropy(
    student: Logits, teacher: Logits, *, temperature: float
) -> Float[Tensor, ""]:
    """Return −Σ_i p_i log q_i, mean over the batch, in nats; p and q softened at T.

    It is KL(p ‖ q) plus the teacher's entropy, which no student changes: both have the same
    gradient. This one is not 0 for a student that equals its teacher.

    Args:
        student: logits z, with q = softmax(z / T).
        teacher: logits v, with p = softmax(v / T); held constant.
        temperature: T > 0.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes differ, a value is not finite, or T is not in (0, 10⁶].

    Equation: eq-distill-cross-entropy, eq-distill-meant, chapter 08.
    """
    require_matrices(student, teacher)
    require_float_tensor("teacher", teacher)  # −inf would be p = 0, and leave no trace
    p, _, log_q = _distributions(student, teacher, require_temperature(temperature))
    return finite(-(p * log_q).sum(dim=-1).mean(), student, teacher)


def soft_target_loss(student: Logits, teacher: Logits, *, temperature: float) -> Float[Tensor, ""]:
    """Return T² KL(p ‖ q) = T² Σ_i p_i (log p_i − log q_i), mean over the batch, in nats.

    Its gradient is T (q − p) / n. Where T is large against the logits q − p falls as 1/T, so that
    the gradient keeps its size; below that it grows with T.

    In float32 it loses its digits where T is large: KL falls as 1/T², to the size of rounding.
    Half precision is computed in float32.

    Args:
        student: logits z, with q = softmax(z / T).
        teacher: logits v, with p = softmax(v / T); held constant.
        temperature: T > 0.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes differ, a value is not finite, or T is not in (0, 10⁶].

    References:
        Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2.

    Equation: eq-distill-kl, eq-distill-gradient, eq-distill-limit, chapter 08.
    Equation: eq-student-stationary, chapter 09.
    """
    require_matrices(student, teacher)
    loss = mean_soft_target_loss(student, teacher, require_temperature(temperature))
    return finite(loss, student, teacher)


def logit_matching_loss(student: Logits, teacher: Logits) -> Float[Tensor, ""]:
    """Return Σ_i ((z_i − z̄) − (v_i − v̄))² / (2N), mean over the batch: `soft_target_loss` at T → ∞.

    z̄ and v̄ are means over the N classes. A constant that is added to all logits of an example
    changes no probability, so only centred logits can be matched.

    Args:
        student: logits z.
        teacher: logits v; held constant.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes differ or a value is not finite.

    References:
        Hinton, Vinyals & Dean 2015, section 2.1, which assumes z̄ = v̄ = 0.

    Equation: eq-distill-matching, chapter 08.
    """
    require_matrices(student, teacher)
    gap = widened(student) - widened(teacher.detach())
    gap = gap - gap.mean(dim=-1, keepdim=True)  # (z − z̄) − (v − v̄)
    return finite(gap.square().sum(dim=-1).mean() / (2 * student.shape[-1]), student, teacher)


def mean_soft_target_loss(
    student: Logits, teacher: Logits, temperature: float
) -> Float[Tensor, ""]:
    """Return `soft_target_loss` without its checks."""
    p, log_p, log_q = _distributions(student, teacher, temperature)
    kl = (p * (log_p - log_q)).sum(dim=-1)  # nats, per example
    return temperature**2 * kl.mean()


def require_temperature(temperature: float) -> float:
    """Return T, refused if it is no number in (0, `MAX_TEMPERATURE`]."""
    return require_real("temperature", temperature, 0, MAX_TEMPERATURE, open_low=True)


def require_pair(name: str, student: Tensor, other_name: str, teacher: Tensor) -> None:
    """Refuse logits that are no two matrices of the same shape."""
    _require_logits(name, student)
    _require_logits(other_name, teacher)
    require_same_shape(name, student, other_name, teacher)


def require_matrices(student: Tensor, teacher: Tensor) -> None:
    """Refuse what are no two matrices of the same shape; their values are not looked at."""
    for name, logits in (("student", student), ("teacher", teacher)):
        require_floating(name, logits)
        if logits.ndim != 2:
            raise ValueError(f"{name} must be (n, classes), got shape {tuple(logits.shape)}")
    require_same_shape("student", student, "teacher", teacher)


def _require_logits(name: str, logits: Tensor) -> None:
    require_float_tensor(name, logits)
    if logits.ndim != 2:
        raise ValueError(f"{name} must be (n, classes), got shape {tuple(logits.shape)}")


def _distributions(student: Tensor, teacher: Tensor, t: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return p, log p and log q; no gradient reaches the teacher."""
    log_p = (widened(teacher.detach()) / t).log_softmax(dim=-1)
    log_q = (widened(student) / t).log_softmax(dim=-1)
    return log_p.exp(), log_p, log_q
