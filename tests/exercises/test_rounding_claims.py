"""Each claim of chapter 02's exercises can fail alone; what the last exercise is checked with."""

import pytest
import torch
from claims import assert_failed

from exercises import report
from exercises.rounding_noise import bits_for, outlier_signal
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer


def reference_inverse(codes, low, high, bits):
    return low + (high - low) / (2**bits - 1) * codes.float()


def reference_stochastic(x, generator):
    floor = torch.floor(x)
    return floor + (torch.rand(x.shape, generator=generator) < x - floor).float()


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


@pytest.mark.parametrize(
    ("name", "answer", "failed"),
    [
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
    ],
)
def test_each_claim_is_failed_by_its_own_wrong_answer(name, answer, failed) -> None:
    """Oracle: answers written to lack one property only, and what follows from it."""
    assert_failed(name, answer, failed)


def test_seven_and_a_half_bits_are_no_rule_of_thumb() -> None:
    """Oracle: 40/6.02 rounded up is 7, not 7.5."""
    assert "rule of thumb" in report("outlier-bits", 7).lines[-1]
    assert "whole number" in report("outlier-bits", 7.5).lines[-1]


def test_more_bits_than_a_code_has_do_not_reach_the_sqnr() -> None:
    """Oracle: codes have 16 bits at most."""
    assert "✗ this many bits reach 40 dB" in report("outlier-bits", 17).lines


def test_the_outlier_is_50() -> None:
    """Oracle: the exercise's text."""
    assert outlier_signal()[-1] == 50
    assert outlier_signal().shape == (10_001,)


def test_bits_are_the_fewest_up_to_16_or_an_error() -> None:
    """Oracle: the SQNR measured at each width; an SQNR met exactly is reached."""
    x = outlier_signal()
    for bits in (3, 16):
        reached = float(sqnr(x, min_max_quantizer(x, bits).round_trip(x)))
        assert bits_for(x, reached) == bits
    with pytest.raises(ValueError, match="decibels must be reached with 16 bits"):
        bits_for(x, 1e9)
    with pytest.raises(ValueError, match="decibels must be finite"):
        bits_for(x, float("nan"))
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor"):
        bits_for([1.0], 40)
