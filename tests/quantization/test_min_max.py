"""Min–max rounding against torch, NumPy, closed forms and brute force."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.measuring import mean_squared_error
from reference_impl.quantization import (
    MinMaxQuantizer,
    min_max_quantizer,
    round_half_up,
    round_stochastically,
    rounding_noise,
    stochastic_rounding_noise,
)

ARTICLE = torch.tensor([1.2, 2.3, 3.4, 4.5])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def signals(draw: st.DrawFn) -> torch.Tensor:
    """Draw a float32 tensor that is not constant, of 1 to 3 axes and any magnitude from 1e-20."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    shape[0] += 1
    exponent = draw(st.floats(-20, 20))
    offset = draw(st.floats(-3, 3))
    x = torch.randn(shape, generator=generator(draw(st.integers(0, 2**31))))
    x.view(-1)[0] += 1.0  # two equal draws would be constant
    return (x + offset) * 10**exponent


@pytest.mark.parametrize("bits", range(1, 17))
@given(x=signals())
def test_round_trip_is_torchs_fake_quantize_bit_for_bit(bits: int, x: torch.Tensor) -> None:
    """Oracle: torch.fake_quantize_per_tensor_affine on X − min with zero point 0."""
    quantizer = min_max_quantizer(x, bits)
    moved = torch.fake_quantize_per_tensor_affine(
        x - quantizer.low, quantizer.step, 0, 0, 2**bits - 1
    )
    assert torch.equal(quantizer.round_trip(x), moved + quantizer.low)


@given(x=signals(), bits=st.integers(1, 16))
def test_codes_are_the_articles_formula_in_float64(x: torch.Tensor, bits: int) -> None:
    """Oracle: the article's NumPy line in float64; float32 may decide a near tie otherwise.

    Equation: eq-rounding-min-max.
    """
    values = x.numpy().astype(np.float64)
    scaled = (values - values.min()) / (values.max() - values.min()) * (2**bits - 1)
    codes = min_max_quantizer(x, bits).quantize(x).numpy()
    off = codes != np.round(scaled)
    distance_to_tie = np.abs(scaled - np.floor(scaled) - 0.5)
    offset = np.abs(values).max() / (values.max() - values.min())
    assert (distance_to_tie[off] < 2**bits * (1 + offset) * 2.0**-22).all()
    assert codes.min() == 0
    assert codes.max() == 2**bits - 1


def test_articles_example_gives_its_codes() -> None:
    """Oracle: the output that the article's own code prints."""
    quantizer = min_max_quantizer(ARTICLE, 8)
    assert quantizer.quantize(ARTICLE).tolist() == [0, 85, 170, 255]
    assert quantizer.quantize(ARTICLE).dtype == torch.int32
    assert quantizer.step == pytest.approx(3.3 / 255, rel=1e-7)


def test_three_bits_by_hand() -> None:
    """Oracle: s = 3.3/7, so 1.1/s = 2 1/3 and 2.2/s = 4 2/3, worked out by hand.

    Equation: eq-rounding-step.
    """
    quantizer = min_max_quantizer(ARTICLE, 3)
    codes = quantizer.quantize(ARTICLE)
    assert codes.tolist() == [0, 2, 5, 7]
    expected = torch.tensor([1.2, 1.2 + 6.6 / 7, 1.2 + 16.5 / 7, 4.5])
    torch.testing.assert_close(quantizer.dequantize(codes), expected)


@given(x=signals(), bits=st.integers(1, 12))
def test_error_is_at_most_half_a_step(x: torch.Tensor, bits: int) -> None:
    """Oracle: the bound s/2, with float32's own rounding of min + s q added.

    Equation: eq-rounding-bound.
    """
    quantizer = min_max_quantizer(x, bits)
    error = (quantizer.round_trip(x).double() - x.double()).abs().max().item()
    slack = 2.0**-22 * (x.abs().max().item() + quantizer.high - quantizer.low)
    assert error <= quantizer.step / 2 + slack


@given(bits=st.integers(1, 16), low=st.floats(-100, 100), width=st.floats(0.01, 100))
def test_every_code_survives_the_trip(bits: int, low: float, width: float) -> None:
    """Oracle: quantize inverts dequantize on all 2^b codes.

    Equation: eq-rounding-levels, eq-rounding-inverse.
    """
    quantizer = MinMaxQuantizer(low, low + width, bits)
    codes = torch.arange(2**bits, dtype=torch.int32)
    values = quantizer.dequantize(codes, torch.float64)
    assert torch.equal(quantizer.quantize(values), codes)


def test_values_outside_the_range_come_back_as_the_nearer_end() -> None:
    """Oracle: by hand."""
    quantizer = MinMaxQuantizer(-1.0, 1.0, 4)
    codes = quantizer.quantize(torch.tensor([-1e30, -1.1, 1.1, 1e30]))
    assert codes.tolist() == [0, 0, 15, 15]


def test_mean_squared_error_is_a_twelfth_of_the_squared_step() -> None:
    """Oracle: the closed form s²/12 on a uniform signal, within 1 %."""
    x = torch.rand(1_000_000, generator=generator())
    quantizer = min_max_quantizer(x, 6)
    measured = mean_squared_error(x, quantizer.round_trip(x))
    assert measured == pytest.approx(rounding_noise(quantizer.step), rel=0.01)


def test_stochastic_rounding_doubles_the_mean_squared_error() -> None:
    """Oracle: the closed form s²/6 on a uniform signal, within 1 %."""
    x = torch.rand(1_000_000, generator=generator())
    quantizer = min_max_quantizer(x, 6)
    rounding = partial(round_stochastically, generator=generator(1))
    measured = mean_squared_error(x, quantizer.round_trip(x, rounding))
    assert measured == pytest.approx(stochastic_rounding_noise(quantizer.step), rel=0.01)


@given(value=st.floats(-5, 5))
def test_stochastic_rounding_is_unbiased(value: float) -> None:
    """Oracle: E[round(x)] = x, within 6 standard errors of 20,000 draws.

    Equation: eq-rounding-stochastic.
    """
    x = torch.full((20_000,), value, dtype=torch.float64)
    mean = round_stochastically(x, generator()).mean().item()
    assert abs(mean - value) <= 6 * 0.5 / math.sqrt(20_000)


def test_stochastic_rounding_never_moves_an_integer_and_moves_by_less_than_one() -> None:
    """Oracle: the definition; ⌊x + u⌋ in float32 would lift 255 to 256."""
    integers = torch.arange(-1000.0, 1000.0).repeat(200)
    assert torch.equal(round_stochastically(integers, generator()), integers)
    x = torch.randn(100_000, generator=generator()) * 10
    rounded = round_stochastically(x, generator(1))
    assert bool(((rounded == x.floor()) | (rounded == x.ceil())).all())


def test_stochastic_rounding_repeats_with_its_seed() -> None:
    """Oracle: equality of two runs with one seed, difference with another."""
    x = torch.rand(1000, generator=generator())
    assert torch.equal(round_stochastically(x, generator(5)), round_stochastically(x, generator(5)))
    assert not torch.equal(
        round_stochastically(x, generator(5)), round_stochastically(x, generator(6))
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, 0), (-1.5, -1), (0.49999997, 0), (2.4, 2), (-2.6, -3)],
)
def test_half_up_sends_halves_up_and_nothing_else(value: float, expected: int) -> None:
    """Oracle: by hand; 0.49999997 is the float32 that ⌊x + ½⌋ gets wrong."""
    assert round_half_up(torch.tensor([value])).item() == expected


def test_default_rounding_sends_halves_to_the_even_neighbour() -> None:
    """Oracle: numpy.round on the same ties."""
    ties = np.arange(16) + 0.5
    quantizer = MinMaxQuantizer(0.0, 255.0, 8)
    codes = quantizer.quantize(torch.tensor(ties))
    assert codes.tolist() == np.round(ties).astype(int).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_round_trip_keeps_the_dtype(dtype: torch.dtype) -> None:
    """Oracle: the dtype that went in, and the codes of the same numbers in float64."""
    x = ARTICLE.to(dtype)
    quantizer = min_max_quantizer(x, 8)
    assert quantizer.round_trip(x).dtype == dtype
    assert torch.equal(quantizer.quantize(x), quantizer.quantize(x.double()))


def test_inputs_are_left_as_they_were() -> None:
    """Oracle: a copy made before; the inner arithmetic works in place."""
    x, codes = torch.randn(50, generator=generator()), torch.arange(4, dtype=torch.int32)
    before, codes_before = x.clone(), codes.clone()
    quantizer = min_max_quantizer(x, 2)
    quantizer.quantize(x, rounding=torch.floor)
    quantizer.round_trip(x)
    quantizer.dequantize(codes)
    assert torch.equal(x, before)
    assert torch.equal(codes, codes_before)


@given(x=signals(), bits=st.integers(1, 12))
def test_codes_ignore_a_positive_scale_that_is_a_power_of_two(x: torch.Tensor, bits: int) -> None:
    """Oracle: symmetry; codes of 4 x are the codes of x."""
    assert torch.equal(
        min_max_quantizer(4 * x, bits).quantize(4 * x), min_max_quantizer(x, bits).quantize(x)
    )


@pytest.mark.parametrize("rounding", [torch.floor, torch.ceil, round_half_up])
def test_codes_follow_the_rule_of_rounding(rounding) -> None:
    """Oracle: the rule applied by hand, and the round trip, which must use the same codes."""
    x = torch.linspace(0, 255, 1001)
    quantizer = MinMaxQuantizer(0.0, 255.0, 8)
    assert torch.equal(quantizer.quantize(x, rounding), rounding(x).int())
    back = quantizer.dequantize(quantizer.quantize(x, rounding))
    assert torch.equal(quantizer.round_trip(x, rounding), back)


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_both_ways_back_agree_in_every_dtype(dtype: torch.dtype, bits: int) -> None:
    """Oracle: the round trip against dequantize(quantize(x)); 65535 is not a float16."""
    x = torch.rand(1000, generator=generator()).to(dtype)
    quantizer = MinMaxQuantizer(0.0, 1.0, bits)
    back = quantizer.dequantize(quantizer.quantize(x), dtype)
    assert back.dtype == dtype
    assert torch.equal(quantizer.round_trip(x), back)
    slack = torch.finfo(dtype).eps
    assert (back.double() - x.double()).abs().max() <= quantizer.step / 2 + slack


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [0.001, -0.001, 0.3])
def test_stochastic_rounding_is_unbiased_in_half_precision(
    dtype: torch.dtype, value: float
) -> None:
    """Oracle: E[round(x)] = x, within 6 standard errors of a million draws."""
    x = torch.full((1_000_000,), value, dtype=dtype)
    exact = float(x[0].double())
    spread = math.sqrt(abs(exact) * (1 - abs(exact)) / 1_000_000)
    assert abs(round_stochastically(x, generator()).double().mean() - exact) <= 6 * spread


def test_integers_are_kept_when_the_random_number_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the definition; a draw of 0 comes once in 2²⁴."""
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.zeros(*size))
    integers = torch.arange(-5.0, 5.0)
    assert torch.equal(round_stochastically(integers, generator()), integers)


def test_short_numpy_numbers_do_not_overflow() -> None:
    """Oracle: the same quantizer from Python's numbers."""
    assert MinMaxQuantizer(np.int8(-100), np.int8(100), np.int8(8)) == MinMaxQuantizer(
        -100.0, 100.0, 8
    )
    assert min_max_quantizer(ARTICLE, np.uint8(16)).max_code == 65535
    assert MinMaxQuantizer(np.float16(-60000), np.float16(60000), 4).step == pytest.approx(
        8000, rel=0.01
    )


GOOD = MinMaxQuantizer(0.0, 1.0, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: min_max_quantizer([1.0, 2.0], 8), TypeError, "x must be a torch.Tensor, got list"),
        (lambda: min_max_quantizer(torch.tensor([1.0, math.nan]), 8), ValueError, "x .* 1 nan"),
        (lambda: min_max_quantizer(torch.full((9,), 2.5), 8), ValueError, "constant, got 2.5"),
        (lambda: min_max_quantizer(ARTICLE, 17), ValueError, r"bits must be in .* got 17"),
        (lambda: min_max_quantizer(ARTICLE, True), TypeError, "bits must be an integer, got True"),
        (lambda: MinMaxQuantizer(1.0, 1.0, 8), ValueError, "high must be above low = 1.0, got 1.0"),
        (lambda: MinMaxQuantizer(2.0, 1.0, 8), ValueError, "high must be above low = 2.0, got 1.0"),
        (lambda: MinMaxQuantizer(math.nan, 1.0, 8), ValueError, "low must be finite, got nan"),
        (lambda: GOOD.round_trip(torch.empty(0)), ValueError, "x must not be empty"),
        (lambda: GOOD.dequantize(torch.tensor([0.5])), TypeError, "q must hold integers"),
        (lambda: GOOD.dequantize(torch.tensor([3, 256])), ValueError, "q .* got 3 to 256"),
        (lambda: GOOD.dequantize(torch.tensor([1]), torch.int8), ValueError, "dtype must be"),
        (lambda: GOOD.quantize(ARTICLE, "round"), TypeError, "rounding must be callable"),
        (lambda: round_stochastically(ARTICLE, 7), TypeError, "generator must be Generator"),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()


def test_wide_ranges_work_in_float64() -> None:
    """Oracle: what float32 refuses, float64 can do."""
    x = torch.tensor([-3e38, 0.0, 3e38], dtype=torch.float64)
    assert MinMaxQuantizer(-3e38, 3e38, 1).quantize(x).tolist() == [0, 0, 1]
