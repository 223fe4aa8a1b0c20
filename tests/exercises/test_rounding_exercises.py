"""Every checker of chapter 02 accepts right answers and names wrong ones."""

import numpy as np
import pytest
import torch

from exercises.rounding import bits_for, outlier_signal
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer
from tests.exercises.claims import judged, spoiling


def reference_inverse(codes, low, high, bits):
    return low + (high - low) / (2**bits - 1) * codes.float()


def numpy_inverse(codes, low, high, bits):
    return np.linspace(low, high, 2**bits)[codes.long().numpy()]


def one_each(x, generator):
    return torch.rand(x.shape, generator=generator)


def up_if(chosen, draws=one_each):
    """Return the rounding that goes up by 1 where ``chosen`` says so of fraction and draw."""
    return lambda x, g: x.floor() + chosen(x - x.floor(), draws(x, g)).float()


def below(part, draw):
    return draw < part


def ceiling_stochastic(x, generator):
    down = torch.rand(x.shape, generator=generator) < x.ceil() - x
    return torch.where(down, x.floor(), x.ceil())


def filling(x, generator):
    draws = torch.empty(x.shape)
    return torch.rand(x.shape, generator=generator, out=draws)


reference_stochastic = up_if(below)

RIGHT = {
    "min-max-codes": [[0, 1, 5, 7]],
    "min-max-inverse": [reference_inverse, numpy_inverse],
    "stochastic-rounding": [
        reference_stochastic,
        ceiling_stochastic,
        up_if(lambda _, drawn: drawn, lambda x, g: torch.bernoulli(x - x.floor(), generator=g)),
        up_if(below, filling),
        up_if(below, lambda x, g: torch.rand(size=x.shape, generator=g)),
        up_if(below, lambda x, g: torch.rand(*x.shape, generator=g, dtype=torch.float64)),
    ],
    "outlier-bits": [11],
}


def inverse(formula):
    """Return an inverse by a formula of codes, smallest value, range and bits."""
    return lambda q, low, high, bits: formula(q.float(), low, high - low, 2**bits - 1)


def in_pairs(x, generator):
    """Return draws of which each serves two elements."""
    draws = torch.rand((x.numel() + 1) // 2, generator=generator).repeat_interleave(2)
    return draws[: x.numel()].view(x.shape)


def doubling(codes):
    """Give another value to some codes, but only where one stands alone."""
    return lambda q, *ends: reference_inverse(q, *ends) + (q.numel() == 1) * codes(q)


def nearly_even(q, low, high, bits):
    middle = (q > 0) & (q < 2**bits - 1) & (q.dtype == torch.int32)
    return reference_inverse(q, low, high, bits) + 1e-3 * middle


def first_call_only(x, generator):
    """Draw anew for a new seed, but give a second call on one generator the same result."""
    again = torch.Generator().manual_seed(generator.initial_seed())
    return reference_stochastic(x, again)


UNGIVEN = up_if(below, lambda x, _: torch.rand(x.shape))
SEEDED = up_if(below, lambda x, g: torch.rand(x.shape, generator=g.manual_seed(1)))
ONE_DRAW = up_if(below, lambda _, g: torch.rand((), generator=g))
LIKELIER_UP = up_if(lambda part, draw: draw < part + 0.05 * (part > 0))

WRONG = {
    "min-max-codes": [
        ([0, 2, 6, 8], "2^b − 1 steps"),
        ([-3, -1, 2, 4], "subtract the minimum"),
        ([0, 1, 4, 7], "cut the fraction off"),
        ([0, 1, 2, 3], "b steps, or 2 bits"),
        ([1, 1, 5, 7], "Subtract the smallest", "the smallest", "all four"),
        ([0, 1, 5, 6], "count from 0 to 7", "the largest", "all four"),
        ([0, 2, 5, 7], "Divide (x − min) by the step", "all four"),
    ],
    "min-max-inverse": [
        (inverse(lambda q, _, span, top: span / top * q), "left the minimum out"),
        (inverse(lambda q, low, span, top: low + span / (top + 1) * q), "Your step is"),
        (inverse(lambda q, low, span, top: low + span / top * (q + 0.5)), "rounding puts it at"),
        (lambda q, low, high, b: low + high / (2**b - 1) * q.float(), "the range is max − min"),
        (inverse(lambda q, low, span, top: low + span / (top + 1) * (q + 0.5)), "their middles"),
        (lambda *a: reference_inverse(*a).round(), "only the codes are integers"),
        (lambda q, low, high, b: low + (high - low) * q / (2**b - 1), "wraps around"),
        (lambda q, *ends: reference_inverse(q.to(torch.uint8), *ends), "one step"),
        (lambda *a: reference_inverse(*a).flatten(), "same shape", "the result has the shape"),
        (inverse(lambda q, low, span, top: low + span - span / top * q), "Code 0 stands for min"),
        (doubling(lambda q: q == 0), "Code 0 stands for min", "code 0"),
        (doubling(lambda q: q > 0), "stands for max", "the largest code"),
        (nearly_even, "a code of more than 8 bits", "codes in between"),
    ],
    "stochastic-rounding": [
        (lambda x, _: torch.round(x), "nothing is random"),
        (lambda x, _: torch.floor(x), "always rounds down"),
        (up_if(lambda part, draw: (draw > part) & (part > 0)), "Up and down are swapped"),
        (up_if(lambda part, draw: (draw < 0.5) & (part > 0)), "fair coin"),
        (ONE_DRAW, "Elements moved together"),
        (up_if(below, in_pairs), "Elements moved together", "each element"),
        (up_if(lambda part, draw: draw <= part), "if r is 0"),
        (UNGIVEN, "generator that is given"),
        (SEEDED, "do not seed it yourself"),
        (first_call_only, "do not seed it yourself", "another seed"),
        (spoiling(reference_stochastic), "changed x itself"),
        (lambda x, g: torch.floor(x + one_each(x, g) * (1 - 2**-30)), "moves a large one"),
        (lambda x, g: torch.round(x + 2 * one_each(x, g) - 1), "nothing else"),
        (lambda x, g: reference_stochastic(x.flatten(), g), "in the shape of x", "every result"),
        (
            lambda x, g: reference_stochastic(x, g) + (x >= 100_000).float(),
            "must never move",
            "integers stay",
        ),
        (LIKELIER_UP, "Go up with probability", "the mean"),
    ],
    "outlier-bits": [
        (7, "rule of thumb"),
        (8, "without the outlier"),
        (10, "stays below 40 dB", "this many bits"),
        (12, "try one less", "one bit fewer"),
        (11.5, "whole number of bits", "the answer is a whole"),
        (17, "from 1 to 16", "the answer is a whole", "this many bits", "one bit fewer"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_codes_by_hand_are_the_packages() -> None:
    """Oracle: the package's quantizer."""
    values = torch.tensor([-1.0, -0.5, 0.7, 1.4])
    assert min_max_quantizer(values, 3).quantize(values).tolist() == [0, 1, 5, 7]


def test_the_outlier_is_50() -> None:
    """Oracle: the exercise's text."""
    assert outlier_signal()[-1] == 50
    assert outlier_signal().shape == (10_001,)


def test_bits_are_the_fewest_up_to_16_or_an_error() -> None:
    """Oracle: the SQNR measured at each width."""
    x = outlier_signal()
    for bits in (3, 16):
        reached = float(sqnr(x, min_max_quantizer(x, bits).round_trip(x)))
        assert bits_for(x, reached - 1e-6) == bits
    with pytest.raises(ValueError, match="decibels must be reached with 16 bits"):
        bits_for(x, 1e9)
