"""Exercises of chapter 08: roundings by hand, by trying all, and one flip at a time."""

import itertools
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    at,
    leaves,
    near,
    normals,
    numbers,
    shaped_as,
    value,
)

EXERCISES: dict[str, Exercise] = {}

# -- problems of rounding --------------------------------------------------------------------------


def problem(seed: int, n: int) -> Case:
    """Return a weight of n numbers, a step and the second moments of correlated inputs.

    No w/s lies within 0.06 of a code or of the middle between two.
    """
    u, own, shared = normals(seed, (n,), (100, n), (100, 1))
    u, x = 2.5 * u, (own + shared).relu()
    half = torch.floor(2 * u) / 2
    return 0.4 * (half + 0.06 + 0.76 * (u - half)), 0.4, x.T @ x / 100


def everywhere(test: Callable[[Tensor, Case], bool]) -> Test:
    """Return the test of the codes of six problems; the last needs more than one pass."""

    def holds(answer: Callable[..., Any]) -> bool:
        for case in map(problem, (0, 1, 2, 3, 4, 318), (1, 2, 5, 6, 7, 6)):
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


def nearest(case: Case) -> Tensor:
    """Return round(w/s)."""
    return torch.round(case[0].double() / case[1])


def are_nearest(codes: Tensor, case: Case) -> bool:
    """Return whether each weight was rounded to the nearest."""
    return torch.equal(codes, nearest(case))


def settled(codes: Tensor, case: Case) -> bool:
    """Return whether moving one code to its other neighbour never lowers the loss noticeably."""
    others = 2 * floors(case) + 1 - codes
    flipped = (torch.where(place, others, codes) for place in torch.eye(len(codes)).bool())
    return all(loss(one, case) >= (1 - 1e-4) * loss(codes, case) - 1e-9 for one in flipped)


# -- by hand: w = (0.65, −0.2), s = 0.5, second moments 1 and 1, mixed −0.9 ------------------------

_two = partial(near)

EXERCISES["ptq-four"] = Exercise(
    kind=numbers(3),
    claims={
        "the first code is right": (
            at(0, 1),
            "Compute the error of the output for all four pairs of codes.",
        ),
        "the second code is right": (
            at(1, -1),
            "Here E[x1 x2] is negative: errors of the same sign cancel.",
        ),
        "the error of the output is right": (
            at(2, 0.0315),
            "Δw1² + Δw2² − 1.8 Δw1 Δw2, with Δw = s q − w.",
        ),
    },
    mistakes={
        "This is the nearest rounding: the other three are to be tried too.": _two([1, 0]),
        "You gave the values s q: give the codes q.": _two([0.5, -0.5]),
        "You left out the step: this error is that of weights divided by s.": at(2, 0.126),
        "You added the product of the errors: E[x1 x2] is negative.": at(2, 0.1935),
        "You counted the product once: it stands in the form twice.": at(2, 0.072),
        "You left out the product of the two errors.": at(2, 0.1125),
    },
)

# -- predict: from which correlation on the nearest is not the best --------------------------------


def least_rounding(correlation: float) -> tuple[int, int]:
    """Return the best codes of w = (0.4, 0.3), s = 1, for inputs with this E[x1 x2]."""
    gram = torch.tensor([[1, correlation], [correlation, 1]], dtype=torch.float64)
    case = torch.tensor([0.4, 0.3], dtype=torch.float64), 1.0, gram
    choices = list(itertools.product((0, 1), repeat=2))
    of_choice = [loss(floors(case) + torch.tensor(up), case) for up in choices]
    one, two = choices[of_choice.index(min(of_choice))]
    return one, two


EXERCISES["ptq-alike"] = Exercise(
    kind=a_number,
    claims={
        "a little below it the nearest rounding is the best": (
            value(lambda found: least_rounding(found - 0.01) == (0, 0)),
            "Compare the errors of the four roundings as functions of E[x1 x2].",
        ),
        "a little above it another rounding is better": (
            value(lambda found: least_rounding(found + 0.01) != (0, 0)),
            "Set the errors of (0, 0) and of (1, 0) equal, and solve for E[x1 x2].",
        ),
    },
    mistakes={
        "From there on (0, 1) beats the nearest, but (1, 0) does so earlier.": near(0.5),
        "You counted the product of the errors once: it stands in the form twice.": near(2 / 3),
        "A positive E[x1 x2] lets errors of opposite sign cancel.": value(lambda found: found < 0),
    },
)

# -- spot the bug: one flip at a time --------------------------------------------------------------


def colleagues_flip(weight: Tensor, step: float, gram: Tensor) -> Tensor:
    """Return the codes that the colleague's function gives."""
    codes = torch.round(weight / step)
    for j in range(len(weight)):
        error = step * codes - weight
        if 2 * step * (gram @ error)[j] < 0:
            codes[j] += 1
    return codes


def _same_codes(other: Callable[..., Tensor]) -> Test:
    return everywhere(lambda codes, case: torch.equal(codes, other(*case).double()))


EXERCISES["ptq-flip"] = Exercise(
    kind=a_function("flip(weight, step, gram)"),
    claims={
        "every code is one of the two neighbours of w/s": (
            everywhere(are_neighbours),
            "The other neighbour is 2⌊w/s⌋ + 1 − q: it lies above q or below it.",
        ),
        "the loss is not above that of the nearest": (
            everywhere(lambda codes, case: loss(codes, case) <= loss(nearest(case), case) + 1e-9),
            "Flip only if move² Γ_jj + 2 move (Γ Δw)_j is negative.",
        ),
        "no single flip lowers the loss further": (
            everywhere(settled),
            "Begin again after each flip: it changes what the other flips gain.",
        ),
        "the arguments are left as they were": (
            leaves(lambda: problem(4, 7)),
            "Your function changed one of its arguments: make new tensors.",
        ),
    },
    mistakes={
        "This is what the colleague's function returns.": _same_codes(colleagues_flip),
        "This is rounding to the nearest: no weight was flipped.": everywhere(are_nearest),
        "You returned values, s q: return the codes q.": everywhere(are_values),
    },
)

# -- implement: the best of all roundings ----------------------------------------------------------

EXERCISES["ptq-best"] = Exercise(
    kind=a_function("best_rounding(weight, step, gram)"),
    claims={
        "every code is one of the two neighbours of w/s": (
            everywhere(are_neighbours),
            "Codes are whole numbers, ⌊w/s⌋ or ⌊w/s⌋ + 1; w itself may be negative.",
        ),
        "no other rounding has a smaller loss": (
            everywhere(least),
            "Try all 2^n combinations, and compute Δw Γ Δwᵀ with Δw = s q − w for each.",
        ),
    },
    mistakes={
        "This is rounding to the nearest: it looks at each weight alone.": everywhere(are_nearest),
        "You rounded down everywhere.": everywhere(
            lambda codes, case: torch.equal(codes, floors(case))
        ),
        "This is the worst rounding: take the least loss.": everywhere(
            lambda codes, case: loss(codes, case) >= (1 - 1e-4) * max(losses(case))
        ),
        "You summed the errors without the second moments: Δw Γ Δwᵀ.": everywhere(least_sum),
        "You returned values, s q: return the codes q.": everywhere(are_values),
    },
)

# -- transfer: round one weight, then move the other -----------------------------------------------

EXERCISES["ptq-move"] = Exercise(
    kind=numbers(3),
    claims={
        "the second weight moves to the right place": (
            at(0, 0.68),
            "Set the derivative of the error by Δw2 to 0, with Δw1 = −0.4.",
        ),
        "its code is right": (at(1, 1), "Round the moved weight to the nearest."),
        "the error of the output is right": (
            at(2, 0.192),
            "2 Δw1² + Δw2² + 2.4 Δw1 Δw2: Δw2 is measured from 0.2, the weight of the network.",
        ),
    },
    mistakes={
        "You moved the second weight the wrong way: the mixed moment is positive.": at(0, -0.28),
        "You gave the change of the second weight: add it to 0.2.": at(0, 0.48),
        "You divided by E[x1²]: the second weight moves, so its own moment counts.": at(0, 0.44),
        "You measured Δw2 from the moved weight: the error counts from the network's own.": at(
            2, 0.1152
        ),
        "This is the error of the nearest rounding.": at(2, 0.552),
    },
)
