"""Given grids against torch's 8-bit casts and the published NF4 table."""

import math
import warnings
from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx
import onnx.numpy_helper
import pytest
import torch
from draws import generator
from hypothesis import example, given
from hypothesis import strategies as st

from reference_impl import quantization

TORCHS = [(quantization.E4M3, torch.float8_e4m3fn), (quantization.E5M2, torch.float8_e5m2)]
#: Dettmers et al. 2023, appendix E.
PUBLISHED_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip


@pytest.mark.equation("eq-codebook-float")
@pytest.mark.parametrize(("form", "dtype"), TORCHS)
def test_all_256_codes_stand_for_torchs_values(form, dtype):
    """Oracle: torch's reading of each byte."""
    theirs = torch.arange(256).to(torch.uint8).view(dtype).float()
    ours = form.dequantize(torch.arange(256))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(ours.signbit(), theirs.signbit())  # of −0 too


@pytest.mark.parametrize(("form", "dtype"), TORCHS)
@given(seed=st.integers(0, 2**31), low=st.floats(-12, 6))
def test_midpoints_their_neighbours_and_random_numbers_round_as_torch_does(form, dtype, seed, low):
    """Oracle: torch's cast, byte for byte, over eight decades; at midpoints the even mantissa."""
    values = torch.tensor(form.magnitudes)
    middles = (values[1:] + values[:-1]) / 2
    up, down = (torch.nextafter(middles, torch.tensor(end)) for end in (1e9, -1e9))
    exponents = low + 8 * torch.rand(2000, generator=generator(seed))
    x = torch.cat([values, middles, up, down, 10**exponents])
    for signed in (x, -x):
        theirs = signed.to(dtype).view(torch.uint8)
        assert torch.equal(form.quantize(signed).to(torch.uint8), theirs)


OTHERS = {
    "float4_e2m1fn": quantization.E2M1,
    "float6_e2m3fn": quantization.E2M3,
    "float6_e3m2fn": quantization.E3M2,
    "float8_e4m3fn": quantization.FloatFormat(4, 3, saturates=False),
    "float8_e4m3": quantization.FloatFormat(4, 3, "infinity", saturates=False),
    "float8_e3m4": quantization.FloatFormat(3, 4, "infinity", saturates=False),
    "float8_e5m2": quantization.E5M2,
}


@pytest.mark.parametrize(("name", "form"), OTHERS.items(), ids=OTHERS)
def test_every_code_and_rounding_is_that_of_ml_dtypes(name, form):
    """Oracle: ml_dtypes, beyond the largest number too; the sign of its nan means nothing."""
    codes = np.arange(2**form.bits, dtype=np.uint8)
    theirs = codes.view(getattr(ml_dtypes, name)).astype(np.float32)
    ours = form.dequantize(torch.from_numpy(codes.astype(np.int64))).numpy()
    np.testing.assert_array_equal(ours, theirs)
    values = np.array(form.magnitudes)
    middles = (values[1:] + values[:-1]) / 2
    x = np.concatenate([values, middles, middles * (1 + 1e-6), middles * (1 - 1e-6)])
    x = np.concatenate([x, -x, values[-1] * np.array([1.01, 1.2, 3.0, -1e4])]).astype(np.float32)
    expected = x.astype(getattr(ml_dtypes, name)).astype(np.float32)
    np.testing.assert_array_equal(form.round_trip(torch.from_numpy(x)).numpy(), expected)


@pytest.fixture(scope="module")
def casts():
    """Return the ONNX standard's own cases of casts, by name; making them overflows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return {case.name: case for case in collect_testcases("Cast")}


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("FLOAT4E2M1", quantization.E2M1),
        ("FLOAT8E4M3FN", quantization.E4M3),
        ("FLOAT8E5M2", replace(quantization.E5M2, saturates=True)),
    ],
)
def test_the_onnx_standards_own_cases_agree(casts, kind, form):
    """Oracle: its node tests, whose casts saturate; infinity and nan are left out."""
    tensors = [side[0] for side in casts[f"test_cast_FLOAT_to_{kind}"].data_sets[0]]
    given_x, expected = (onnx.numpy_helper.to_array(t).astype(np.float32) for t in tensors)
    kept = np.isfinite(given_x)
    ours = form.round_trip(torch.from_numpy(given_x[kept]))
    assert kept.sum() > 3
    np.testing.assert_array_equal(ours.numpy(), expected[kept])


@pytest.mark.parametrize("count", [1, 67])
def test_beyond_the_largest_number_e4m3_stays_and_e5m2_overflows(count):
    """Oracle: torch's cast, on one element and on many, which run through other code."""
    for value, *expected in (
        (449.0, 448.0, 448.0), (61439.0, 448.0, 57344.0),
        (61440.0, 448.0, math.inf), (-3e38, -448.0, -math.inf),
    ):  # fmt: skip
        x = torch.full((count,), value)
        for (form, dtype), end in zip(TORCHS, expected, strict=True):
            assert form.round_trip(x).tolist() == x.to(dtype).float().tolist() == [end] * count


@given(mantissa_bits=st.integers(1, 7))
def test_half_precision_cut_short_is_the_same_grid(mantissa_bits):
    """Oracle: float16's values whose last mantissa bits are 0."""
    form, step = (
        quantization.FloatFormat(5, mantissa_bits, "infinity"),
        2 ** (10 - mantissa_bits),
    )
    bits = torch.arange(0, 0x7C00, step, dtype=torch.int16)
    assert list(form.magnitudes) == bits.view(torch.float16).double().tolist()


def test_float64_is_rounded_once():
    """Oracle: by hand; just above a midpoint goes up, where torch's way through float32 ties."""
    x = torch.tensor([1.0625 + 2.0**-30], dtype=torch.float64)
    assert quantization.E4M3.round_trip(x).item() == 1.125
    assert x.to(torch.float8_e4m3fn).double().item() == 1.0


@pytest.mark.equation("eq-codebook-nf4")
def test_nf4_is_the_published_table():
    """Oracle: the paper's appendix E; it was computed in float32 from δ = 0.9677083."""
    assert quantization.normal_float_codebook().values == pytest.approx(PUBLISHED_NF4, abs=3e-7)


@pytest.mark.equation("eq-codebook-power")
@given(bits=st.integers(2, 6), largest=st.floats(1e-20, 1e20))
@example(bits=3, largest=1.5)
def test_powers_of_two_are_zero_and_both_signs(bits, largest):
    """Oracle: torch.frexp, whose mantissa of a power of two is ½."""
    codebook = quantization.power_of_two_codebook(largest, bits)
    values = torch.tensor(codebook.values, dtype=torch.float64)
    assert len(values) == 2**bits - 1
    assert codebook.bits == bits
    assert values[len(values) // 2] == 0
    assert torch.equal(values, -values.flip(0))
    powers = values[len(values) // 2 + 1 :]
    assert torch.equal(powers.frexp().mantissa, torch.full_like(powers, 0.5))
    assert bool((powers[1:] == 2 * powers[:-1]).all())
    assert 3 / 4 <= largest / codebook.values[-1] < 3 / 2


@pytest.mark.equation("eq-codebook-power-bound")
@given(largest=st.floats(0.01, 100), share=st.floats(0, 1), sign=st.sampled_from([-1, 1]))
def test_the_relative_error_of_powers_of_two_is_at_most_a_third(largest, share, sign):
    """Oracle: the bound, attained half-way between two powers."""
    codebook = quantization.power_of_two_codebook(largest, bits=4)
    least = codebook.values[8]
    assert codebook.values[-1] == 2**6 * least
    value = share * largest + (1 - share) * 0.75 * least
    x = torch.tensor([sign * value, 1.5 * sign * 8 * least], dtype=torch.float64)
    relative = (codebook.round_trip(x) - x).abs() / x.abs()
    assert relative[0] <= 1 / 3 + 1e-12
    assert relative[1] == pytest.approx(1 / 3)
