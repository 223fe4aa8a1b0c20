"""Exercises of chapter 17: the columns of the next layer, for one neuron and for a whole layer."""

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
    agrees,
    leaves,
    normals,
    same,
    shaped_as,
    tensors,
)

EXERCISES: dict[str, Exercise] = {}

# -- implement: the merging of one neuron into another ---------------------------------------------

Merge = Callable[[Tensor, Tensor, Tensor, int, int], Any]
_KEPT, _REMOVED = 3, 1


def _problem(kept: int = _KEPT, removed: int = _REMOVED) -> Case:
    """Return weight and bias of five neurons, the reader's weight, which is kept, which removed."""
    weight, bias, reader = normals(0, (5, 3), (5,), (4, 5))
    weight[_REMOVED] = 1.5 * weight[_KEPT] + torch.tensor([0.5, -0.2, 0.3])  # alike, not parallel
    bias[_REMOVED] = bias[_KEPT] + 0.4
    return weight, bias, reader, kept, removed


def _twins(factor: float) -> Case:
    weight, bias, *rest = _problem()
    weight[_REMOVED], bias[_REMOVED] = factor * weight[_KEPT], factor * bias[_KEPT]
    return weight, bias, *rest


def _run(answer: Merge, case: Case) -> list[Tensor]:
    found = tensors(answer(*deepcopy(case)), "weight", "bias", "reader")
    return [part.to(case[0].dtype) for part in found]  # other dtypes are as right


def _pruned(weight: Tensor, bias: Tensor, reader: Tensor, _: int, j: int) -> list[Tensor]:
    keep = torch.arange(len(bias)) != j
    return [weight[keep], bias[keep], reader[:, keep]]


def _with(factor: Callable[[Tensor, Tensor], Tensor]) -> Merge:
    """Return the merging by a factor of the rows (a_i kept, a_j removed)."""

    def merge(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> list[Tensor]:
        a = torch.cat([weight, bias.unsqueeze(1)], dim=1)
        reader = reader.clone()
        reader[:, i] += factor(a[i], a[j]) * reader[:, j]
        return _pruned(weight, bias, reader, i, j)

    return merge


def _projection(a_i: Tensor, a_j: Tensor) -> Tensor:
    return (a_i @ a_j / (a_i @ a_i)).clamp(min=0)


_right = _with(_projection)


def _twins_are_exact(answer: Merge) -> bool:
    def outputs(weight: Tensor, bias: Tensor, reader: Tensor) -> Tensor:
        return (normals(1, (50, 3))[0] @ weight.T + bias).relu() @ reader.T

    twins = _twins(2.5)
    return same(outputs(*_run(answer, twins)), outputs(*twins[:3]), within=1e-4)


def _makes(formula: Merge, *cases: Callable[[], Case]) -> Test:
    chosen = cases or (_problem, lambda: _twins(-1.0))
    return agrees(formula, lambda: [case() for case in chosen], _run, share=1e-5, within=1e-5)


def _replaced(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Any:
    """Write c W'_j in the place of W'_i."""
    emptied = reader.clone()
    emptied[:, i] = 0
    return _right(weight, bias, emptied, i, j)


def _incoming_added(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Any:
    """Add the incoming rows, as the article does."""
    weight, bias = weight.clone(), bias.clone()
    weight[i] += weight[j]
    bias[i] += bias[j]
    return _pruned(weight, bias, reader, i, j)


def _shifted(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Any:
    """Remove first, then add to the column that has moved to place i."""
    a = torch.cat([weight, bias.unsqueeze(1)], dim=1)
    column = _projection(a[i], a[j]) * reader[:, j]
    weight, bias, reader = _pruned(weight, bias, reader, i, j)
    reader[:, min(i, reader.shape[1] - 1)] += column
    return weight, bias, reader


EXERCISES["merge-units"] = Exercise(
    kind=a_function("merge(weight, bias, reader, i, j)"),
    claims={
        "the three shapes are right": (
            lambda f: [part.shape for part in _run(f, _problem())] == [(4, 3), (4,), (4, 4)],
            "4 of 5 neurons are kept: weight (4, 3), bias (4,), reader (4, 4).",
        ),
        "twins are merged exactly": (
            _twins_are_exact,
            "If a_j = c a_i, c > 0, the small network computes the same.",
        ),
        "the factor is the projection of [w, β]": (
            _makes(_right, _problem),
            "c = ⟨a_i, a_j⟩ / ‖a_i‖² with a = [w, β]; column i becomes W'_i + c W'_j.",
        ),
        "it is right for i < j and for i > j": (
            _makes(_right, lambda: _problem(kept=_REMOVED, removed=_KEPT)),
            "Add the column before you remove the other: afterwards places have moved.",
        ),
        "an opposite neuron is pruned": (
            _makes(_pruned, lambda: _twins(-1.0)),
            "For a negative projection c is 0.",
        ),
        "the arguments are left as they are": (
            leaves(_problem),
            "Return new tensors: the given network must not change.",
        ),
    },
    mistakes={
        "You only removed neuron j: that is pruning. Its column, times c, is added to that of "
        "i.": _makes(_pruned),
        "You replaced the column of i; that of j, times c, is added to it.": _makes(_replaced),
        "You forgot the bias: c is the projection of [w, β].": _makes(
            _with(lambda a_i, a_j: _projection(a_i[:-1], a_j[:-1]))
        ),
        "You added the column as it is; it takes the factor c.": _makes(
            _with(lambda *_: torch.ones(()))
        ),
        "You took the cosine as the factor; the lengths count too.": _makes(
            _with(lambda a_i, a_j: torch.cosine_similarity(a_i, a_j, dim=0).clamp(min=0))
        ),
        "You took the ratio of norms; the task is the projection.": _makes(
            _with(lambda a_i, a_j: a_j.norm() / a_i.norm())
        ),
        "You divided by the length of the removed one; c is ⟨a_i, a_j⟩ / ‖a_i‖².": _makes(
            _with(lambda a_i, a_j: _projection(a_j, a_i))
        ),
        "You did not cut c off at 0: ReLU passes no negative factor.": _makes(
            _with(lambda a_i, a_j: a_i @ a_j / (a_i @ a_i))
        ),
        "You changed the incoming weights of i; only its column changes.": _makes(_incoming_added),
        "You removed first: column i is then another one if i > j.": _makes(_shifted),
        "You removed i; j is removed, and i is kept.": _makes(
            lambda w, b, r, i, j: _right(w, b, r, j, i)
        ),
    },
)

# -- spot the bug: the columns of several removed neurons ------------------------------------------

Columns = Callable[[Tensor, Tensor, Tensor, Tensor], Any]


def _layer(*stands_for: int) -> Case:
    """Return a reader of six neurons, the mask, who stands for each, and the factors."""
    reader, c = normals(2, (4, 6), (6,))
    named = torch.tensor(stands_for)
    keep = named == torch.arange(6)
    return reader, keep, named, c.abs().where(~keep, torch.ones(()))


_one = partial(_layer, 0, 1, 2, 1, 4, 5)
_several = partial(_layer, 0, 1, 1, 1, 4, 1)
_everyone = partial(_layer, 3, 3, 2, 3, 2, 3)


def _by_loop(reader: Tensor, keep: Tensor, stands_for: Tensor, c: Tensor) -> Tensor:
    made = reader.clone()
    for j in (~keep).nonzero().flatten().tolist():
        made[:, stands_for[j]] += c[j] * reader[:, j]
    return made[:, keep]


def _last_wins(reader: Tensor, keep: Tensor, stands_for: Tensor, c: Tensor) -> Tensor:
    made, gone = reader.clone(), ~keep
    made[:, stands_for[gone]] += c[gone] * reader[:, gone]
    return made[:, keep]


def _kept_twice(reader: Tensor, keep: Tensor, stands_for: Tensor, c: Tensor) -> Tensor:
    return reader.index_add(1, stands_for, c * reader)[:, keep]


def _without_factor(reader: Tensor, keep: Tensor, stands_for: Tensor, _: Tensor) -> Tensor:
    return _by_loop(reader, keep, stands_for, torch.ones(6))


def _gives(formula: Columns, *cases: Callable[[], Case]) -> Test:
    def run(answer: Columns, case: Case) -> Tensor:
        expected = _by_loop(*case)
        found = shaped_as(expected, "reader[:, keep]", answer(*deepcopy(case)))
        return found.to(expected.dtype)

    return agrees(formula, lambda: [case() for case in cases], run, share=1e-5, within=1e-5)


EXERCISES["merge-columns"] = Exercise(
    kind=a_function("columns(reader, keep, stands_for, c)"),
    claims={
        "one removed neuron is added to the one that stands for it": (
            _gives(_by_loop, _one),
            "Column stands_for[j] becomes itself plus c[j] times column j, for each removed j.",
        ),
        "several removed neurons are added to one": (
            _gives(_by_loop, _several, _everyone),
            "Every removed neuron counts: add with index_add, or one after another.",
        ),
        "the arguments are left as they are": (
            leaves(_several),
            "Work on a copy: index_add returns a new tensor, index_add_ changes the given one.",
        ),
    },
    mistakes={
        "With repeated indices, x[:, index] += … keeps only one of the columns.": _gives(
            _last_wins, _several
        ),
        "You added kept columns to themselves; only removed neurons are added.": _gives(
            _kept_twice, _several
        ),
        "You added the columns as they are; each takes its factor c.": _gives(
            _without_factor, _several
        ),
        "You only removed columns: that is pruning.": _gives(
            lambda reader, keep, *_: reader[:, keep], _several
        ),
    },
)
