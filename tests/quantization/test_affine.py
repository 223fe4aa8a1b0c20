"""Affine quantizers against torch's fake-quantize, its observers, closed forms and brute force."""

import warnings

import numpy as np
import pytest
import torch
from draws import generator, integers, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    min_max_range,
    symmetric_from_range,
)

SIGNS = ({}, {"signed": True}, {"signed": True, "narrow": True})
GRIDS = [IntegerGrid(bits, **signs) for bits in range(2, 9) for signs in SIGNS]
ANY_GRID, SIGNED = st.sampled_from(GRIDS), st.sampled_from([g for g in GRIDS if g.signed])
DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])
BUILD = pytest.mark.parametrize("build", [affine_from_range, symmetric_from_range])


@st.composite
def cases(draw):
    """Draw x, a scale for each channel, the channels' axis and a seed for the zero points.

    About half of the values lie within the grid, the others clip, and every fifth is half of a
    whole number of steps, where rounding is decided by the rule for ties.
    """
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axis = draw(st.integers(0, len(shape) - 1))
    seed = draw(st.integers(0, 2**31))
    source = generator(seed)
    view = [-1 if i == axis else 1 for i in range(len(shape))]
    spread = torch.rand(shape[axis], generator=source) * 3 - 2.5
    scale = (10 ** (spread + draw(st.floats(-3, 0)))).view(view)
    u = torch.randn(shape, generator=source) * 10 ** draw(st.floats(-1, 3))
    ties = torch.rand(shape, generator=source) < 0.2
    return torch.where(ties, (2 * u).round() / 2, u) * scale, scale, axis, seed


def zero_points(scale, grid, seed):
    """Return random codes of the grid, one for each scale."""
    return integers(grid.q_min, grid.q_max, *scale.shape, seed=seed).int()


@pytest.mark.equation("eq-affine-quantize")
@pytest.mark.parametrize("per_channel", [False, True])
@settings(max_examples=600)
@given(dtype=DTYPES, grid=ANY_GRID, case=cases())
def test_round_trip_is_torchs_fake_quantize_bit_for_bit(per_channel, dtype, grid, case):
    """Oracle: torch.fake_quantize_per_channel_affine, and …_per_tensor_affine for float32."""
    x, scale, axis, seed = case
    x, scale = x.to(dtype), scale if per_channel else scale.flatten()[0]
    quantizer = AffineQuantizer(scale, zero_points(scale, grid, seed), grid)
    z, ends = quantizer.zero_point, (grid.q_min, grid.q_max)
    if per_channel:
        channels = scale.flatten(), z.flatten(), axis
        theirs = torch.fake_quantize_per_channel_affine(x, *channels, *ends)
    else:
        theirs = torch.fake_quantize_per_tensor_affine(x, scale, z, *ends)
    ours = quantizer.round_trip(x)
    assert ours.dtype == dtype
    assert torch.equal(ours, quantizer.dequantize(quantizer.quantize(x), dtype))
    if dtype == torch.float64 and not per_channel:
        ours, theirs = ours.float(), theirs.float()
    assert torch.equal(ours, theirs)


@given(case=cases(), grid=ANY_GRID)
def test_codes_are_the_nearest_of_all(case, grid):
    """Oracle: brute force over every code, in float64."""
    x, scale, _, seed = case
    z = zero_points(scale, grid, seed)
    every = torch.arange(grid.q_min, grid.q_max + 1)
    values = (every - z.unsqueeze(-1)) * scale.double().unsqueeze(-1)
    smallest = (x.double().unsqueeze(-1) - values).abs().amin(-1)
    quantizer = AffineQuantizer(scale, z, grid)
    found = (x.double() - (quantizer.quantize(x).double() - z) * scale.double()).abs()
    assert (found <= smallest + 2.0**-22 * (x.abs() + scale)).all()


@pytest.mark.equation("eq-affine-dequantize")
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_code_survives_the_trip_and_zero_is_exact_at_every_zero_point(grid):
    """Oracle: quantize inverts dequantize on all codes; 0 has the code z, which comes back as 0."""
    codes = torch.arange(grid.q_min, grid.q_max + 1)
    z = codes.to(torch.int32).unsqueeze(1)
    quantizer = AffineQuantizer(torch.rand(z.shape, generator=generator()) + 0.01, z, grid)
    table = codes.expand(len(codes), -1).contiguous()
    back = quantizer.quantize(quantizer.dequantize(table))
    assert back.dtype == grid.dtype
    assert torch.equal(back.long(), table)
    zeros = torch.zeros(z.shape)
    assert torch.equal(quantizer.quantize(zeros).int(), z)
    assert torch.equal(quantizer.dequantize(z), zeros)


def test_values_far_outside_go_to_the_ends():
    """Oracle: by hand; torch's fake-quantize overflows beyond 2⁶³ s."""
    quantizer = AffineQuantizer(torch.tensor(1.0), torch.tensor(3), IntegerGrid(3))
    assert quantizer.quantize(torch.tensor([-3e38, -1e10, 2.2e9, 1e20])).tolist() == [0, 0, 7, 7]


def ranges():
    """Draw low and high, with 0 inside, outside or at an end, the width at least 1/16."""
    ends = st.floats(-100, 100, width=32)
    return st.tuples(ends, st.floats(0.0625, 100, width=32)).map(lambda lw: (lw[0], lw[0] + lw[1]))


@BUILD
@given(narrow=DTYPES, swap=st.booleans())
def test_bounds_of_two_types_are_used_in_the_wider_one(build, narrow, swap):
    """Oracle: both bounds in float64: 1/8 is exact in all types, 0.3 rounded in all but one."""
    eighth, wide = torch.tensor(0.125), torch.tensor(0.3, dtype=torch.float64)
    low, high = (-wide, eighth) if swap else (-eighth, wide)
    mixed = (low, high.to(narrow)) if swap else (low.to(narrow), high)
    grid = IntegerGrid(8, signed=True)
    quantizer, expected = build(*mixed, grid), build(low.double(), high.double(), grid)
    assert quantizer.scale.dtype == torch.float64
    assert torch.equal(quantizer.scale, expected.scale)
    assert torch.equal(quantizer.zero_point, expected.zero_point)


@given(dtype=st.sampled_from([torch.float16, torch.bfloat16]))
def test_bounds_and_steps_in_half_precision_are_divided_in_float32(dtype):
    """Oracle: NumPy in float32; 1/s in float64, codes near 200 would be off by one in 16 bits."""
    low, high = torch.tensor(-0.5, dtype=dtype), torch.tensor(1.0, dtype=dtype)
    quantizer = affine_from_range(low, high, IntegerGrid(8))
    assert quantizer.scale.dtype == torch.float32
    assert quantizer.scale.numpy() == np.float32(1.5) / np.float32(255)
    scale, codes = torch.tensor(0.0301, dtype=dtype), torch.arange(256)
    quantizer = AffineQuantizer(scale, torch.tensor(0), IntegerGrid(8))
    assert torch.equal(quantizer.quantize((codes * scale.double()).float()).long(), codes)


@pytest.mark.equation("eq-affine-shift")
@given(low=st.floats(-100, 0, width=32), high=st.floats(0.0625, 100, width=32), grid=ANY_GRID)
def test_the_range_moves_by_at_most_half_a_step_and_keeps_its_width(low, high, grid):
    """Oracle: the ends s (q_min − z), s (q_max − z) against low and high, in float64."""
    quantizer = affine_from_range(torch.tensor(low), torch.tensor(high), grid)
    scale, z = quantizer.scale.item(), quantizer.zero_point.item()
    first, last = scale * (grid.q_min - z), scale * (grid.q_max - z)
    slack = 1e-5 * (high - low)
    assert first <= 0 <= last
    assert last - first == pytest.approx(high - low, rel=1e-6)
    assert abs(first - low) <= scale / 2 + slack
    assert abs(last - high) <= scale / 2 + slack


@pytest.mark.equation("eq-affine-bound")
@BUILD
@given(bounds=ranges(), grid=SIGNED)
def test_error_is_at_most_half_a_step_over_the_whole_range(build, bounds, grid):
    """Oracle: the bound s/2, on 999 points from low to high, with the ends that z moved."""
    quantizer = build(*map(torch.tensor, bounds), grid)
    x = torch.linspace(*bounds, 999)
    error = (quantizer.round_trip(x).double() - x.double()).abs().max().item()
    assert error <= quantizer.scale.item() / 2 + 1e-5 * max(map(abs, bounds))


@pytest.mark.equation("eq-affine-waste")
@given(bits=st.integers(1, 8))
def test_a_signed_grid_wastes_a_bit_on_values_that_are_never_negative(bits):
    """Oracle: the asymmetric quantizer of [0, high] with as many bits unsigned, or one bit less."""
    x, unsigned = normal(1000).relu(), IntegerGrid(bits)
    signed = IntegerGrid(bits + 1, signed=True, narrow=True)
    asymmetric = affine_from_range(*min_max_range(x), unsigned)
    for grid in (unsigned, signed):
        symmetric = symmetric_from_range(*min_max_range(x), grid)
        assert torch.equal(symmetric.scale, asymmetric.scale)
        assert torch.equal(symmetric.round_trip(x), asymmetric.round_trip(x))


@BUILD
def test_a_part_that_is_zero_or_whose_inverse_step_would_overflow_comes_back_as_zero(build):
    """Oracle: by hand; any step serves for zeros and for denormal numbers, and 1 is chosen."""
    x = torch.tensor([[0.0, 0.0], [-1e-40, 1e-40], [1.0, -2.0]])
    quantizer = build(*min_max_range(x, axes=0), IntegerGrid(8, signed=True))
    assert quantizer.scale[:2].flatten().tolist() == [1, 1]
    assert not quantizer.round_trip(x)[:2].any()


def observed(x, grid, scheme, axis):
    """Return scale and zero point of torch's min-max observers."""
    from torch.ao.quantization import observer

    kind = observer.MinMaxObserver if axis is None else observer.PerChannelMinMaxObserver
    granularity = "per_tensor" if axis is None else "per_channel"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao announces its end: here it is an oracle only
        form = {"qscheme": getattr(torch, f"{granularity}_{scheme}")}
        form["dtype"] = torch.qint8 if grid.signed else torch.quint8
        form["eps"] = torch.finfo(torch.float32).tiny  # the default bounds small scales from below
        axes = {} if axis is None else {"ch_axis": axis}
        watcher = kind(quant_min=grid.q_min, quant_max=grid.q_max, **form, **axes)
        watcher(x.unsqueeze(-1))  # the observer per channel fails on a single axis
        return watcher.calculate_qparams()


@pytest.mark.equation("eq-affine-scale", "eq-affine-zero-point")
@given(case=cases(), grid=ANY_GRID, shift=st.integers(-3, 3), per_channel=st.booleans())
def test_scale_and_zero_point_are_those_of_torchs_observers(case, grid, shift, per_channel):
    """Oracle: MinMaxObserver and PerChannelMinMaxObserver, asymmetric, bit for bit."""
    x, scales, axis, _ = case
    x, axis = x + shift * scales, axis if per_channel else None
    scale, z = observed(x, grid, "affine", axis)
    low, high = min_max_range(x, axes=() if axis is None else axis)
    used = torch.maximum(high.clamp(min=0), -low.clamp(max=0)).flatten() > 0  # ours is 1 for zeros
    quantizer = affine_from_range(low, high, grid)
    assert torch.equal(quantizer.scale.flatten()[used], scale[used])
    assert torch.equal(quantizer.zero_point.flatten()[used], z[used].int())


@pytest.mark.equation("eq-affine-symmetric", "eq-affine-symmetric-full")
@given(case=cases(), grid=SIGNED, per_channel=st.booleans())
def test_symmetric_scale_is_that_of_the_observers_up_to_the_convention(case, grid, per_channel):
    """Oracle: the symmetric observers: equal on narrow grids, (2^b − 1)/(2^b − 2) on full ones."""
    x, _, axis, _ = case
    scale, z = observed(x, grid, "symmetric", axis if per_channel else None)
    low, high = min_max_range(x, axes=axis if per_channel else ())
    used = torch.maximum(high, -low).flatten() > 0
    quantizer = symmetric_from_range(low, high, grid)
    ours = quantizer.scale.flatten()
    assert not z.any()
    assert not quantizer.zero_point.any()
    if grid.narrow:
        assert torch.equal(ours[used], scale[used])
    else:
        ratio = (2**grid.bits - 1) / (2**grid.bits - 2)
        torch.testing.assert_close(ours[used], scale[used] * ratio)


def test_a_quantizer_keeps_copies_and_leaves_its_inputs_as_they_were():
    """Oracle: its arguments, changed after it was made; the same draws again."""
    scale, z = torch.tensor([0.5, 1.0]), torch.tensor([1, 2], dtype=torch.int32)
    quantizer = AffineQuantizer(scale, z, IntegerGrid(4))
    scale.zero_(), z.fill_(9)
    x, codes = normal(50, 2), torch.tensor([[0, 1], [2, 3]], dtype=torch.int32)
    quantizer.quantize(x), quantizer.round_trip(x), quantizer.dequantize(codes)
    assert torch.equal(x, normal(50, 2))
    assert codes.tolist() == [[0, 1], [2, 3]]
    assert (quantizer.scale.tolist(), quantizer.zero_point.tolist()) == ([0.5, 1.0], [1, 2])


@given(dtype=DTYPES, kind=st.sampled_from([torch.uint8, torch.int8, torch.int64, torch.uint16]))
def test_scale_and_zero_point_of_any_type_mean_the_same(dtype, kind):
    """Oracle: the quantizer of the same numbers in float32 and int32; 0.5 is exact in all."""
    half, three, x, grid = torch.tensor(0.5), torch.tensor(3), normal(50), IntegerGrid(4)
    ours = AffineQuantizer(half.to(dtype), three.to(kind), grid)
    assert torch.equal(ours.quantize(x), AffineQuantizer(half, three, grid).quantize(x))
    assert ours.zero_point.dtype == torch.int32
    assert ours.scale.dtype == torch.promote_types(dtype, torch.float32)


def test_a_float64_scale_and_range_are_used_in_float64():
    """Oracle: NumPy's float64, rounded once; in float32 some products differ, 6e38 is infinite."""
    ends = torch.tensor([-3e38, 3e38], dtype=torch.float64)
    assert affine_from_range(*ends, IntegerGrid(1)).scale.item() == pytest.approx(6e38)
    quantizer = AffineQuantizer(torch.tensor(0.1).double() / 3, torch.tensor(0), IntegerGrid(16))
    codes = torch.arange(2**16)
    expected = torch.from_numpy((codes.numpy() * quantizer.scale.item()).astype("float32"))
    assert torch.equal(quantizer.dequantize(codes), expected)
    assert torch.equal(quantizer.round_trip(expected), expected)


def test_parameters_can_be_quantized_in_any_layout():
    """Oracle: the same values without a gradient, in contiguous memory."""
    x = torch.nn.Parameter(normal(4, 6, 2, 8))
    channels_last = x.contiguous(memory_format=torch.channels_last)
    for view in (x.permute(3, 2, 1, 0), channels_last, x[::2, :, :, ::2]):
        quantizer = affine_from_range(*min_max_range(view, axes=1), IntegerGrid(4))
        assert not quantizer.scale.requires_grad
        for call in (quantizer.quantize, quantizer.round_trip):
            assert torch.equal(call(view), call(view.detach().contiguous()))
