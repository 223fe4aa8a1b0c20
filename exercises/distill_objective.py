"""Exercise of chapter 08: to implement the objective."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function, a_tensor
from reference_impl.distillation import distillation_objective

Objective = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
_SETTINGS = ((1.0, 0.5), (4.0, 0.9), (20.0, 0.3), (0.5, 0.7))


def _problem(n: int = 6, classes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    z, v = 3 * torch.randn(2, n, classes, generator=draws, dtype=torch.float64)
    return z, v, torch.randint(classes, (n,), generator=draws)


def _run(answer: Objective, z: Tensor, v: Tensor, t: float, alpha: float) -> Tensor:
    loss = a_tensor(answer(z, v, _problem()[2], t, alpha))
    if loss.numel() != 1:
        raise WrongResultError(
            f"The result must be one number, the mean over the images; "
            f"it has the shape {tuple(loss.shape)}."
        )
    return loss.reshape(())


def _agrees(
    settings: tuple[tuple[float, float], ...], formula: Callable[..., Tensor]
) -> Callable[[Objective], bool]:
    """Return the test whether the answer gives ``formula`` at each (T, α)."""

    def holds(answer: Objective) -> bool:
        z, v, labels = _problem()
        return all(
            torch.allclose(
                _run(answer, z.clone(), v.clone(), t, a).double(), formula(z, v, labels, t, a)
            )
            for t, a in settings
        )

    return holds


def _right(z: Tensor, v: Tensor, labels: Tensor, t: float, a: float) -> Tensor:
    return distillation_objective(z, v, labels, temperature=t, alpha=a)


def _gradient_right(answer: Objective) -> bool:
    z, v, labels = _problem()
    z.requires_grad_()
    for t, a in _SETTINGS:
        loss = _run(answer, z, v.clone(), t, a)
        if not loss.requires_grad:
            return False
        (found,) = torch.autograd.grad(loss, z)
        (expected,) = torch.autograd.grad(_right(z, v, labels, t, a), z)
        if not torch.allclose(found, expected):
            return False
    return True


def _teacher_untouched(answer: Objective) -> bool:
    z, v = (logits.clone().requires_grad_() for logits in _problem()[:2])
    loss = _run(answer, z, v, 4.0, 0.9)
    if not loss.requires_grad:
        return True
    (found,) = torch.autograd.grad(loss, v, allow_unused=True)
    return found is None or not found.any()


def _survives(answer: Objective) -> bool:
    z, v, _ = _problem()
    return bool(_run(answer, 1000 * z, 1000 * v, 1.0, 0.5).isfinite())


def _mixed(
    soft: Callable[[Tensor, Tensor, float], Tensor], *, hard_t: bool = False, swapped: bool = False
) -> Callable[..., Tensor]:
    """Return the objective with another soft term, or with the mistakes that are named."""

    def formula(z: Tensor, v: Tensor, labels: Tensor, t: float, a: float) -> Tensor:
        hard = F.cross_entropy(z / t if hard_t else z, labels)
        a = 1 - a if swapped else a
        return (1 - a) * hard + a * soft(z, v, t)

    return formula


def _kl(z: Tensor, v: Tensor, t: float) -> Tensor:
    log_p, log_q = F.log_softmax(v / t, 1), F.log_softmax(z / t, 1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def _cross_entropy(z: Tensor, v: Tensor, t: float) -> Tensor:
    return F.cross_entropy(z / t, F.softmax(v / t, 1))


_MISTAKES: dict[str, Callable[..., Tensor]] = {
    "You left out T².": _mixed(_kl),
    "You multiplied by T, not by T².": _mixed(lambda z, v, t: t * _kl(z, v, t)),
    "You swapped student and teacher: it is KL(p ‖ q) with the teacher's p.": _mixed(
        lambda z, v, t: t**2 * _kl(v, z, t)
    ),
    "Your soft term is divided by the number of classes: sum over them, and take the mean over "
    "the images.": _mixed(lambda z, v, t: t**2 * _kl(z, v, t) / z.shape[1]),
    "Your soft term is not divided by the number of images.": _mixed(
        lambda z, v, t: t**2 * _kl(z, v, t) * len(z)
    ),
    "You swapped the weights: α belongs to the soft term.": _mixed(
        lambda z, v, t: t**2 * _kl(z, v, t), swapped=True
    ),
    "You multiplied the hard term by T² too: that one is not softened.": (
        lambda z, v, labels, t, a: (
            (1 - a) * t**2 * F.cross_entropy(z, labels) + a * t**2 * _kl(z, v, t)
        )
    ),
    "You softened the hard term too: labels are compared at temperature 1.": _mixed(
        lambda z, v, t: t**2 * _kl(z, v, t), hard_t=True
    ),
    "You multiplied the logits by T instead of dividing.": _mixed(
        lambda z, v, t: t**2 * _kl(z, v, 1 / t)
    ),
    "You divided neither logits by T: the factor T² alone softens nothing.": _mixed(
        lambda z, v, t: t**2 * _kl(z, v, 1)
    ),
    "You left out T altogether: divide both logits by it, and multiply by T².": _mixed(
        lambda z, v, _: _kl(z, v, 1)
    ),
    "You softened the teacher alone: divide the student's logits by T too.": _mixed(
        lambda z, v, t: t**2 * _kl(t * z, v, t)
    ),
    "You gave F.kl_div the student's softmax: it takes the logarithm, log_softmax.": _mixed(
        lambda z, v, t: (
            t**2 * F.kl_div(F.softmax(z / t, 1), F.softmax(v / t, 1), reduction="batchmean")
        )
    ),
    "You normalised over the images, dim 0: the softmax is over the classes, dim 1.": _mixed(
        lambda z, v, t: t**2 * _kl(z.T, v.T, t) * len(z.T) / len(z)
    ),
    "That is the cross-entropy with the teacher: its gradient is right, but the teacher's entropy "
    "is still in it.": _mixed(lambda z, v, t: t**2 * _cross_entropy(z, v, t)),
    "Your soft term has the wrong sign.": _mixed(lambda z, v, t: -(t**2) * _kl(z, v, t)),
}

_OBJECTIVE = Exercise(
    kind=a_function("objective(student, teacher, labels, temperature, alpha)"),
    claims=(
        Claim(
            "α = 0 is the cross-entropy of the labels",
            _agrees(((4.0, 0.0),), _right),
            "At α = 0 it is F.cross_entropy(student, labels), at any T.",
        ),
        Claim(
            "α = 1, T = 1 is the KL, summed over classes, mean over images",
            _agrees(((1.0, 1.0),), _right),
            "Σ_i p_i (log p_i − log q_i) per image, then the mean over the images.",
        ),
        Claim(
            "the values are right at other T and α",
            _agrees(_SETTINGS, _right),
            "Divide both logits by T in the soft term, and multiply it by T².",
        ),
        Claim(
            "the student's gradient is right",
            _gradient_right,
            "The student's logits must not be detached.",
        ),
        Claim(
            "no gradient reaches the teacher",
            _teacher_untouched,
            "Detach the teacher's logits.",
        ),
        Claim(
            "large logits give a finite loss",
            _survives,
            "Use log_softmax, not the logarithm of a softmax, which may be log 0.",
        ),
    ),
    mistakes=tuple(
        Mistake(text, _agrees(_SETTINGS, formula)) for text, formula in _MISTAKES.items()
    ),
)

EXERCISES = {"distill-objective": _OBJECTIVE}
