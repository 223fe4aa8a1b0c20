"""Min–max rounding against torch, NumPy, closed forms and brute force."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from draws import generator, normal
from hypothesis import example, given, settings
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
BITS = st.integers(1, 16)
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@st.composite
def signals(draw):
    """Draw a float32 tensor that is not constant, of 1 to 3 axes and any magnitude from 1e-20."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    shape[0] += 1
    x = normal(*shape, seed=draw(st.integers(0, 2**31)))
    x.view(-1)[0] += 1.0  # two equal draws would be constant
    return (x + draw(st.floats(-3, 3))) * 10 ** draw(st.floats(-20, 20))


@settings(max_examples=800)
@given(bits=BITS, x=signals())
def test_round_trip_is_torchs_fake_quantize_bit_for_bit(bits, x):
    """Oracle: torch.fake_quantize_per_tensor_affine on X − min with zero point 0."""
    quantizer = min_max_quantizer(x, bits)
    low, step = quantizer.low, quantizer.step
    moved = torch.fake_quantize_per_tensor_affine(x - low, step, 0, 0, 2**bits - 1)
    assert torch.equal(quantizer.round_trip(x), moved + low)


@pytest.mark.equation("eq-rounding-min-max")
@given(x=signals(), bits=BITS)
def test_codes_are_the_articles_formula_in_float64(x, bits):
    """Oracle: the article's NumPy line in float64; float32 may decide a near tie otherwise."""
    values = x.numpy().astype(np.float64)
    scaled = (values - values.min()) / (values.max() - values.min()) * (2**bits - 1)
    codes = min_max_quantizer(x, bits).quantize(x).numpy()
    off = codes != np.round(scaled)
    distance_to_tie = np.abs(scaled - np.floor(scaled) - 0.5)
    offset = np.abs(values).max() / (values.max() - values.min())
    assert (distance_to_tie[off] < 2**bits * (1 + offset) * 2.0**-22).all()
    assert codes.min() == 0
    assert codes.max() == 2**bits - 1


@pytest.mark.equation("eq-rounding-step")
def test_the_articles_example():
    """Oracle: the article's output, and its step, (4.5 − 1.2)/255."""
    quantizer = min_max_quantizer(ARTICLE, 8)
    assert quantizer.quantize(ARTICLE).tolist() == [0, 85, 170, 255]
    assert quantizer.step == pytest.approx(3.3 / 255, rel=1e-7)


@pytest.mark.equation("eq-rounding-bound")
@given(x=signals(), bits=st.integers(1, 12))
def test_error_is_at_most_half_a_step(x, bits):
    """Oracle: the bound s/2, with float32's own rounding of min + s q added."""
    quantizer = min_max_quantizer(x, bits)
    error = (quantizer.round_trip(x).double() - x.double()).abs().max().item()
    slack = 2.0**-22 * (x.abs().max().item() + quantizer.high - quantizer.low)
    assert error <= quantizer.step / 2 + slack


@pytest.mark.equation("eq-rounding-levels", "eq-rounding-inverse")
@given(bits=BITS, low=st.floats(-100, 100), width=st.floats(0.01, 100))
def test_every_code_survives_the_trip(bits, low, width):
    """Oracle: quantize inverts dequantize on all 2^b codes, and the last of them is the maximum."""
    quantizer = MinMaxQuantizer(low, low + width, bits)
    codes = torch.arange(2**bits, dtype=torch.int32)
    values = quantizer.dequantize(codes, torch.float64)
    assert torch.equal(quantizer.quantize(values), codes)
    assert values[-1].item() == pytest.approx(low + width, abs=1e-6 * width)


def test_the_mean_squared_error_is_the_closed_form():
    """Oracle: s²/12, or s²/6 if rounded stochastically, on a uniform signal, within 1 %."""
    x = torch.rand(1_000_000, generator=generator())
    quantizer = min_max_quantizer(x, 6)
    drawn = quantizer.round_trip(x, partial(round_stochastically, generator=generator(1)))
    found = [mean_squared_error(x, x_hat) for x_hat in (quantizer.round_trip(x), drawn)]
    noise = rounding_noise(quantizer.step), stochastic_rounding_noise(quantizer.step)
    assert found == pytest.approx(noise, rel=0.01)


@pytest.mark.equation("eq-rounding-stochastic")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@settings(max_examples=10)
@given(value=st.floats(-5, 5))
@example(0.001)
@example(-0.001)
def test_stochastic_rounding_is_unbiased(dtype, value):
    """Oracle: E[round(x)] = x, within 6 standard errors of a million draws."""
    x = torch.full((1_000_000,), value, dtype=dtype)
    exact = float(x[0])
    fraction = exact - math.floor(exact)
    spread = math.sqrt(fraction * (1 - fraction) / 1_000_000)
    mean = round_stochastically(x, generator()).double().mean().item()
    assert abs(mean - exact) <= 6 * spread + 1e-12


def test_stochastic_rounding_moves_no_integer_and_repeats_with_its_seed(monkeypatch):
    """Oracle: the definition; ⌊x + u⌋ in float32 would lift 255; a draw of 0 comes once in 2²⁴."""
    integers = torch.arange(-1000.0, 1000.0).repeat(200)
    assert torch.equal(round_stochastically(integers, generator()), integers)
    x = normal(100_000) * 10
    rounded = round_stochastically(x, generator(1))
    assert bool(((rounded == x.floor()) | (rounded == x.ceil())).all())
    assert torch.equal(rounded, round_stochastically(x, generator(1)))
    assert not torch.equal(rounded, round_stochastically(x, generator(2)))
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.zeros(*size))
    assert torch.equal(round_stochastically(integers, generator()), integers)


def test_half_up_sends_halves_up_and_nothing_else():
    """Oracle: by hand; 0.49999997 is the float32 that ⌊x + ½⌋ gets wrong."""
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 2.4, -2.6])
    assert round_half_up(x).tolist() == [1, 2, 3, 0, -1, 0, 2, -3]


def test_default_rounding_sends_halves_to_the_even_neighbour_and_what_is_outside_to_the_end():
    """Oracle: numpy.round on the same ties; by hand."""
    ties, quantizer = np.arange(16) + 0.5, MinMaxQuantizer(0.0, 255.0, 8)
    assert quantizer.quantize(torch.tensor(ties)).tolist() == np.round(ties).tolist()
    assert quantizer.quantize(torch.tensor([-1e30, -0.6, 255.6, 1e30])).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("rounding", [torch.floor, torch.ceil, round_half_up])
def test_codes_follow_the_rule_of_rounding(rounding):
    """Oracle: the rule applied by hand, and the round trip, which must use the same codes."""
    x = torch.linspace(0, 255, 1001)
    quantizer = MinMaxQuantizer(0.0, 255.0, 8)
    assert torch.equal(quantizer.quantize(x, rounding), rounding(x).int())
    assert torch.equal(quantizer.round_trip(x, rounding), quantizer.dequantize(rounding(x).int()))
    assert torch.equal(x, torch.linspace(0, 255, 1001))  # the inner arithmetic works in place


@pytest.mark.parametrize("dtype", DTYPES)
@given(bits=BITS)
def test_both_ways_back_agree_in_every_dtype(dtype, bits):
    """Oracle: the codes of the same numbers in float32; dequantize; 65535 is not a float16."""
    x = torch.rand(1000, generator=generator()).to(dtype)
    quantizer = MinMaxQuantizer(0.0, 1.0, bits)
    codes = quantizer.quantize(x)
    kept = codes.clone()
    if dtype.itemsize < 4:
        assert torch.equal(codes, quantizer.quantize(x.float()))
    back = quantizer.dequantize(codes, dtype)
    assert back.dtype == dtype
    assert torch.equal(quantizer.round_trip(x), back)
    assert torch.equal(codes, kept)  # dequantize works in place
    slack = torch.finfo(dtype).eps
    assert (back.double() - x.double()).abs().max() <= quantizer.step / 2 + slack


def test_short_numpy_numbers_and_wide_ranges_do_not_overflow():
    """Oracle: the same quantizer from Python's numbers; what float32 refuses, float64 can do."""
    x = torch.tensor([-3e38, 0.0, 3e38], dtype=torch.float64)
    assert MinMaxQuantizer(-3e38, 3e38, 1).quantize(x).tolist() == [0, 0, 1]
    short = MinMaxQuantizer(np.int8(-100), np.int8(100), np.int8(8))
    assert short == MinMaxQuantizer(-100.0, 100.0, 8)
    assert min_max_quantizer(ARTICLE, np.uint8(16)).max_code == 65535
    wide = np.float16(6e4)
    assert MinMaxQuantizer(-wide, wide, 4).step == pytest.approx(8000, rel=0.01)
