"""Every checker of chapter 02 accepts right answers and names wrong ones."""

import numpy as np
import pytest
import torch

from exercises import report


def reference_inverse(codes, low, high, bits):
    return low + (high - low) / (2**bits - 1) * codes.float()


def interpolating_inverse(codes, low, high, bits):
    return torch.lerp(
        torch.tensor(float(low)), torch.tensor(float(high)), codes.double().float() / (2**bits - 1)
    )


def numpy_inverse(codes, low, high, bits):
    return np.linspace(low, high, 2**bits)[codes.long().numpy()]


def reference_stochastic(x, generator):
    floor = torch.floor(x)
    return floor + (torch.rand(x.shape, generator=generator) < x - floor).float()


def ceiling_stochastic(x, generator):
    down = torch.rand(x.shape, generator=generator) < x.ceil() - x
    return torch.where(down, x.floor(), x.ceil())


def bernoulli_stochastic(x, generator):
    return x.floor() + torch.bernoulli(x - x.floor(), generator=generator)


def keyword_stochastic(x, generator):
    return x.floor() + (torch.rand(size=x.shape, generator=generator) < x - x.floor()).float()


def filling_stochastic(x, generator):
    draws = torch.empty(x.shape)
    torch.rand(x.shape, generator=generator, out=draws)
    return x.floor() + (draws < x - x.floor()).float()


def unpacking_stochastic(x, generator):
    draws = torch.rand(*x.shape, generator=generator, dtype=torch.float64)
    return x.floor() + (draws < x - x.floor()).float()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("min-max-codes", [0, 1, 5, 7]),
        ("min-max-codes", torch.tensor([0.0, 1.0, 5.0, 7.0])),
        ("min-max-codes", (0, 1, 5, 7)),
        ("min-max-codes", np.array([[0, 1], [5, 7]])),
        ("min-max-inverse", reference_inverse),
        ("min-max-inverse", interpolating_inverse),
        ("min-max-inverse", numpy_inverse),
        ("stochastic-rounding", reference_stochastic),
        ("stochastic-rounding", ceiling_stochastic),
        ("stochastic-rounding", bernoulli_stochastic),
        ("stochastic-rounding", keyword_stochastic),
        ("stochastic-rounding", filling_stochastic),
        ("stochastic-rounding", unpacking_stochastic),
        ("outlier-bits", 11),
        ("outlier-bits", torch.tensor(11)),
        ("outlier-bits", np.array([11])),
    ],
)
def test_right_answers_pass(name: str, answer: object) -> None:
    """Oracle: the reference solution and others, derived another way."""
    found = report(name, answer)
    assert found.passed, found.lines


WRONG = {
    "min-max-codes": {
        "2^b steps": [0, 2, 6, 8],
        "no minimum": [-3, -1, 2, 4],
        "cut off": [0, 1, 4, 7],
        "two bits": [0, 1, 2, 3],
        "a slip": [0, 1, 5, 6],
        "another slip": [0, 2, 5, 7],
    },
    "min-max-inverse": {
        "no minimum": lambda q, low, high, b: (high - low) / (2**b - 1) * q.float(),
        "2^b steps": lambda q, low, high, b: low + (high - low) / 2**b * q.float(),
        "middle of the cell": lambda q, low, high, b: (
            low + (high - low) / (2**b - 1) * (q.float() + 0.5)
        ),
        "max for the range": lambda q, low, high, b: low + high / (2**b - 1) * q.float(),
        "middle of 2^b cells": lambda q, low, high, b: (
            low + (high - low) / 2**b * (q.float() + 0.5)
        ),
        "rounded values": lambda q, low, high, b: (
            low + (high - low) / (2**b - 1) * q.float()
        ).round(),
        "integer overflow": lambda q, low, high, b: low + (high - low) * q / (2**b - 1),
        "through uint8": lambda q, low, high, b: (
            low + (high - low) / (2**b - 1) * q.to(torch.uint8).float()
        ),
        "flattened": lambda q, low, high, b: low + (high - low) / (2**b - 1) * q.float().flatten(),
        "down instead of up": lambda q, low, high, b: high - (high - low) / (2**b - 1) * q.float(),
    },
    "stochastic-rounding": {
        "nearest": lambda x, g: torch.round(x),
        "floor": lambda x, g: torch.floor(x),
        "swapped": lambda x, g: (
            x.floor()
            + (torch.rand(x.shape, generator=g) > x - x.floor()).float() * (x != x.floor())
        ),
        "fair coin": lambda x, g: (
            x.floor() + (torch.rand(x.shape, generator=g) < 0.5).float() * (x != x.floor())
        ),
        "one draw for all": lambda x, g: (
            x.floor() + (torch.rand((), generator=g) < x - x.floor()).float()
        ),
        "at most instead of less": lambda x, g: (
            x.floor() + (torch.rand(x.shape, generator=g) <= x - x.floor()).float()
        ),
        "own generator": lambda x, g: x.floor() + (torch.rand(x.shape) < x - x.floor()).float(),
        "seeds it anew": lambda x, g: (
            x.floor() + (torch.rand(x.shape, generator=g.manual_seed(1)) < x - x.floor()).float()
        ),
        "in place": lambda x, g: x.copy_(
            x.floor() + (torch.rand(x.shape, generator=g) < x - x.floor()).float()
        ),
        "floor of x + u": lambda x, g: torch.floor(
            x + torch.rand(x.shape, generator=g) * (1 - 2**-30)
        ),
        "noise of a whole step": lambda x, g: torch.round(
            x + 2 * torch.rand(x.shape, generator=g) - 1
        ),
    },
    "outlier-bits": {
        "rule of thumb": 7,
        "without the outlier": 8,
        "one too few": 10,
        "one too many": 12,
        "a fraction": 10.5,
        "too large": 100,
    },
}


@pytest.mark.parametrize(
    ("name", "case"), [(name, case) for name, cases in WRONG.items() for case in cases]
)
def test_wrong_answers_are_refused(name: str, case: str) -> None:
    """Oracle: plausible mistakes, written here and not taken from the checker."""
    found = report(name, WRONG[name][case])
    assert not found.passed
    assert found.lines[-1].startswith("→ ")


def test_advice_names_the_mistake_that_was_made() -> None:
    """Oracle: what a teacher would say to each."""
    expected = {
        ("min-max-inverse", "integer overflow"): "wraps around",
        ("min-max-inverse", "through uint8"): "one step",
        ("min-max-inverse", "flattened"): "same shape",
        ("min-max-inverse", "middle of 2^b cells"): "took their middles",
        ("stochastic-rounding", "one draw for all"): "Elements moved together",
        ("stochastic-rounding", "at most instead of less"): "if r is 0",
        ("stochastic-rounding", "floor of x + u"): "moves a large one",
        ("stochastic-rounding", "own generator"): "generator that is given",
        ("stochastic-rounding", "seeds it anew"): "do not seed it yourself",
        ("stochastic-rounding", "in place"): "changed x itself",
        ("stochastic-rounding", "nearest"): "nothing is random",
        ("outlier-bits", "too large"): "from 1 to 16",
    }
    for (name, case), advice in expected.items():
        assert advice in report(name, WRONG[name][case]).lines[-1], (name, case)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_answers_get_different_advice(name: str) -> None:
    """Oracle: at least three messages of their own for each exercise."""
    advice = {case: report(name, answer).lines[-1] for case, answer in WRONG[name].items()}
    assert len(set(advice.values())) >= 4, advice
