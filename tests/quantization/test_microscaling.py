"""Microscaling against ml_dtypes' number types, torchao's MX and NVFP4 formats, and by hand."""

import math
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import E2M1, E2M3, E3M2, E4M3, E5M2, microscaling, nvfp4

SEEDS = st.integers(0, 2**31)
#: element format → its name in ml_dtypes, and the type that torchao knows it by
ELEMENTS = {
    E2M1: ("float4_e2m1fn", torch.float4_e2m1fn_x2),
    E2M3: ("float6_e2m3fn", "fp6_e2m3"),
    E3M2: ("float6_e3m2fn", "fp6_e3m2"),
    E4M3: ("float8_e4m3fn", torch.float8_e4m3fn),
    E5M2: ("float8_e5m2", torch.float8_e5m2),
}


def spread(seed: int, *shape: int) -> torch.Tensor:
    """Return numbers over some thirty powers of two."""
    return normal(*shape, seed=seed) * torch.exp2(8 * normal(shape[0], 1, seed=seed + 1))


def stored(codes: torch.Tensor, kind: object) -> torch.Tensor:
    """Return codes as torchao stores them: two of four bits in a byte, the first one low."""
    if kind == torch.float4_e2m1fn_x2:
        codes = codes[:, ::2] + 16 * codes[:, 1::2]
    return codes.to(torch.uint8)


@pytest.fixture(scope="module")
def torchao():
    """Return torchao's modules of the two formats; their import logs a line."""
    import logging

    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    from torchao.prototype.mx_formats import mx_tensor, nvfp4_tensor

    return mx_tensor, nvfp4_tensor


@pytest.mark.equation("eq-format-exponent")
@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize(("mode", "fits"), [("FLOOR", False), ("RCEIL", True)])
@given(seed=SEEDS)
def test_codes_and_scales_are_torchaos(torchao, element, mode, fits, seed):
    """Oracle: torchao's to_mx, of the OCP's rule and of the scale that is rounded up."""
    mx, kind = torchao[0], ELEMENTS[element][1]
    x = spread(seed, 8, 96)
    scales, codes = mx.to_mx(x, kind, 32, mx.ScaleCalculationMode[mode])
    ours = microscaling(x, element, fits=fits)
    assert torch.equal(ours.scales.float(), scales.float().flatten())
    assert torch.equal(stored(ours.codes, kind), codes.view(torch.uint8))


@pytest.mark.equation("eq-format-microscaling")
@pytest.mark.parametrize("element", ELEMENTS)
@given(seed=SEEDS, fits=st.booleans())
def test_values_are_those_of_ml_dtypes_times_the_scales(element, seed, fits):
    """Oracle: ml_dtypes' types of the elements and of E8M0, which has nothing but powers of two."""
    x = spread(seed, 6, 32)
    ours = microscaling(x, element, fits=fits)
    scales = ours.scales.numpy().astype(ml_dtypes.float8_e8m0fnu).astype(np.float64)[:, None]
    units = np.clip(x.double().numpy() / scales, -element.largest, element.largest)
    units = units.astype(np.float32).astype(getattr(ml_dtypes, ELEMENTS[element][0]))
    np.testing.assert_array_equal(ours.values.numpy(), units.astype(np.float64) * scales)


@pytest.mark.parametrize("element", ELEMENTS)
@given(seed=SEEDS)
def test_the_largest_value_lies_in_the_top_power_of_two_or_fits(element, seed):
    """Oracle: the standard's sentence, in logarithms; the smallest power that does not clip."""
    x = spread(seed, 20, 32).double()
    largest, top = x.abs().amax(dim=1), math.floor(math.log2(element.largest))
    inside = largest / microscaling(x, element).scales
    assert bool((inside >= 2**top).all() & (inside < 2 ** (top + 1)).all())
    fitting = largest / microscaling(x, element, fits=True).scales
    assert bool((fitting <= element.largest).all() & (2 * fitting > element.largest).all())


def test_a_block_by_hand():
    """Oracle: by hand. 7 lies between 4 and 8, so k = 2 − 2 = 0, and 7 becomes 6; or k = 1."""
    x = torch.tensor([0.3, -0.9, 2.0, 7.0])
    down, up = microscaling(x, block=4), microscaling(x, block=4, fits=True)
    assert down.values.tolist() == [0.5, -1.0, 2.0, 6.0]
    assert (down.codes.tolist(), down.scales.tolist()) == ([1, 10, 4, 7], [1.0])
    assert up.values.tolist() == [0.0, -1.0, 2.0, 8.0]
    assert (up.scales.tolist(), up.tensor_scale) == ([2.0], 1.0)


def test_blocks_run_on_over_rows_and_the_last_one_may_be_short():
    """Oracle: each block on its own."""
    x = spread(3, 7, 11)
    parts = x.flatten().split(32)
    for made in (microscaling, nvfp4):
        assert made(x).values.shape == made(x).codes.shape == x.shape
    whole = torch.cat([microscaling(part).values for part in parts])
    assert torch.equal(microscaling(x).values.flatten(), whole)
    assert len(microscaling(x).scales) == len(parts) == 3
    assert len(nvfp4(x).scales) == 5
    alone = microscaling(torch.tensor(0.3))
    assert (alone.values.shape, alone.values.item()) == ((), 0.25)


@pytest.mark.parametrize("made", [microscaling, nvfp4])
def test_zeros_stay_zeros(made):
    """Oracle: a tensor and a block of zeros; their signs are kept."""
    assert made(torch.zeros(3, 40)).values.tolist() == torch.zeros(3, 40).tolist()
    x = torch.cat([torch.zeros(32), -torch.zeros(32), torch.full((32,), 0.7)])
    assert torch.equal(made(x).values[:64], x[:64])
    assert made(x).values[32:64].signbit().all()
    assert made(x).values[64:].abs().min() > 0


def test_exponents_end_at_those_of_e8m0():
    """Oracle: by hand, in float64, whose exponents go on; ml_dtypes reads the first as 2^-127."""
    x = torch.tensor([2.0**300, 2.0**-300, 0.0], dtype=torch.float64)
    ours = microscaling(x, block=1)
    assert ours.scales.tolist() == [2.0**127, 2.0**-127, 2.0**-127]
    assert ours.values.tolist() == [6 * 2.0**127, 0.0, 0.0]
    smallest = np.uint8([0]).view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    assert smallest[0] == 2.0**-127


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("element", ELEMENTS)
def test_the_largest_number_of_a_type_does_not_overflow(dtype, element):
    """Oracle: by hand; the largest element times a power that is not above x."""
    x = torch.full((5,), torch.finfo(dtype).max, dtype=dtype)
    x = x if dtype != torch.float64 else x.clamp(max=3e38)
    values = microscaling(x, element).values
    assert values.dtype == dtype
    assert bool((values <= x).all() & (values > x / 2).all())


def test_elements_saturate_where_the_format_itself_overflows():
    """Oracle: the standard's section 6.3; 1.99 · 2^15 would be infinite in E5M2."""
    assert not E5M2.saturates
    x = torch.tensor([1.99, 1.0])
    assert microscaling(x, E5M2).values.tolist() == [1.75, 1.0]
    assert microscaling(x, replace(E5M2, saturates=True)).values.tolist() == [1.75, 1.0]


@pytest.mark.equation("eq-format-nvfp4")
@given(seed=SEEDS)
def test_nvfp4_codes_and_scales_are_torchaos(torchao, seed):
    """Oracle: torchao's nvfp4_quantize, except for quotients beside a midpoint.

    torchao rounds these: it multiplies by a reciprocal in float32.
    """
    nv, x = torchao[1], normal(16, 64, seed=seed)
    whole = nv.per_tensor_amax_to_scale(x.abs().amax())
    scales, codes = nv.nvfp4_quantize(x, 16, whole)
    ours = nvfp4(x)
    assert ours.tensor_scale == pytest.approx(whole.item(), rel=1e-7)
    near = (ours.scales.float() != scales.float().flatten()).sum()
    assert near == 0
    differing = stored(ours.codes, torch.float4_e2m1fn_x2) != codes
    assert differing.sum() <= 1


def test_nvfp4_by_hand():
    """Oracle: by hand; 2,688 = 6 · 448, so the tensor's scale is 1, and 200 / 6 is 33.3, hence 32.

    In units of 32 the numbers 200, −50 and 9 are 6.25, −1.5625 and 0.28.
    """
    x = torch.tensor([2688.0, 900.0, *[0.0] * 14, 200.0, -50.0, 9.0])
    ours = nvfp4(x)
    assert (ours.tensor_scale, ours.scales.tolist()) == (1.0, [448.0, 32.0])
    assert ours.values[[0, 1, 16, 17, 18]].tolist() == [2688.0, 896.0, 192.0, -48.0, 16.0]


def test_nvfp4_loses_a_block_whose_scale_is_too_small():
    """Oracle: by hand; E4M3 has nothing between 0 and 2^-9, and 448 / 2^-10 is 458,752."""
    x = torch.cat([torch.full((16,), 458_752.0), torch.full((16,), 0.99)])
    assert nvfp4(x).scales.tolist() == [448.0, 0.0]
    assert nvfp4(x).values[16:].tolist() == [0.0] * 16


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_nvfp4_refuses_what_float32_cannot_scale(size):
    """Oracle: the range of float32."""
    with pytest.raises(ValueError, match="x must have a scale in float32, got a largest magnitude"):
        nvfp4(torch.tensor([size], dtype=torch.float64))


@pytest.mark.parametrize("made", [microscaling, nvfp4])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(made, bad):
    """Oracle: the contract of the whole family."""
    with pytest.raises(ValueError, match="x must be finite"):
        made(torch.tensor([1.0, bad]))
