"""Exercise of chapter 10: the distances of relational distillation, written by the learner."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_function, a_tensor
from reference_impl.distillation import distance_relation_loss

Loss = Callable[[Tensor, Tensor], Tensor]


def _cases() -> list[tuple[Tensor, Tensor]]:
    """Return pairs of features, student and teacher; some distances differ by more than 1."""
    draws = torch.Generator().manual_seed(10)
    sizes = ((3, 2, 2), (5, 3, 7), (6, 2, 4))
    pairs = [
        (torch.randn(n, d, generator=draws), torch.randn(n, e, generator=draws))
        for n, d, e in sizes
    ]
    far = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [0.0, 0.2]])
    return [*pairs, (far, torch.eye(4))]


def _run(answer: Loss, student: Tensor, teacher: Tensor) -> Tensor:
    return a_tensor(answer(student.clone(), teacher.clone()))


def _is(formula: Loss) -> Callable[[Loss], bool]:
    return lambda answer: all(
        torch.allclose(_run(answer, *case).float(), formula(*case), rtol=1e-3, atol=1e-5)
        for case in _cases()
    )


def _unchanged(change: Callable[[Tensor], Tensor]) -> Callable[[Loss], bool]:
    def holds(answer: Loss) -> bool:
        student, teacher = _cases()[1]
        before, after = _run(answer, student, teacher), _run(answer, change(student), teacher)
        return torch.allclose(before, after, rtol=1e-3, atol=1e-5)

    return holds


def _gradient_is_finite(answer: Loss) -> bool:
    student, teacher = _cases()[2]
    student[1] = student[0]
    student.requires_grad_()
    loss = a_tensor(answer(student, teacher))
    (gradient,) = torch.autograd.grad(loss, student)
    return bool(gradient.isfinite().all())


def _distances(x: Tensor) -> Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def _over_all(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the loss with μ and the mean over all n² pairs, i = j too."""
    d, e = _distances(student), _distances(teacher)
    return F.huber_loss(d / d.mean(), e / e.mean())


def _diagonal_in_the_mean(student: Tensor, teacher: Tensor) -> Tensor:
    n = len(student)
    return distance_relation_loss(student, teacher) * (n - 1) / n


def _teachers_scale(student: Tensor, teacher: Tensor) -> Tensor:
    d, e = F.pdist(student), F.pdist(teacher)
    return F.huber_loss(d / e.mean(), e / e.mean())


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    d, e = F.pdist(student), F.pdist(teacher)
    return F.mse_loss(d / d.mean(), e / e.mean())


def _squared_distances(student: Tensor, teacher: Tensor) -> Tensor:
    d, e = F.pdist(student).square(), F.pdist(teacher).square()
    return F.huber_loss(d / d.mean(), e / e.mean())


_DISTANCES = Exercise(
    kind=a_function("relations(student, teacher)"),
    claims=(
        Claim(
            "moving all of a network's features changes nothing",
            _unchanged(lambda x: x + 3),
            "Only differences of examples may count: distances.",
        ),
        Claim(
            "scaling all of a network's features changes nothing",
            _unchanged(lambda x: 5 * x),
            "Divide each network's distances by their own mean.",
        ),
        Claim(
            "the loss is the mean of Huber's function over the pairs",
            _is(distance_relation_loss),
            "½ e² up to |e| = 1 and |e| − ½ beyond, mean over the pairs i ≠ j.",
        ),
        Claim(
            "two equal examples give a finite gradient",
            _gradient_is_finite,
            "The root of a sum of squares has the slope 1/0 at 0: use F.pdist, or mask the zeros.",
        ),
    ),
    mistakes=(
        Mistake(
            "You took means over all n² pairs. The distance of an example to itself is 0 and is "
            "no relation: leave the diagonal out, of μ as well.",
            _is(_over_all),
        ),
        Mistake(
            "Your μ is right, your last mean is over all n² pairs: the diagonal adds zeros to it.",
            _is(_diagonal_in_the_mean),
        ),
        Mistake(
            "You divided by the same mean in both networks: each has its own scale.",
            _is(_teachers_scale),
        ),
        Mistake("That is the squared error, not Huber's function.", _is(_squared_error)),
        Mistake(
            "You compared halves of squared errors: Huber's function is straight beyond 1.",
            _is(lambda s, t: _squared_error(s, t) / 2),
        ),
        Mistake("You took squared distances: take their root.", _is(_squared_distances)),
        Mistake(
            "You summed over the pairs: take their mean.",
            _is(lambda s, t: distance_relation_loss(s, t) * len(s) * (len(s) - 1) / 2),
        ),
        Mistake(
            "You summed over the ordered pairs: take their mean.",
            _is(lambda s, t: distance_relation_loss(s, t) * len(s) * (len(s) - 1)),
        ),
    ),
)

EXERCISES = {"relation-distances": _DISTANCES}
