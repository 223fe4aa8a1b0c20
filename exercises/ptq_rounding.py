"""The rounding problems of chapter 07's exercise: the least Δw Γ Δwᵀ of all roundings."""

import itertools
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Case, Test, normals, shaped_as


def problem(seed: int, n: int) -> Case:
    """Return a weight of n numbers, a step and the second moments of correlated inputs.

    No w/s lies within 0.06 of a code or of the middle between two.
    """
    u, own, shared = normals(seed, (n,), (100, n), (100, 1))
    u, x = 2.5 * u, (own + shared).relu()
    half = torch.floor(2 * u) / 2
    return 0.4 * (half + 0.06 + 0.76 * (u - half)), 0.4, x.T @ x / 100


def everywhere(test: Callable[[Tensor, Case], bool]) -> Test:
    """Return the test of the codes, in float64, of five problems."""

    def holds(answer: Callable[..., Any]) -> bool:
        for case in map(problem, range(5), (1, 2, 5, 6, 7)):
            found = answer(*deepcopy(case))
            found = torch.tensor(found) if isinstance(found, list | tuple) else found
            if not test(shaped_as(case[0], "the weight", found).double(), case):
                return False
        return True

    return holds


def loss(codes: Tensor, case: Case) -> float:
    """Return Δw Γ Δwᵀ with Δw = s q − w."""
    weight, step, gram = case
    delta = step * codes - weight.double()
    return float(delta @ gram.double() @ delta)


def floors(case: Case) -> Tensor:
    """Return ⌊w/s⌋."""
    return torch.floor(case[0].double() / case[1])


def losses(case: Case) -> list[float]:
    """Return the losses of all 2^n choices of up or down."""
    choices = itertools.product((0.0, 1.0), repeat=len(case[0]))
    return [loss(floors(case) + torch.tensor(up, dtype=torch.float64), case) for up in choices]


def are_neighbours(codes: Tensor, case: Case) -> bool:
    """Return whether each code is ⌊w/s⌋ or ⌊w/s⌋ + 1."""
    floor = floors(case)
    return bool(((codes == floor) | (codes == floor + 1)).all())


def are_values(found: Tensor, case: Case) -> bool:
    """Return whether values s q were returned in the place of codes."""
    codes = found / case[1]
    whole = torch.round(codes)
    return torch.allclose(codes, whole, atol=1e-4) and are_neighbours(whole, case)


def least(codes: Tensor, case: Case) -> bool:
    """Return whether no other rounding has a noticeably smaller loss: ties are as good."""
    return loss(codes, case) <= (1 + 1e-4) * min(losses(case)) + 1e-9


def least_sum(codes: Tensor, case: Case) -> bool:
    """Return whether (Σ Δw)² is least: all roundings with as many up tie, and each counts."""
    return are_neighbours(codes, case) and least(codes, (*case[:2], torch.ones_like(case[2])))
