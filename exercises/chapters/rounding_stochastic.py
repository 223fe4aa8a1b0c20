"""Exercise of chapter 02 on stochastic rounding."""

import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from exercises.framework import Exercise, Test, a_function, a_tensor, leaves, normals


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _means_are(expected: Callable[[float], float]) -> Test:
    """Return the test whether E[round(x)] is ``expected(x)`` within 5 standard errors."""

    def mean(answer: Callable[..., Any], x: float) -> float:
        return a_tensor(answer(torch.full((20_000,), x), _seeded(7))).double().mean().item()

    tolerance = 5 * 0.5 / 20_000**0.5
    return lambda answer: all(
        abs(mean(answer, x) - expected(x)) < tolerance for x in (0.1, 0.25, 0.9, -0.3, 3.7)
    )


def _keeps_integers(answer: Callable[..., Any]) -> bool:
    """Return whether integers stay, large ones and those whose random number is 0 too."""
    integers = torch.cat([torch.arange(-50, 300), torch.arange(100_000, 105_000)]).float()
    if not torch.equal(a_tensor(answer(integers.clone(), _seeded(3))), integers):
        return False
    rand = torch.rand  # every draw is 0 once in 2²⁴
    with patch.object(torch, "rand", lambda *size, **options: rand(*size, **options).zero_()):
        return torch.equal(a_tensor(answer(integers.clone(), torch.Generator())), integers)


def _gives_neighbours(answer: Callable[..., Any]) -> bool:
    x = 5 * normals(1, (50, 20))[0]
    rounded = a_tensor(answer(x.clone(), _seeded(2)))
    return rounded.shape == x.shape and bool(((rounded == x.floor()) | (rounded == x.ceil())).all())


def _rounded(answer: Callable[..., Any], generator: torch.Generator) -> Tensor:
    """Return the roundings of 0.01, 0.02, … 0.99."""
    return a_tensor(answer(torch.linspace(0.01, 0.99, 99), generator)).clone()


def _varies(answer: Callable[..., Any]) -> bool:
    """Return whether seeds, and calls on one generator, give different results."""
    generator = _seeded(7)
    first, second = _rounded(answer, generator), _rounded(answer, generator)
    return not torch.equal(first, second) and not torch.equal(first, _rounded(answer, _seeded(5)))


def _draws_each_alone(answer: Callable[..., Any]) -> bool:
    """Return whether elements agree about half of the time, at whatever distance they lie."""
    count = 32 * 32
    rounded = a_tensor(answer(torch.full((32, 32), 0.5), _seeded(4))).flatten()
    agreeing = [(rounded[k:] == rounded[:-k]).double().mean() for k in range(1, count // 2 + 1)]
    tolerance = 6 * 0.5 / (count / 2) ** 0.5
    return len(rounded) == count and all(abs(share - 0.5) < tolerance for share in agreeing)


def _never_varies(expected: Callable[[float], float]) -> Test:
    return lambda answer: not _varies(answer) and _means_are(expected)(answer)


STOCHASTIC = Exercise(
    kind=a_function("stochastic(x, generator)"),
    claims={
        "every result is a neighbouring integer": (
            _gives_neighbours,
            "The result must be ⌊x⌋ or ⌊x⌋ + 1, nothing else, in the shape of x.",
        ),
        "integers stay as they are": (
            _keeps_integers,
            "An integer must never move. ⌊x + r⌋ moves a large one, because float32 rounds the sum "
            "up to the next integer if r is close to 1; and r <= x − ⌊x⌋ moves one if r is 0.",
        ),
        "x is left as it was": (
            leaves(lambda: (torch.full((100,), 0.5), _seeded(2))),
            "You changed x itself: work on a new tensor.",
        ),
        "the same seed gives the same result": (
            lambda f: torch.equal(_rounded(f, _seeded(4)), _rounded(f, _seeded(4))),
            "Draw from the generator that is given: generator=generator.",
        ),
        "another seed, or a second call, gives another result": (
            _varies,
            "Nothing random comes from the generator: draw from it, and do not seed it yourself.",
        ),
        "each element has a draw of its own": (
            _draws_each_alone,
            "Elements moved together: draw one random number for each of them.",
        ),
        "the mean over many draws is x": (_means_are(float), "Go up with probability x − ⌊x⌋."),
    },
    mistakes={
        "This always rounds to the nearest: nothing is random.": _never_varies(round),
        "This always rounds down: the random number never decides.": _never_varies(math.floor),
        "Up and down are swapped: go up with probability x − ⌊x⌋, not 1 − (x − ⌊x⌋).": _means_are(
            lambda x: 2 * (x // 1) + 1 - x
        ),
        "You toss a fair coin: the nearer integer must be the likelier.": _means_are(
            lambda x: x // 1 + 0.5
        ),
    },
)
