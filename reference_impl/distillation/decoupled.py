"""Decoupled distillation: Hinton's loss as a part for the right class and one for the others."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checks import require_real
from reference_impl.distillation.numerics import widened
from reference_impl.distillation.objective import require_labels
from reference_impl.distillation.soft_targets import Logits, require_pair, require_temperature


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


def decoupled_parts(
    student: Logits, teacher: Logits, labels: Int64[Tensor, " n"], *, temperature: float
) -> DecoupledParts:
    """Return the two parts of KL(p ‖ q), per example, for p and q softened at T.

    Half precision is computed in float32.

    Args:
        student: logits z.
        teacher: logits v; held constant.
        labels: y, the right class of each example.
        temperature: T > 0.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if shapes do not fit, a value is not finite, T is not above 0, a label is no
            class, or there are fewer than two classes.

    References:
        Zhao, Cui, Song, Qiu & Liang 2022, "Decoupled knowledge distillation".

    Equation: eq-relation-parts, chapter 10.
    """
    require_pair("student", student, "teacher", teacher)
    require_labels("labels", labels, *student.shape)
    if student.shape[1] < 2:
        raise ValueError(f"student must have two classes or more, got {student.shape[1]}")
    t = require_temperature(temperature)
    classes = student.shape[1]
    order = (labels[:, None] + torch.arange(classes, device=labels.device)) % classes  # y first
    pair_p, rest_p = _split((widened(teacher.detach()) / t).gather(1, order))
    pair_q, rest_q = _split((widened(student) / t).gather(1, order))
    return DecoupledParts(
        target=_kl(pair_p, pair_q), others=_kl(rest_p, rest_q), p_target=pair_p[:, 0].exp()
    )


def decoupled_loss(
    student: Logits,
    teacher: Logits,
    labels: Int64[Tensor, " n"],
    *,
    temperature: float,
    target_weight: float = 1.0,
    others_weight: float = 8.0,
) -> Float[Tensor, ""]:
    """Return T² (α TCKD + β NCKD), mean over the batch, in nats.

    In Hinton's loss β is 1 − p_y: the surer the teacher, the less its dark knowledge counts.
    Here β is a constant.

    Args:
        student: logits z.
        teacher: logits v; held constant.
        labels: y, the right class of each example.
        temperature: T > 0.
        target_weight: α ≥ 0.
        others_weight: β ≥ 0.

    Raises:
        TypeError, ValueError: as `decoupled_parts`, and for a weight below 0.

    References:
        Zhao, Cui, Song, Qiu & Liang 2022, "Decoupled knowledge distillation".

    Equation: eq-relation-decoupled, chapter 10.
    """
    t = require_temperature(temperature)  # Python's float: the square of an int8 may not fit it
    a = require_real("target_weight", target_weight, 0)
    b = require_real("others_weight", others_weight, 0)
    parts = decoupled_parts(student, teacher, labels, temperature=t)
    return t**2 * (a * parts.target + b * parts.others).mean()


def _split(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return (log p_y, log(1 − p_y)) and the logs of the others' distribution; z_y comes first.

    Both are softmaxes of logits, (z_y, logsumexp of the others) and the others alone, so that
    p_y = 1 loses nothing: no probability is taken from 1, nor divided by 1 − p_y.
    """
    right, rest = z[:, :1], z[:, 1:]
    pair = torch.cat([right, rest.logsumexp(dim=-1, keepdim=True)], dim=-1)
    return pair.log_softmax(dim=-1), rest.log_softmax(dim=-1)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return Σ p (log p − log q), per example."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
