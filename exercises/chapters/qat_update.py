"""Exercise of chapter 09: one update of a quantized weight."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Case, Exercise, Test, a_function, agrees, shaped_as

Gradient = Callable[[Tensor], Tensor]
Update = Callable[[Tensor, float, int, Gradient, float], Any]
_WEIGHTS = (0.1, 0.3, -0.7, 1.2, -0.2, 1.9, -3.0)  # the last two are clipped


def _update_cases() -> list[Case]:
    """Return weights, a step, q_max, the gradient of a loss at rounded weights, and a rate."""
    weights = torch.tensor(_WEIGHTS, dtype=torch.float64)
    return [(weights, 0.5, 3, lambda w: 2 * (w - 1), 0.01), (weights, 1.0, 1, torch.cos, 0.1)]


def _updated(
    *, keeps_float: bool = True, forgets_clipped: bool = True, at_rounded: bool = True
) -> Callable[..., Tensor]:
    """Return an update that is right, or has one of three mistakes."""

    def update(w: Tensor, s: float, q_max: int, gradient_of: Gradient, rate: float) -> Tensor:
        codes = torch.round(w / s)
        w_hat = s * codes.clamp(-q_max, q_max)
        inside = (codes.abs() <= q_max) | (not forgets_clipped)
        gradient = gradient_of(w_hat if at_rounded else w)
        start: Tensor = w if keeps_float else w_hat
        return start - rate * inside * gradient

    return update


_right_update = _updated()


def _run_update(answer: Update, case: Case) -> Tensor:
    w, *rest = case
    return shaped_as(w, "w", answer(w.clone(), *rest))


def _one_of_them_is(change: Callable[..., Tensor]) -> Test:
    return agrees(change, _update_cases, _run_update)


def _arrives(answer: Update) -> bool:
    """Return whether 200 small updates bring 0 to where rounding gives the weight that is best."""
    w = torch.zeros(1, dtype=torch.float64)
    for _ in range(200):
        w = _run_update(answer, (w, 1.0, 3, lambda w_hat: w_hat - 1, 0.01))
    return bool(torch.round(w) == 1)


def _clipped_stays(answer: Update) -> bool:
    case = _update_cases()[0]
    return bool((_run_update(answer, case)[-2:] == case[0][-2:]).all())


def _is_left(answer: Update) -> bool:
    w, *rest = _update_cases()[0]
    given = w.clone()
    answer(given, *rest)
    return torch.equal(given, w)


UPDATE = Exercise(
    kind=a_function("update(w, s, q_max, gradient_of, rate)"),
    claims={
        "many small updates move the rounded weight": (
            _arrives,
            "The update must start from the float weight w, and subtract rate times the gradient.",
        ),
        "a clipped weight does not move": (
            _clipped_stays,
            "Outside, the slope by the value is 0: multiply the gradient by 0 there.",
        ),
        "all weights are right": (
            _one_of_them_is(_right_update),
            "Take the gradient at s · clip(round(w/s), −q_max, q_max), and subtract rate times it "
            "where |round(w/s)| ≤ q_max.",
        ),
        "w is left as it was": (_is_left, "Return new weights, and do not write into w."),
    },
    mistakes={
        "You kept the float weight, but a clipped weight still gets a gradient.": _one_of_them_is(
            _updated(forgets_clipped=False)
        ),
        "A clipped weight gets no gradient any more, but the update still starts from the "
        "rounded weight.": _one_of_them_is(_updated(keeps_float=False)),
        "That is the colleague's function: both bugs are in it.": _one_of_them_is(
            _updated(keeps_float=False, forgets_clipped=False)
        ),
        "You took the gradient at the float weight: the forward pass uses the rounded "
        "one.": _one_of_them_is(_updated(at_rounded=False)),
    },
)
