"""Losses between the logits of a student and of its teacher, and Hinton's objective.

Each is a mean over the batch of a sum over the classes. A mean over the classes too, such as
``nn.KLDivLoss(reduction="mean")``, makes the loss as many times too small as there are classes.
No gradient reaches the teacher, and half precision is computed in float32. z are the student's
logits, v the teacher's; q = softmax(z / T) and p = softmax(v / T).
"""

from typing import Annotated

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checked import (
    Count,
    Finite,
    Scalar,
    Share,
    Where,
    Within,
    checked,
    readable,
    widened,
)

Logits = Finite[Tensor, "n classes"]

ClassedLogits = Annotated[Logits, Where("of two classes or more", lambda z: z.shape[1] >= 2)]

VisiblyFinite = Annotated[Float[Tensor, "n classes"], Within()]
"""Logits that are looked at before the loss is computed: −inf is p = 0, and leaves no trace."""

Labels = Int64[Tensor, " n"]
"""The right class y of each example; those outside 0 … classes − 1 are refused."""

Temperature = Annotated[float, Within(0, 1e6, above=True)]
"""T > 0, up to 10⁶, where float64 has four digits of KL left."""


@checked
def soften(logits: Logits, temperature: Temperature) -> Float[Tensor, "n classes"]:
    """Return p_i = exp(z_i / T) / Σ_j exp(z_j / T), the softmax at temperature T, per example.

    >>> import torch
    >>> soften(torch.tensor([[2.0, 0.0]]), temperature=2.0)
    tensor([[0.7311, 0.2689]])

    References: Hinton et al. 2015, "Distilling the knowledge in a neural network", equation 1.
    Equation: eq-distill-softmax, chapter 10.
    """
    z = logits.double()  # a small T overflows sooner in fewer bits
    z = (z - z.amax(dim=-1, keepdim=True)) / temperature
    return z.softmax(dim=-1).to(logits.dtype)


def in_precision(logits: Float[Tensor, "n classes"], temperature: float) -> Tensor:
    """Return the logits in float32 or wider; in float64 where KL, of 1/T², needs more digits."""
    return logits.double() if temperature > 100 else widened(logits)


def divergence_terms(
    log_p: Float[Tensor, "n classes"], log_q: Float[Tensor, "n classes"]
) -> Float[Tensor, "n classes"]:
    """Return p_i (log p_i − log q_i), whose sum over the classes i is KL(p ‖ q), in nats."""
    return log_p.exp() * (log_p - log_q)


@checked
def soft_target_loss(student: Logits, teacher: Logits, *, temperature: Temperature) -> Scalar:
    """Return T² KL(p ‖ q) = T² Σ_i p_i (log p_i − log q_i), mean over the batch, in nats.

    >>> import torch
    >>> student, teacher = torch.zeros(1, 2), torch.tensor([[9.0, 1.0]]).log()
    >>> round(soft_target_loss(student, teacher, temperature=2.0).item(), 3)
    0.523

    Its gradient is T (q − p) / n. Where T is large against the logits q − p falls as 1/T, so that
    the gradient keeps its size; below that it grows with T. KL falls as 1/T², to the size of
    rounding, so that a T above 100 is computed in float64.

    References: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2.
    Equation: eq-distill-kl, eq-distill-gradient, eq-distill-limit, chapter 10.
    Equation: eq-student-stationary, chapter 11.
    """
    z, v = (in_precision(logits, temperature) for logits in (student, teacher.detach()))
    log_p, log_q = (v / temperature).log_softmax(dim=-1), (z / temperature).log_softmax(dim=-1)
    kl = divergence_terms(log_p, log_q).sum() / len(student)
    return (temperature**2 * kl).to(widened(student).dtype)


@checked
def soft_cross_entropy(
    student: Logits, teacher: VisiblyFinite, *, temperature: Temperature
) -> Scalar:
    """Return −Σ_i p_i log q_i, mean over the batch, in nats.

    >>> import torch
    >>> student, teacher = torch.zeros(1, 2), torch.tensor([[9.0, 1.0]]).log()
    >>> round(soft_cross_entropy(student, teacher, temperature=2.0).item(), 3)  # ln 2
    0.693

    It is KL(p ‖ q) plus the teacher's entropy, which no student changes: both have the same
    gradient. This one is not 0 for a student that equals its teacher.

    Equation: eq-distill-cross-entropy, chapter 10.
    Equation: eq-distill-meant, appendix article_distillation.
    """
    p = (widened(teacher.detach()) / temperature).log_softmax(dim=-1).exp()
    log_q = (widened(student) / temperature).log_softmax(dim=-1)
    return -(p * log_q).sum() / len(student)


@checked
def logit_matching_loss(student: Logits, teacher: Logits) -> Scalar:
    """Return Σ_i ((z_i − z̄) − (v_i − v̄))² / (2N), mean over the batch: `soft_target_loss` at T → ∞.

    >>> import torch
    >>> student, teacher = torch.zeros(1, 2), torch.tensor([[9.0, 1.0]]).log()
    >>> round(logit_matching_loss(student, teacher).item(), 3)  # (ln 9)² / 8
    0.603

    z̄ and v̄ are means over the N classes. A constant that is added to all logits of an example
    changes no probability, so only centred logits can be matched.

    References: Hinton et al. 2015, section 2.1, which assumes z̄ = v̄ = 0.
    Equation: eq-distill-matching, chapter 10.
    """
    gap = widened(student) - widened(teacher.detach())
    gap = gap - gap.mean(dim=-1, keepdim=True)  # (z − z̄) − (v − v̄)
    return gap.square().sum(dim=-1).mean() / (2 * student.shape[-1])


@checked
def distillation_objective(
    student: Logits, teacher: Logits, labels: Labels, *, temperature: Temperature, alpha: Share
) -> Scalar:
    """Return (1 − α) CE(y, softmax(z)) + α T² KL(p ‖ q), mean over the batch, in nats.

    >>> import torch
    >>> logits = torch.zeros(1, 2), torch.tensor([[16.0, 1.0]]).log()
    >>> labels = torch.tensor([0])
    >>> round(distillation_objective(*logits, labels, temperature=2.0, alpha=0.9).item(), 3)
    0.763

    The temperature is that of the second term alone.

    References: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2.
    Equation: eq-distill-objective, chapter 10.
    Equation: eq-student-mixture, chapter 11.
    """
    require_labels(labels, student.shape[1])
    hard = F.cross_entropy(widened(student), labels)
    soft = soft_target_loss.__wrapped__(student, teacher, temperature=temperature)
    return (1 - alpha) * hard + alpha * soft


@checked
def effective_alpha(alpha: Share, n_classes: Count) -> float:
    """Return α' = (α / N) / (1 − α + α / N): the α that a mean over N classes makes of α.

    ``nn.KLDivLoss(reduction="mean")`` divides the second term of `distillation_objective` by N;
    the sum then is (1 − α + α / N) times the objective with α'.

    >>> round(effective_alpha(0.9, 10), 3)
    0.474

    Equation: eq-distill-trap, chapter 10.
    """
    soft = alpha / n_classes
    return soft / (1 - alpha + soft)


def require_labels(labels: Labels, n_classes: int) -> None:
    """Refuse a label outside 0 … N − 1: torch ignores one of −100 in silence."""
    if not readable():
        return
    low, high = (end.item() for end in labels.aminmax())
    if low < 0 or high >= n_classes:
        raise ValueError(f"labels must be in 0 … {n_classes - 1}, got {low if low < 0 else high}")
