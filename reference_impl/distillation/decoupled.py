"""Decoupled distillation: Hinton's loss as a part for the right class and one for the others."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.arrays import is_finite
from reference_impl.checked import NonNegative, Scalar, checked, readable, widened
from reference_impl.distillation.soft_targets import (
    ClassedLogits,
    Labels,
    Logits,
    Temperature,
    divergence_terms,
    in_precision,
    require_labels,
)


@checked
@dataclass(frozen=True, eq=False)
class DecoupledParts:
    """KL(p ‖ q) of each example is ``target + (1 − p_target) · others``, all in nats.

    Args:
        target: TCKD, the KL divergence of the pairs (p_y, 1 − p_y) and (q_y, 1 − q_y).
        others: NCKD, that of the wrong classes, each distribution divided by its sum.
        p_target: p_y, what the softened teacher gives to the right class.
    """

    target: Float[Tensor, " n"]
    others: Float[Tensor, " n"]
    p_target: Float[Tensor, " n"]


@checked
def decoupled_parts(
    student: ClassedLogits, teacher: Logits, labels: Labels, *, temperature: Temperature
) -> DecoupledParts:
    """Return the two parts of KL(p ‖ q), per example, for p and q as in `soft_target_loss`.

    >>> import torch
    >>> q, p = torch.tensor([[0.25, 0.25, 0.5]]), torch.tensor([[0.5, 0.25, 0.25]])
    >>> parts = decoupled_parts(q.log(), p.log(), torch.tensor([0]), temperature=1.0)
    >>> [round(part.item(), 3) for part in (parts.target, parts.others)]
    [0.144, 0.059]

    References: Zhao et al. 2022, "Decoupled knowledge distillation".
    Equation: eq-relation-parts, chapter 12.
    """
    parts = _parts(student, teacher, labels, temperature)
    if readable() and not is_finite(parts.target.sum() + parts.others.sum()):
        raise ValueError(f"temperature must leave finite parts, got {temperature} for these logits")
    return parts


def _parts(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> DecoupledParts:
    classes = student.shape[1]
    require_labels(labels, classes)
    order = (labels[:, None] + torch.arange(classes, device=labels.device)) % classes  # y first
    z, v = (in_precision(logits, temperature) for logits in (student, teacher.detach()))
    pair_p, rest_p = _split((v / temperature).gather(1, order))
    pair_q, rest_q = _split((z / temperature).gather(1, order))
    found = [divergence_terms(*logs).sum(dim=-1) for logs in ((pair_p, pair_q), (rest_p, rest_q))]
    parts = [part.to(widened(student).dtype) for part in (*found, pair_p[:, 0].exp())]
    return DecoupledParts(*parts)


@checked
def decoupled_loss(
    student: ClassedLogits,
    teacher: Logits,
    labels: Labels,
    *,
    temperature: Temperature,
    target_weight: NonNegative = 1.0,
    others_weight: NonNegative = 8.0,
) -> Scalar:
    """Return T² (w_target TCKD + w_others NCKD), mean over the batch, in nats.

    >>> import torch
    >>> q, p = torch.tensor([[0.25, 0.25, 0.5]]), torch.tensor([[0.5, 0.25, 0.25]])
    >>> loss = decoupled_loss(q.log(), p.log(), torch.tensor([0]), temperature=1.0)
    >>> round(loss.item(), 3)  # target + 8 others
    0.615

    In Hinton's loss w_others is 1 − p_y: the more confident the teacher, the less the other classes
    count. Here both weights are constants.

    References: Zhao et al. 2022, "Decoupled knowledge distillation".
    Equation: eq-relation-decoupled, chapter 12.
    """
    parts = _parts(student, teacher, labels, temperature)
    return temperature**2 * (target_weight * parts.target + others_weight * parts.others).mean()


def _split(
    z: Float[Tensor, "n classes"],
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n others"]]:
    """Return (log p_y, log(1 − p_y)) and the logs of the others' distribution; z_y comes first.

    Both are softmaxes of logits, (z_y, logsumexp of the others) and the others alone, so that
    p_y = 1 loses nothing: no probability is subtracted from 1 or divided by 1 − p_y.
    """
    right, rest = z[:, :1], z[:, 1:]
    pair = torch.cat([right, rest.logsumexp(dim=-1, keepdim=True)], dim=-1)
    return pair.log_softmax(dim=-1), rest.log_softmax(dim=-1)
