"""Exercise of chapter 13: stable units of scores, with a threshold that rounding must not move."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function
from reference_impl.pruning import choose_highest, selection_frequency

Stable = Callable[[Tensor, int, float], Any]


def _mask(result: Any) -> Tensor:
    """Return what an answer returned as booleans: a tensor, an array or a list of truths."""
    if not isinstance(result, Tensor | np.ndarray | list | tuple):
        raise WrongResultError(
            f"The function must return one truth a unit; it returned a {type(result).__name__}."
        )
    found = torch.as_tensor(result)
    if found.ndim != 1:
        raise WrongResultError(
            f"The function must return one truth a unit; it has the shape {tuple(found.shape)}."
        )
    if not bool(((found == 0) | (found == 1)).all()):
        raise WrongResultError("The function must return truths; it returned other numbers.")
    return found.bool()


def _scores(seed: int, samples: int, units: int) -> Tensor:
    """Return scores, some negative, of units of which the first tend to be higher."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(samples, units, generator=draws) - 0.3 * torch.arange(units)


def _edge(hits: int, samples: int) -> Tensor:
    """Return scores of two units of which the first is the higher in ``hits`` samples."""
    first = (torch.arange(samples) < hits).float()
    return torch.stack([first, 1 - first], dim=1)


_CASES = tuple(
    (_scores(seed, samples, units), q, threshold)
    for seed, (samples, units, q, threshold) in enumerate(
        [(9, 6, 2, 0.6), (20, 8, 3, 0.51), (40, 12, 4, 0.9), (10, 5, 1, 0.75), (7, 9, 5, 1.0)]
    )
)


def _same(formula: Callable[[Tensor, int, float], Tensor]) -> Callable[[Stable], bool]:
    """Return the test whether an answer agrees with ``formula`` on five random cases."""

    def holds(answer: Stable) -> bool:
        return all(
            torch.equal(_mask(answer(scores.clone(), q, pi)), formula(scores, q, pi))
            for scores, q, pi in _CASES
        )

    return holds


def _share(scores: Tensor, q: int) -> Tensor:
    return selection_frequency(choose_highest(scores, q))


def _by_share(scores: Tensor, q: int, threshold: float) -> Tensor:
    return _share(scores, q) >= threshold - 1e-9


def _meets_the_threshold(answer: Stable) -> bool:
    """Return whether a unit chosen in exactly the share π is stable, and one less is not.

    0.5, 0.75 and 0.875 are exact in floating point, so that no rounding is asked for.
    """
    exact = ((3, 4, 0.75), (7, 8, 0.875), (6, 8, 0.75))
    return all(
        bool(_mask(answer(_edge(hits, n), 1, pi))[0])
        and not bool(_mask(answer(_edge(hits - 1, n), 1, pi))[0])
        for hits, n, pi in exact
    )


def _survives_rounding(answer: Stable) -> bool:
    """Return whether exact shares stay stable where a product or a quotient is rounded."""
    cases = ((55, 100, 0.55), (56, 100, 0.56), (57, 100, 0.57), (7, 10, 0.7), (90, 100, 0.9))
    return all(
        bool(_mask(answer(_edge(hits, n), 1, pi))[0])
        and not bool(_mask(answer(_edge(hits - 1, n), 1, pi))[0])
        for hits, n, pi in cases
    )


def _leaves_scores(answer: Stable) -> bool:
    scores = _scores(11, 6, 4)
    before = scores.clone()
    answer(scores, 2, 0.6)
    return torch.equal(scores, before)


_STABLE = Exercise(
    kind=a_function("stable(scores, q, threshold)"),
    claims=(
        Claim(
            "of random scores the stable units are right",
            _same(_by_share),
            "On each row mark the q highest scores; a unit's share is the mean of its column.",
        ),
        Claim(
            "a share equal to the threshold is stable, a smaller one is not",
            _meets_the_threshold,
            "The condition is a share of at least π: ≥, not >.",
        ),
        Claim(
            "55 of 100 meet 0.55, whatever the rounding",
            _survives_rounding,
            "0.55 · 100 is above 55 in floating point, and float32 shares are off as well: "
            "forgive a difference of 1e-6, say.",
        ),
        Claim(
            "the scores are left as they were",
            _leaves_scores,
            "Do not write into the tensor that you are given: make a new one for the choices.",
        ),
    ),
    mistakes=(
        Mistake(
            "You chose the lowest scores.",
            _same(lambda scores, q, pi: _by_share(-scores, q, pi)),
        ),
        Mistake(
            "You chose by magnitude: the scores are what they are, with their sign.",
            _same(lambda scores, q, pi: _by_share(scores.abs(), q, pi)),
        ),
        Mistake(
            "You averaged the scores and chose once: choose on each sample, then count.",
            _same(lambda scores, q, _: choose_highest(scores.mean(dim=0), q)),
        ),
        Mistake(
            "You chose the highest of each unit's column: choose among the units of each sample.",
            _same(lambda scores, q, pi: _share_of_columns(scores, q) >= pi - 1e-9),
        ),
        Mistake(
            "You required more than the threshold: at least is enough.",
            _same(lambda scores, q, pi: _share(scores, q) > pi + 1e-9),
        ),
        Mistake(
            "You compared with threshold · B, or a float32 share, without forgiving its rounding.",
            lambda answer: _meets_the_threshold(answer) and not _survives_rounding(answer),
        ),
    ),
)


def _share_of_columns(scores: Tensor, q: int) -> Tensor:
    """Return the share of the samples that are among the q highest of their unit."""
    highest = choose_highest(scores.T.contiguous(), min(q, len(scores)))
    return highest.double().mean(dim=1)


EXERCISES = {"stability-stable": _STABLE}
