"""Every checker of chapter 02 accepts right answers and names wrong ones."""

import numpy as np
import pytest
import torch

from exercises import report
from exercises.rounding import bits_for, outlier_signal
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer
from tests.exercises.claims import advised, crossed, passing


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


RIGHT = [
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
]


test_right_answers_pass = passing(RIGHT)


WRONG = [
    ("min-max-codes", [0, 2, 6, 8], "2^b − 1 steps"),
    ("min-max-codes", [-3, -1, 2, 4], "subtract the minimum"),
    ("min-max-codes", [0, 1, 4, 7], "cut the fraction off"),
    ("min-max-codes", [0, 1, 2, 3], "b steps, or 2 bits"),
    ("min-max-codes", [0, 1, 5, 6], "count from 0 to 7"),
    ("min-max-codes", [0, 2, 5, 7], "Divide (x − min) by the step"),
    (
        "min-max-inverse",
        lambda q, low, high, b: (high - low) / (2**b - 1) * q.float(),
        "left the minimum out",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + (high - low) / 2**b * q.float(),
        "Your step is",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + (high - low) / (2**b - 1) * (q.float() + 0.5),
        "rounding puts it at",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + high / (2**b - 1) * q.float(),
        "the range is max − min",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + (high - low) / 2**b * (q.float() + 0.5),
        "took their middles",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: (low + (high - low) / (2**b - 1) * q.float()).round(),
        "only the codes are integers",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + (high - low) * q / (2**b - 1),
        "wraps around",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + (high - low) / (2**b - 1) * q.to(torch.uint8).float(),
        "one step",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: low + (high - low) / (2**b - 1) * q.float().flatten(),
        "same shape",
    ),
    (
        "min-max-inverse",
        lambda q, low, high, b: high - (high - low) / (2**b - 1) * q.float(),
        "Code 0 stands for min",
    ),
    ("stochastic-rounding", lambda x, g: torch.round(x), "nothing is random"),
    ("stochastic-rounding", lambda x, g: torch.floor(x), "always rounds down"),
    (
        "stochastic-rounding",
        lambda x, g: (
            x.floor()
            + (torch.rand(x.shape, generator=g) > x - x.floor()).float() * (x != x.floor())
        ),
        "Up and down are swapped",
    ),
    (
        "stochastic-rounding",
        lambda x, g: (
            x.floor() + (torch.rand(x.shape, generator=g) < 0.5).float() * (x != x.floor())
        ),
        "fair coin",
    ),
    (
        "stochastic-rounding",
        lambda x, g: x.floor() + (torch.rand((), generator=g) < x - x.floor()).float(),
        "Elements moved together",
    ),
    (
        "stochastic-rounding",
        lambda x, g: x.floor() + (torch.rand(x.shape, generator=g) <= x - x.floor()).float(),
        "if r is 0",
    ),
    (
        "stochastic-rounding",
        lambda x, g: x.floor() + (torch.rand(x.shape) < x - x.floor()).float(),
        "generator that is given",
    ),
    (
        "stochastic-rounding",
        lambda x, g: (
            x.floor() + (torch.rand(x.shape, generator=g.manual_seed(1)) < x - x.floor()).float()
        ),
        "do not seed it yourself",
    ),
    (
        "stochastic-rounding",
        lambda x, g: x.copy_(
            x.floor() + (torch.rand(x.shape, generator=g) < x - x.floor()).float()
        ),
        "changed x itself",
    ),
    (
        "stochastic-rounding",
        lambda x, g: torch.floor(x + torch.rand(x.shape, generator=g) * (1 - 2**-30)),
        "moves a large one",
    ),
    (
        "stochastic-rounding",
        lambda x, g: torch.round(x + 2 * torch.rand(x.shape, generator=g) - 1),
        "nothing else",
    ),
    ("outlier-bits", 7, "rule of thumb"),
    ("outlier-bits", 8, "without the outlier"),
    ("outlier-bits", 10, "stays below 40 dB"),
    ("outlier-bits", 12, "try one less"),
    ("outlier-bits", 10.5, "whole number of bits"),
    ("outlier-bits", 100, "from 1 to 16"),
]


test_wrong_answers_are_named = advised(WRONG)


def shared(x, draws):
    """Round stochastically, several elements by each draw."""
    return x.floor() + (draws.flatten()[: x.numel()].view(x.shape) < x - x.floor()).float()


def in_pairs(x, generator):
    draws = torch.rand((x.numel() + 1) // 2, generator=generator)
    return shared(x, draws.repeat_interleave(2))


def in_halves(x, generator):
    return shared(x, torch.rand((x.numel() + 1) // 2, generator=generator).repeat(2))


def flattening(x, generator):
    return reference_stochastic(x.flatten(), generator)


def moving_large_integers(x, generator):
    return reference_stochastic(x, generator) + (x >= 100_000).float()


def flat_inverse(q, low, high, bits):
    return reference_inverse(q, low, high, bits).flatten()


def doubling_ends(q, low, high, bits):
    """Give another value to code 0 only where it stands alone."""
    return reference_inverse(q, low, high, bits) + (q.numel() == 1) * (q == 0)


def doubling_tops(q, low, high, bits):
    return reference_inverse(q, low, high, bits) + (q.numel() == 1) * (q > 0)


def nearly_even(q, low, high, bits):
    middle = (q > 0) & (q < 2**bits - 1) & (q.dtype == torch.int32)
    return reference_inverse(q, low, high, bits) + 1e-3 * middle


def first_call_only(x, generator):
    """Draw anew for a new seed, but give a second call on one generator the same result."""
    again = torch.Generator().manual_seed(generator.initial_seed())
    return reference_stochastic(x, again)


def same_start(x, generator):
    """Follow the calls on the generator but give each first call the same result."""
    fresh = torch.equal(
        generator.get_state(), torch.Generator().manual_seed(generator.initial_seed()).get_state()
    )
    return reference_stochastic(x, generator.manual_seed(1) if fresh else generator)


def likelier_up(x, generator):
    part = x - x.floor()
    draws = torch.rand(x.shape, generator=generator)
    return x.floor() + (draws < part + 0.05 * (part > 0)).float()


CLAIMS = [
    ("min-max-codes", [1, 1, 5, 7], ["the smallest", "all four"]),
    ("min-max-codes", [0, 1, 5, 6], ["the largest", "all four"]),
    ("min-max-codes", [0, 2, 5, 7], ["all four"]),
    ("min-max-inverse", doubling_ends, ["code 0"]),
    ("min-max-inverse", doubling_tops, ["the largest code"]),
    ("min-max-inverse", nearly_even, ["codes in between"]),
    ("min-max-inverse", flat_inverse, ["the result has the shape"]),
    ("stochastic-rounding", flattening, ["every result"]),
    ("stochastic-rounding", moving_large_integers, ["integers stay"]),
    ("stochastic-rounding", in_pairs, ["each element"]),
    ("stochastic-rounding", in_halves, ["each element"]),
    ("stochastic-rounding", first_call_only, ["another seed"]),
    ("stochastic-rounding", same_start, ["another seed"]),
    ("stochastic-rounding", likelier_up, ["the mean"]),
    ("outlier-bits", 11.5, ["the answer is a whole"]),
    ("outlier-bits", 10, ["this many bits"]),
    ("outlier-bits", 12, ["one bit fewer"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


def test_seven_and_a_half_bits_are_no_rule_of_thumb() -> None:
    """Oracle: 40/6.02 rounded up is 7, not 7.5."""
    assert "rule of thumb" in report("outlier-bits", 7).lines[-1]
    assert "whole number" in report("outlier-bits", 7.5).lines[-1]


def test_more_bits_than_a_code_has_do_not_reach_the_sqnr() -> None:
    """Oracle: codes have 16 bits at most."""
    assert "✗ this many bits reach 40 dB" in report("outlier-bits", 17).lines


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
    with pytest.raises(ValueError, match="decibels must be finite"):
        bits_for(x, float("nan"))
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor"):
        bits_for([1.0], 40)
