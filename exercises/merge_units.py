"""Exercise of chapter 15: to implement the merging of one neuron into another."""

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function

Parts = tuple[Tensor, Tensor, Tensor]
Merge = Callable[[Tensor, Tensor, Tensor, int, int], Parts]

NEURONS, INPUTS, OUTPUTS = 5, 3, 4
STAYS, GOES = 3, 1


def _problem() -> Parts:
    draws = torch.Generator().manual_seed(0)
    weight = torch.randn(NEURONS, INPUTS, generator=draws)
    bias = torch.randn(NEURONS, generator=draws)
    reader = torch.randn(OUTPUTS, NEURONS, generator=draws)
    weight[GOES] = 1.5 * weight[STAYS] + torch.tensor([0.5, -0.2, 0.3])  # alike, not parallel
    bias[GOES] = bias[STAYS] + 0.4
    return weight, bias, reader


def _twins(factor: float) -> Parts:
    weight, bias, reader = _problem()
    weight[GOES], bias[GOES] = factor * weight[STAYS], factor * bias[STAYS]
    return weight, bias, reader


def _run(answer: Merge, parts: Parts, stays: int = STAYS, goes: int = GOES) -> Parts:
    weight, bias, reader = (part.clone() for part in parts)
    found = answer(weight, bias, reader, stays, goes)
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise WrongResultError("The function must return three tensors: weight, bias, reader.")
    if not all(isinstance(part, Tensor) for part in found):
        raise WrongResultError("The function must return three tensors: weight, bias, reader.")
    kept, offsets, columns = (part.to(weight.dtype) for part in found)  # other dtypes are as right
    return kept, offsets, columns


def _without(parts: Parts, goes: int) -> Parts:
    keep = torch.arange(NEURONS) != goes
    weight, bias, reader = parts
    return weight[keep], bias[keep], reader[:, keep]


def _with(factor: Callable[[Tensor, Tensor], Tensor]) -> Merge:
    """Return the merging by a factor of the rows (a_i that stays, a_j that goes)."""

    def merge(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Parts:
        a = torch.cat([weight, bias.unsqueeze(1)], dim=1)
        reader = reader.clone()
        reader[:, i] += factor(a[i], a[j]) * reader[:, j]
        return _without((weight, bias, reader), j)

    return merge


def _projection(a_i: Tensor, a_j: Tensor) -> Tensor:
    return (a_i @ a_j / (a_i @ a_i)).clamp(min=0)


_right = _with(_projection)


def _same(found: Parts, expected: Parts) -> bool:
    return all(
        a.shape == b.shape and torch.allclose(a, b, atol=1e-5)
        for a, b in zip(found, expected, strict=True)
    )


def _answer(parts: Parts, x: Tensor) -> Tensor:
    weight, bias, reader = parts
    return (x @ weight.T + bias).relu() @ reader.T


def _shapes(answer: Merge) -> bool:
    found = [tuple(part.shape) for part in _run(answer, _problem())]
    return found == [(NEURONS - 1, INPUTS), (NEURONS - 1,), (OUTPUTS, NEURONS - 1)]


def _twins_are_exact(answer: Merge) -> bool:
    parts, x = _twins(2.5), torch.randn(50, INPUTS, generator=torch.Generator().manual_seed(1))
    return torch.allclose(_answer(_run(answer, parts), x), _answer(parts, x), atol=1e-4)


def _projects(answer: Merge) -> bool:
    return _same(_run(answer, _problem()), _right(*_problem(), STAYS, GOES))


def _other_order(answer: Merge) -> bool:
    parts = _problem()
    return _same(_run(answer, parts, GOES, STAYS), _right(*parts, GOES, STAYS))


def _opposite_is_pruned(answer: Merge) -> bool:
    return _same(_run(answer, _twins(-1.0)), _without(_twins(-1.0), GOES))


def _untouched(answer: Merge) -> bool:
    parts = _problem()
    weight, bias, reader = (part.clone() for part in parts)
    answer(weight, bias, reader, STAYS, GOES)
    return all(torch.equal(a, b) for a, b in zip((weight, bias, reader), parts, strict=True))


def _makes(wrong: Merge) -> Callable[[Merge], bool]:
    def made(answer: Merge) -> bool:
        problem, twins = _problem(), _twins(-1.0)
        return _same(_run(answer, problem), wrong(*problem, STAYS, GOES)) and _same(
            _run(answer, twins), wrong(*twins, STAYS, GOES)
        )

    return made


def _pruned(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Parts:  # noqa: ARG001
    return _without((weight, bias, reader), j)


def _replaced(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Parts:
    """Write c W'_j in the place of W'_i."""
    emptied = reader.clone()
    emptied[:, i] = 0
    return _right(weight, bias, emptied, i, j)


def _incoming_added(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Parts:
    """Add the incoming rows, as the article does."""
    weight, bias = weight.clone(), bias.clone()
    weight[i] += weight[j]
    bias[i] += bias[j]
    return _without((weight, bias, reader), j)


def _shifted(weight: Tensor, bias: Tensor, reader: Tensor, i: int, j: int) -> Parts:
    """Remove first, then add to the column that has moved to place i."""
    a = torch.cat([weight, bias.unsqueeze(1)], dim=1)
    column = _projection(a[i], a[j]) * reader[:, j]
    weight, bias, reader = _without((weight, bias, reader), j)
    reader = reader.clone()
    reader[:, min(i, reader.shape[1] - 1)] += column
    return weight, bias, reader


_MISTAKES: dict[str, Merge] = {
    "You only removed neuron j: that is pruning. Its column, times c, is added to that of i.": (
        _pruned
    ),
    "You replaced the column of i; that of j, times c, is added to it.": _replaced,
    "You forgot the bias: c is the projection of [w, b].": _with(
        lambda a_i, a_j: _projection(a_i[:-1], a_j[:-1])
    ),
    "You added the column as it is; it takes the factor c.": _with(lambda *_: torch.ones(())),
    "You took the cosine as the factor; the lengths count too.": _with(
        lambda a_i, a_j: torch.cosine_similarity(a_i, a_j, dim=0).clamp(min=0)
    ),
    "You took the ratio of norms; the task is the projection.": _with(
        lambda a_i, a_j: a_j.norm() / a_i.norm()
    ),
    "You divided by the length of the one that goes; c is ⟨a_i, a_j⟩ / ‖a_i‖².": _with(
        lambda a_i, a_j: _projection(a_j, a_i)
    ),
    "You did not cut c off at 0: ReLU passes no negative factor.": _with(
        lambda a_i, a_j: a_i @ a_j / (a_i @ a_i)
    ),
    "You changed the incoming weights of i; they stay, its column changes.": _incoming_added,
    "You removed first: column i is then another one if i > j.": _shifted,
    "You let i go; j goes, and i stays.": lambda w, b, r, i, j: _right(w, b, r, j, i),
}

EXERCISES = {
    "merge-units": Exercise(
        kind=a_function("merge(weight, bias, reader, i, j)"),
        claims=(
            Claim(
                "the three shapes are right",
                _shapes,
                "Of 5 neurons 4 stay: weight (4, 3), bias (4,), reader (4, 4).",
            ),
            Claim(
                "twins are merged exactly",
                _twins_are_exact,
                "If [w_j, b_j] = c [w_i, b_i], c > 0, the small network computes the same.",
            ),
            Claim(
                "the factor is the projection of [w, b]",
                _projects,
                "c = ⟨a_i, a_j⟩ / ‖a_i‖² with a = [w, b]; column i becomes W'_i + c W'_j.",
            ),
            Claim(
                "it is right for i < j and for i > j",
                _other_order,
                "Add the column before you remove the other: afterwards places have moved.",
            ),
            Claim(
                "an opposite neuron is pruned",
                _opposite_is_pruned,
                "For a negative projection c is 0.",
            ),
            Claim(
                "what it is given stays as it is",
                _untouched,
                "Return new tensors: the network must stay whole.",
            ),
        ),
        mistakes=tuple(Mistake(text, _makes(wrong)) for text, wrong in _MISTAKES.items()),
    )
}
