"""Exercise of chapter 11: to implement global masks, by count."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function

Masks = Callable[[list[Tensor], float], Sequence[Tensor]]

TIED = [
    torch.tensor([[0.1, -0.2], [0.3, 0.1]]),
    torch.tensor([-0.1, 0.4, 0.1, -0.5, 0.6, 0.7]),
]
"""Ten weights, of which four tie."""


def _problem() -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    shapes = ((20, 30), (10, 20), (4, 3, 3, 3))
    return [
        scale * torch.randn(shape, generator=draws)
        for shape, scale in zip(shapes, (0.1, 0.3, 1.0), strict=True)
    ]


def _run(answer: Masks, weights: list[Tensor], sparsity: float) -> list[Tensor]:
    found = answer([w.clone() for w in weights], sparsity)
    if not isinstance(found, list | tuple) or len(found) != len(weights):
        raise WrongResultError(f"The function must return {len(weights)} masks, one for a tensor.")
    for mask, weight in zip(found, weights, strict=True):
        if not isinstance(mask, Tensor) or mask.shape != weight.shape:
            raise WrongResultError("A mask must be a tensor of its weight's shape.")
    return [mask.bool() for mask in found]


def _right(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    flat = torch.cat([w.flatten() for w in weights]).abs()
    kept = torch.ones(len(flat), dtype=torch.bool)
    kept[flat.argsort(stable=True)[: round(sparsity * len(flat))]] = False
    parts = kept.split([w.numel() for w in weights])
    return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]


def _same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def _n_dropped(answer: Masks, weights: list[Tensor], sparsity: float) -> int:
    return sum(int((~mask).sum()) for mask in _run(answer, weights, sparsity))


def _counts(answer: Masks) -> bool:
    n = sum(w.numel() for w in _problem())
    return all(_n_dropped(answer, _problem(), s) == round(s * n) for s in (0.1, 0.5, 0.93))


def _smallest(answer: Masks) -> bool:
    masks = _run(answer, _problem(), 0.7)
    pairs = list(zip(_problem(), masks, strict=True))
    dropped = torch.cat([w[~mask].abs() for w, mask in pairs])
    kept = torch.cat([w[mask].abs() for w, mask in pairs])
    return bool(len(dropped) and len(kept) and dropped.max() <= kept.min())


def _ties(answer: Masks) -> bool:
    return all(_same(_run(answer, TIED, s), _right(TIED, s)) for s in (0.1, 0.2, 0.3, 0.6))


def _nothing(answer: Masks) -> bool:
    return _n_dropped(answer, _problem(), 0.0) == 0


def _untouched(answer: Masks) -> bool:
    given = [w.clone() for w in _problem()]
    answer(given, 0.5)
    return _same(given, _problem())


def _makes(wrong: Masks) -> Callable[[Masks], bool]:
    def made(answer: Masks) -> bool:
        return _same(_run(answer, _problem(), 0.7), wrong(_problem(), 0.7))

    return made


def _layerwise(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    return [_right([w], sparsity)[0] for w in weights]


def _inverted(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    return [~mask for mask in _right(weights, sparsity)]


def _largest_dropped(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    return [~mask for mask in _right(weights, 1 - sparsity)]


def _signed(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    lowest = min(float(w.min()) for w in weights)
    return _right([w - lowest for w in weights], sparsity)


def _one_more(weights: list[Tensor], sparsity: float) -> list[Tensor]:
    n = sum(w.numel() for w in weights)
    return _right(weights, (round(sparsity * n) + 1) / n)


_MISTAKES: dict[str, Masks] = {
    "You dropped a share of each tensor; the smallest of all together are to go.": _layerwise,
    "Your masks are true where a weight is dropped.": _inverted,
    "You dropped the largest magnitudes.": _largest_dropped,
    "You forgot the magnitude: a large negative weight is large.": _signed,
    "You dropped one too many: a comparison <= with the threshold drops the threshold, too.": (
        _one_more
    ),
}

EXERCISES = {
    "sparse-masks": Exercise(
        kind=a_function("masks(weights, sparsity)"),
        claims=(
            Claim(
                "round(sparsity * n) weights are dropped of all together",
                _counts,
                "Count: sort the magnitudes, and drop so many from the front.",
            ),
            Claim(
                "no dropped weight is larger than a kept one, whatever its tensor",
                _smallest,
                "One order of all magnitudes: concatenate before you sort.",
            ),
            Claim(
                "ties are decided by the order of the list",
                _ties,
                "A threshold cannot part equals; argsort(stable=True) keeps their order.",
            ),
            Claim("a sparsity of 0 drops nothing", _nothing, "x[:0] is empty, x[-0:] is not."),
            Claim("what it is given stays as it is", _untouched, "Return masks, change nothing."),
        ),
        mistakes=tuple(Mistake(text, _makes(wrong)) for text, wrong in _MISTAKES.items()),
    )
}
