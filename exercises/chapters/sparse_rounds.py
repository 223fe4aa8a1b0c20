"""Two more exercises of chapter 13: a mask for the next round, and the bytes of a sparse layer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    at,
    leaves,
    normals,
    numbers,
    shaped_as,
)

EXERCISES: dict[str, Exercise] = {}

# -- spot the bug: the mask of the next round ------------------------------------------------------


def _first() -> list[Case]:
    (weight,) = normals(0, (20, 30))
    return [(weight, torch.ones(20, 30, dtype=torch.bool), share) for share in (0.2, 0.5)]


def _later(moved: float) -> list[Case]:
    """Return weights after a round of 40 %; ``moved`` is what an optimizer made of the zeros."""
    (weight,) = normals(1, (20, 30))
    mask = weight.abs() > weight.abs().quantile(0.4)
    return [(weight.where(mask, moved * weight.sign()), mask, share) for share in (0.2, 0.5)]


def _zeros() -> list[Case]:
    """Return weights of which two are kept although they are 0, as is the removed one."""
    weight = torch.tensor([0.0, 0.0, 0.0, 3.0, 5.0, 6.0])
    return [(weight, torch.arange(6) != 2, 0.2)]


def _tied() -> list[Case]:
    weight = torch.tensor([[0.0, -0.2, 0.3, 0.2], [-0.2, 0.4, 0.2, -0.5]])
    return [(weight, weight != 0, share) for share in (0.3, 0.45, 0.6)]


def _next(weight: Tensor, mask: Tensor, share: float) -> Tensor:
    order = weight.abs().flatten().where(mask.flatten(), torch.inf).argsort(stable=True)
    kept = mask.flatten().clone()
    kept[order[: round(share * int(mask.sum()))]] = False
    return kept.view(mask.shape)


def _run(answer: Callable[..., Any], case: Case) -> Tensor:
    weight, mask, share = case
    return shaped_as(mask, "the mask", answer(weight.clone(), mask.clone(), share)).bool()


def _makes(formula: Callable[[Tensor, Tensor, float], Tensor]) -> Test:
    return agrees(formula, lambda: _later(0.0), _run)


EXERCISES["sparse-rounds"] = Exercise(
    kind=a_function("next_mask(weight, mask, share)"),
    claims={
        "the first round removes its share, the smallest weights": (
            agrees(_next, _first, _run),
            "Sort the sizes of the weights, and remove the first round(share * count).",
        ),
        "the second round removes the same share of what is left": (
            agrees(_next, lambda: _later(0.0), _run),
            "Count and sort only the weights where the mask is true.",
        ),
        "a removed weight remains removed, whatever its value": (
            agrees(_next, lambda: _later(9.0), _run),
            "Begin with the mask that you are given, and set more of it to false.",
        ),
        "among equals the first are removed, by count": (
            agrees(_next, _tied, _run),
            "A threshold cannot separate equal weights; argsort(stable=True) keeps their order.",
        ),
        "a removed weight remains removed, even if kept ones are 0": (
            agrees(_next, _zeros, _run),
            "A removed weight may be equal to a kept one: sort only the weights of the mask.",
        ),
        "weight and mask are left as they were": (
            leaves(lambda: _later(0.0)[0]),
            "Work on a copy of the mask.",
        ),
    },
    mistakes={
        "You took the share of all weights, and the zeros of the first round are part of "
        "them.": _makes(lambda w, _, share: w.abs() > w.abs().quantile(share)),
        "You removed the share of all weights from those that are left.": _makes(
            lambda w, mask, share: _next(w, mask, share * mask.numel() / int(mask.sum()))
        ),
        "You kept the share instead of removing it.": _makes(
            lambda w, mask, share: _next(w, mask, 1 - share)
        ),
        "Your mask is true where a weight is removed.": _makes(lambda *case: ~_next(*case)),
    },
)

# -- transfer: a layer of 4096 × 4096, three quarters of it 0 --------------------------------------

BITMAP, PATTERN, ROWS, LEAST = 10, 9, 24.016, 2 / 3

EXERCISES["sparse-storage"] = Exercise(
    kind=numbers(4),
    claims={
        "the size with a bitmap is right": (
            at(0, BITMAP),
            "The values of a quarter of the weights, and one bit for each of all 2^24.",
        ),
        "the size in the pattern 1:4 is right": (
            at(1, PATTERN),
            "The values of a quarter of the weights, and two bits for each kept one.",
        ),
        "the size in compressed sparse rows is right": (
            at(2, ROWS),
            "Each kept weight takes 16 + 32 bits; add the row starts.",
        ),
        "the sparsity is right": (
            at(3, LEAST),
            "48 bits for each kept weight must be less than 16 bits for each weight.",
        ),
    },
    mistakes={
        "You left the places out; nobody can restore the layer from its values alone.": at(0, 8),
        "You gave the index bits to all weights; only kept ones have an index.": at(1, 12),
        "You forgot the values of the weights.": at(0, 2),
        "You left the values out of the rows: 16 MiB are the column numbers alone.": at(
            2, 16, 16.016
        ),
        "You gave the share that is kept; the sparsity is asked.": at(3, 1 / 3),
        "You compared with 32-bit weights; these have 16 bits.": at(3, 0.5),
    },
)
