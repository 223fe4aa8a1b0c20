"""Hinton's objective: hard labels and soft targets, weighted."""

import sys

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checks import require_int, require_integer_tensor, require_real
from reference_impl.distillation.numerics import finite, widened
from reference_impl.distillation.soft_targets import (
    Logits,
    mean_soft_target_loss,
    require_matrices,
    require_temperature,
)


def distillation_objective(
    student: Logits,
    teacher: Logits,
    labels: Int64[Tensor, " n"],
    *,
    temperature: float,
    alpha: float,
) -> Float[Tensor, ""]:
    """Return (1 − α) CE(y, softmax(z)) + α T² KL(p_T ‖ q_T), mean over the batch, in nats.

    Args:
        student: logits z.
        teacher: logits v; held constant.
        labels: y, the right class of each example.
        temperature: T > 0, of the second term alone.
        alpha: weight of the second term, in [0, 1].

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if shapes do not fit, a value is not finite, T is not in (0, 10⁶], α is not in
            [0, 1], or a label is no class.

    References:
        Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network", section 2.

    Equation: eq-distill-objective, chapter 08.
    Equation: eq-student-mixture, chapter 09.
    """
    a = require_real("alpha", alpha, 0, 1)
    t = require_temperature(temperature)
    require_matrices(student, teacher)
    require_labels("labels", labels, *student.shape)
    hard = F.cross_entropy(widened(student), labels)
    soft = mean_soft_target_loss(student, teacher, t)
    return finite((1 - a) * hard + a * soft, student, teacher)


def effective_alpha(alpha: float, n_classes: int) -> float:
    """Return α' = (α / N) / (1 − α + α / N): the α that a mean over N classes makes of α.

    ``nn.KLDivLoss(reduction="mean")`` divides the second term of `distillation_objective` by N;
    the sum then is (1 − α + α / N) times the objective with α'.

    >>> round(effective_alpha(0.9, 10), 3)
    0.474

    Args:
        alpha: weight that was meant, in [0, 1].
        n_classes: N, at least 1.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if it is out of range.

    Equation: eq-distill-trap, chapter 08.
    """
    a = require_real("alpha", alpha, 0, 1)
    soft = a / require_int("n_classes", n_classes, 1, sys.maxsize)
    return soft / (1 - a + soft)


def require_labels(name: str, labels: Tensor, n: int, n_classes: int) -> None:
    """Refuse labels that are not n integers in 0 … n_classes − 1.

    Raises:
        TypeError: if ``labels`` holds no 64-bit integers.
        ValueError: if their number is another or one is out of range.
    """
    require_integer_tensor(name, labels)
    if labels.dtype != torch.int64:
        raise TypeError(f"{name} must have dtype torch.int64, got {labels.dtype}")
    if labels.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {tuple(labels.shape)}")
    low, high = (end.item() for end in labels.aminmax())
    if low < 0 or high >= n_classes:
        bad = labels[(labels < 0) | (labels >= n_classes)][0].item()
        raise ValueError(f"{name} must be in 0 … {n_classes - 1}, got {bad}")
