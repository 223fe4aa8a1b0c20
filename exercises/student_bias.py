"""Exercise of chapter 09: to implement the bias of a class that a student never saw."""

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.framework import (
    Claim,
    Exercise,
    Mistake,
    WrongResultError,
    a_function,
    a_number,
    as_number,
)
from reference_impl.distillation import best_class_bias

Fit = Callable[[Tensor, Tensor, int], float]


def _omitted(seed: int, n: int = 300) -> tuple[Tensor, Tensor, int]:
    """Return logits that know the class k but hold it back by 4, the labels and k."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=draws)
    logits = torch.randn(n, 4, generator=draws) + 2.5 * torch.eye(4)[labels]
    k = seed % 4
    logits[:, k] -= 4
    return logits, labels, k


CASES = tuple(_omitted(seed) for seed in range(6))


def _held_back() -> tuple[Tensor, Tensor, int]:
    """Return a case whose class answers too often: the right bias is below 0."""
    logits, labels, k = _omitted(6)
    return logits + 8 * torch.eye(4)[k], labels, k


def _right(logits: Tensor, labels: Tensor, index: int, bias: float) -> int:
    moved = logits.clone()
    moved[:, index] += bias
    return int((moved.argmax(dim=1) == labels).sum())


def _bias(answer: Fit, case: tuple[Tensor, Tensor, int]) -> float:
    logits, labels, index = case
    bias = answer(logits.clone(), labels.clone(), index)
    wrong = a_number(bias)
    if wrong:
        raise WrongResultError(f"The function must return a number; it returned {bias!r}.")
    return as_number(bias)


def _as_good(case: tuple[Tensor, Tensor, int]) -> Callable[[Fit], bool]:
    """Return the test whether at most two examples fewer are right than with the best bias."""
    logits, labels, index = case
    best = _right(logits, labels, index, best_class_bias(logits, labels, index))
    return lambda answer: _right(logits, labels, index, _bias(answer, case)) >= best - 2


def _leaves_the_logits(answer: Fit) -> bool:
    logits, labels, index = CASES[0]
    before = logits.clone()
    answer(logits, labels, index)
    unchanged = torch.equal(logits, before)
    logits.copy_(before)
    return unchanged


def _recognises_all(answer: Fit) -> bool:
    """Return whether all examples of the class are recognised: the bias is too large."""
    logits, labels, k = CASES[0]
    return _right(logits[labels == k], labels[labels == k], k, _bias(answer, CASES[0])) == int(
        (labels == k).sum()
    )


def _negated(answer: Fit) -> bool:
    logits, labels, index = CASES[0]
    best = _right(logits, labels, index, best_class_bias(logits, labels, index))
    return _right(logits, labels, index, -_bias(answer, CASES[0])) >= best - 2


_BIAS = Exercise(
    kind=a_function("class_bias(logits, labels, k)"),
    claims=(
        Claim(
            "of a class that was held back it finds a bias as good as the best",
            lambda answer: all(_as_good(case)(answer) for case in CASES),
            "Try many b: add b to column k, count the right answers, keep the b of the most.",
        ),
        Claim(
            "of a class that answers too often as well: b may be below 0",
            _as_good(_held_back()),
            "Try numbers below 0 too.",
        ),
        Claim(
            "the logits are left as they are",
            _leaves_the_logits,
            "Add to a copy: logits.clone().",
        ),
    ),
    mistakes=(
        Mistake(
            "Your sign is the wrong way round: b is added to the logit.",
            lambda answer: not _as_good(CASES[0])(answer) and _negated(answer),
        ),
        Mistake(
            "You count only the examples of class k: with a large b all of them are right, and "
            "many others wrong.",
            _recognises_all,
        ),
        Mistake(
            "That is 0, no correction.",
            lambda answer: all(_bias(answer, case) == 0 for case in CASES),
        ),
    ),
)

EXERCISES = {"student-bias": _BIAS}
