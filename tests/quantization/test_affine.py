"""Affine quantizers against torch's fake-quantize, its observers, closed forms and brute force."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    min_max_range,
    symmetric_from_range,
)

GRIDS = [
    grid
    for bits in range(2, 9)
    for grid in (
        IntegerGrid(bits),
        IntegerGrid(bits, signed=True),
        IntegerGrid(bits, signed=True, narrow=True),
    )
]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, int]:
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


def zero_points(scale: Tensor, grid: IntegerGrid, seed: int) -> Tensor:
    """Return random codes of the grid, one for each scale."""
    drawn = torch.randint(grid.q_min, grid.q_max + 1, scale.shape, generator=generator(seed))
    return drawn.to(torch.int32)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=15)  # for each of 84 combinations
@given(case=cases())
def test_round_trip_is_torchs_per_channel_fake_quantize_bit_for_bit(
    dtype: torch.dtype, grid: IntegerGrid, case: tuple[Tensor, Tensor, int, int]
) -> None:
    """Oracle: torch.fake_quantize_per_channel_affine, over types, grids, shapes and axes.

    Equation: eq-affine-quantize.
    """
    x, scale, axis, seed = case
    x = x.to(dtype)
    quantizer = AffineQuantizer(scale, zero_points(scale, grid, seed), grid)
    theirs = torch.fake_quantize_per_channel_affine(
        x, scale.flatten(), quantizer.zero_point.flatten(), axis, grid.q_min, grid.q_max
    )
    ours = quantizer.round_trip(x)
    assert ours.dtype == dtype
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=15)  # for each of 84 combinations
@given(case=cases())
def test_round_trip_is_torchs_per_tensor_fake_quantize_bit_for_bit(
    dtype: torch.dtype, grid: IntegerGrid, case: tuple[Tensor, Tensor, int, int]
) -> None:
    """Oracle: torch.fake_quantize_per_tensor_affine, which rounds float64 results to float32."""
    x, scales, _, seed = case
    x, scale = x.to(dtype), scales.flatten()[0]
    quantizer = AffineQuantizer(scale, zero_points(scale, grid, seed), grid)
    theirs = torch.fake_quantize_per_tensor_affine(
        x, scale, quantizer.zero_point, grid.q_min, grid.q_max
    )
    ours = quantizer.round_trip(x)
    assert ours.dtype == dtype
    if dtype == torch.float64:
        ours, theirs = ours.float(), theirs.float()
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("signed", [False, True])
@given(case=cases())
def test_codes_are_torchs_quantize_per_channel(
    signed: bool, case: tuple[Tensor, Tensor, int, int]
) -> None:
    """Oracle: torch.quantize_per_channel, whose codes are 8 bits wide.

    It divides by s in float32 instead of multiplying with 1/s, so codes may differ by one at ties.
    """
    x, scale, axis, seed = case
    grid = IntegerGrid(8, signed=signed)
    z = zero_points(scale, grid, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantized tensors are deprecated: here an oracle only
        theirs = torch.quantize_per_channel(
            x,
            scale.flatten().double(),
            z.flatten().long(),
            axis,
            torch.qint8 if signed else torch.quint8,
        ).int_repr()
    ours = AffineQuantizer(scale, z, grid).quantize(x)
    assert ours.dtype == theirs.dtype
    off = ours != theirs
    u = (x.double() / scale.double()).abs()
    assert ((u - u.floor() - 0.5).abs()[off] <= u[off] * 2.0**-22).all()
    assert (ours.int() - theirs.int()).abs().max() <= 1


@given(case=cases(), grid=st.sampled_from(GRIDS))
def test_codes_are_the_nearest_of_all(
    case: tuple[Tensor, Tensor, int, int], grid: IntegerGrid
) -> None:
    """Oracle: brute force over every code, in float64."""
    x, scale, _, seed = case
    z = zero_points(scale, grid, seed)
    every = torch.arange(grid.q_min, grid.q_max + 1)
    values = (every - z.unsqueeze(-1)) * scale.double().unsqueeze(-1)
    smallest = (x.double().unsqueeze(-1) - values).abs().amin(-1)
    quantizer = AffineQuantizer(scale, z, grid)
    found = (x.double() - (quantizer.quantize(x).double() - z) * scale.double()).abs()
    assert (found <= smallest + 2.0**-22 * (x.abs() + scale)).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_code_survives_the_trip(grid: IntegerGrid) -> None:
    """Oracle: quantize inverts dequantize on all codes, at every zero point of the grid."""
    codes = torch.arange(grid.q_min, grid.q_max + 1)
    z = codes.to(torch.int32).unsqueeze(1)
    quantizer = AffineQuantizer(torch.full(z.shape, 0.3), z, grid)
    table = codes.expand(len(codes), -1).contiguous()
    back = quantizer.quantize(quantizer.dequantize(table))
    assert back.dtype == grid.dtype
    assert torch.equal(back.long(), table)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_zero_is_exact_at_every_zero_point(grid: IntegerGrid) -> None:
    """Oracle: the definition, 0 has the code z and z comes back as 0.

    Equation: eq-affine-dequantize.
    """
    z = torch.arange(grid.q_min, grid.q_max + 1, dtype=torch.int32)
    quantizer = AffineQuantizer(torch.rand(z.shape, generator=generator()) + 0.01, z, grid)
    zeros = torch.zeros(z.shape)
    assert torch.equal(quantizer.quantize(zeros).int(), z)
    assert torch.equal(quantizer.round_trip(zeros), zeros)
    assert torch.equal(quantizer.dequantize(z), zeros)


def test_by_hand() -> None:
    """Oracle: s = 3/7, z = −round(−1 · 7/3) = 2, worked out by hand."""
    x = torch.tensor([-1.0, -0.3, 0.0, 0.5, 2.0])
    quantizer = affine_from_range(*min_max_range(x), IntegerGrid(3))
    assert quantizer.scale.item() == pytest.approx(3 / 7)
    assert quantizer.zero_point.item() == 2
    assert quantizer.quantize(x).tolist() == [0, 1, 2, 3, 7]
    expected = torch.tensor([-6 / 7, -3 / 7, 0.0, 3 / 7, 15 / 7])
    torch.testing.assert_close(quantizer.round_trip(x), expected)


def test_symmetric_by_hand() -> None:
    """Oracle: s = 2/3 for three bits, worked out by hand; −1 1/2 and 3/4 steps.

    Equation: eq-affine-symmetric.
    """
    x = torch.tensor([-1.0, -0.3, 0.0, 0.5, 2.0])
    quantizer = symmetric_from_range(*min_max_range(x), IntegerGrid(3, signed=True))
    assert quantizer.scale.item() == pytest.approx(2 / 3)
    assert quantizer.zero_point.item() == 0
    assert quantizer.quantize(x).tolist() == [-2, 0, 0, 1, 3]


def test_halves_go_to_the_even_distance_from_zero() -> None:
    """Oracle: by hand; with z odd, the code q − z is even where q is odd."""
    quantizer = AffineQuantizer(torch.tensor(1.0), torch.tensor(3), IntegerGrid(3))
    assert quantizer.quantize(torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5])).tolist() == [1, 3, 3, 5, 5]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(case=cases(), grid=st.sampled_from(GRIDS))
def test_both_ways_back_agree(
    dtype: torch.dtype, case: tuple[Tensor, Tensor, int, int], grid: IntegerGrid
) -> None:
    """Oracle: dequantize(quantize(x)) against the round trip, in each type."""
    x, scale, _, seed = case
    x = x.to(dtype)
    quantizer = AffineQuantizer(scale, zero_points(scale, grid, seed), grid)
    assert torch.equal(quantizer.dequantize(quantizer.quantize(x), dtype), quantizer.round_trip(x))


def test_values_far_outside_come_back_as_the_nearer_end() -> None:
    """Oracle: by hand; torch's kernel per channel would overflow beyond 2⁶³ steps."""
    quantizer = AffineQuantizer(torch.tensor(1.0), torch.tensor(0), IntegerGrid(8, signed=True))
    x = torch.tensor([-3e38, -1e10, -128.6, 127.6, 2.2e9, 1e20])
    assert quantizer.quantize(x).tolist() == [-128, -128, -128, 127, 127, 127]


# -- ranges to quantizers ----------------------------------------------------------------------


def ranges() -> st.SearchStrategy[tuple[float, float]]:
    """Draw low and high, with 0 inside, outside or at an end, the width at least 1/16."""
    ends = st.floats(-100, 100, width=32)
    return st.tuples(ends, st.floats(0.0625, 100, width=32)).map(lambda lw: (lw[0], lw[0] + lw[1]))


@pytest.mark.parametrize("build", [affine_from_range, symmetric_from_range])
@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("swap", [False, True])
def test_bounds_of_two_types_are_used_in_the_wider_one(
    swap: bool, narrow: torch.dtype, build: Callable[..., AffineQuantizer]
) -> None:
    """Oracle: both bounds in float64: 1/8 is exact in all types, 0.3 rounded in all but one."""
    eighth, wide = torch.tensor(0.125), torch.tensor(0.3, dtype=torch.float64)
    low, high = (-wide, eighth) if swap else (-eighth, wide)
    mixed = (low, high.to(narrow)) if swap else (low.to(narrow), high)
    grid = IntegerGrid(8, signed=True)
    quantizer, expected = build(*mixed, grid), build(low.double(), high.double(), grid)
    assert quantizer.scale.dtype == torch.float64
    assert torch.equal(quantizer.scale, expected.scale)
    assert torch.equal(quantizer.zero_point, expected.zero_point)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_bounds_in_half_precision_are_divided_in_float32(dtype: torch.dtype) -> None:
    """Oracle: NumPy, the same bounds in float32; both types have 1 and −1/2 exactly."""
    low, high = torch.tensor(-0.5, dtype=dtype), torch.tensor(1.0, dtype=dtype)
    quantizer = affine_from_range(low, high, IntegerGrid(8))
    assert quantizer.scale.dtype == torch.float32
    assert quantizer.scale.numpy() == np.float32(1.5) / np.float32(255)


@given(bounds=ranges(), grid=st.sampled_from(GRIDS))
def test_the_range_moves_by_at_most_half_a_step_and_keeps_its_width(
    bounds: tuple[float, float], grid: IntegerGrid
) -> None:
    """Oracle: the ends s (q_min − z), s (q_max − z) against low and high, in float64.

    Equation: eq-affine-shift.
    """
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    quantizer = affine_from_range(*map(torch.tensor, bounds), grid)
    scale, z = quantizer.scale.item(), quantizer.zero_point.item()
    first, last = scale * (grid.q_min - z), scale * (grid.q_max - z)
    slack = 1e-5 * (high - low)
    assert first <= 0 <= last
    assert last - first == pytest.approx(high - low, rel=1e-6)
    assert abs(first - low) <= scale / 2 + slack
    assert abs(last - high) <= scale / 2 + slack


@pytest.mark.parametrize("build", [affine_from_range, symmetric_from_range])
@given(bounds=ranges(), grid=st.sampled_from([g for g in GRIDS if g.signed]))
def test_error_is_at_most_half_a_step_over_the_whole_range(
    build: Callable[..., AffineQuantizer], bounds: tuple[float, float], grid: IntegerGrid
) -> None:
    """Oracle: the bound s/2, on 999 points from low to high, with the ends that z moved.

    Equation: eq-affine-bound.
    """
    quantizer = build(*map(torch.tensor, bounds), grid)
    x = torch.linspace(*bounds, 999)
    error = (quantizer.round_trip(x).double() - x.double()).abs().max().item()
    assert error <= quantizer.scale.item() / 2 + 1e-5 * max(map(abs, bounds))


@given(bounds=ranges(), grid=st.sampled_from([g for g in GRIDS if g.signed]))
def test_symmetric_is_odd_where_both_codes_exist(
    bounds: tuple[float, float], grid: IntegerGrid
) -> None:
    """Oracle: symmetry, the codes of −x are minus those of x."""
    quantizer = symmetric_from_range(*map(torch.tensor, bounds), grid)
    x = torch.linspace(*bounds, 99)
    assert quantizer.zero_point.item() == 0
    assert torch.equal(quantizer.quantize(-x).int(), -quantizer.quantize(x).int())
    assert quantizer.quantize(x).abs().max() == grid.q_max


@pytest.mark.parametrize("bits", range(1, 9))
def test_unsigned_symmetric_is_asymmetric_from_zero(bits: int) -> None:
    """Oracle: the asymmetric quantizer of [0, high], which must be the same."""
    grid = IntegerGrid(bits)
    low, high = torch.tensor(0.0), torch.tensor(5.3)
    ours, other = symmetric_from_range(low, high, grid), affine_from_range(low, high, grid)
    assert torch.equal(ours.scale, other.scale)
    assert ours.zero_point.item() == other.zero_point.item() == 0


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_signed_grid_wastes_a_bit_on_values_that_are_never_negative(bits: int) -> None:
    """Oracle: the unsigned grid of one bit less, whose values must be the same.

    Equation: eq-affine-waste.
    """
    x = torch.randn(1000, generator=generator()).relu()
    signed = IntegerGrid(bits, signed=True, narrow=True)
    ours = symmetric_from_range(*min_max_range(x), signed).round_trip(x)
    fewer = affine_from_range(*min_max_range(x), IntegerGrid(bits - 1)).round_trip(x)
    assert torch.equal(ours, fewer)


@pytest.mark.parametrize(("low", "high"), [(2.0, 6.0), (-6.0, -2.0)])
def test_a_range_without_zero_is_stretched_to_it(low: float, high: float) -> None:
    """Oracle: by hand; 0 becomes an end, and a third of the codes lies where no value is."""
    grid = IntegerGrid(4)
    quantizer = affine_from_range(torch.tensor(low), torch.tensor(high), grid)
    assert quantizer.scale.item() == pytest.approx(6 / 15)
    assert quantizer.zero_point.item() == (0 if low > 0 else 15)
    used = quantizer.quantize(torch.linspace(low, high, 9999)).unique()
    assert used.numel() == 11


@pytest.mark.parametrize("build", [affine_from_range, symmetric_from_range])
def test_a_part_that_is_zero_everywhere_comes_back_as_zero(
    build: Callable[..., AffineQuantizer],
) -> None:
    """Oracle: by hand; any step serves for zeros, and 1 is chosen."""
    x = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    quantizer = build(*min_max_range(x, axes=0), IntegerGrid(8, signed=True))
    assert quantizer.scale[0].item() == 1
    assert torch.equal(quantizer.round_trip(x)[0], x[0])


def observed(x: Tensor, grid: IntegerGrid, *, symmetric: bool, axis: int | None) -> list[Tensor]:
    """Return scale and zero point of torch's min-max observers."""
    from torch.ao.quantization import observer

    kind = observer.MinMaxObserver if axis is None else observer.PerChannelMinMaxObserver
    granularity = "per_tensor" if axis is None else "per_channel"
    form = "symmetric" if symmetric else "affine"
    options = {} if axis is None else {"ch_axis": axis}
    watcher = kind(
        dtype=torch.qint8 if grid.signed else torch.quint8,
        qscheme=getattr(torch, f"{granularity}_{form}"),
        quant_min=grid.q_min,
        quant_max=grid.q_max,
        eps=torch.finfo(torch.float32).tiny,  # the default bounds small scales from below
        **options,
    )
    watcher(x.unsqueeze(-1))  # the observer per channel fails on a single axis
    return list(watcher.calculate_qparams())


# torch.ao announces its end: here it is an oracle only
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("per_channel", [False, True])
@given(case=cases(), grid=st.sampled_from(GRIDS), shift=st.integers(-3, 3))
def test_scale_and_zero_point_are_those_of_torchs_observers(
    per_channel: bool, case: tuple[Tensor, Tensor, int, int], grid: IntegerGrid, shift: int
) -> None:
    """Oracle: MinMaxObserver and PerChannelMinMaxObserver, asymmetric, bit for bit.

    Equation: eq-affine-scale, eq-affine-zero-point.
    """
    x, scales, axis, _ = case
    x = x + shift * scales
    scale, z = observed(x, grid, symmetric=False, axis=axis if per_channel else None)
    low, high = min_max_range(x, axes=axis if per_channel else ())
    used = torch.maximum(high.clamp(min=0), -low.clamp(max=0)).flatten() > 0  # ours is 1 for zeros
    quantizer = affine_from_range(low, high, grid)
    assert torch.equal(quantizer.scale.flatten()[used], scale[used])
    assert torch.equal(quantizer.zero_point.flatten()[used], z[used].int())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("per_channel", [False, True])
@given(case=cases(), grid=st.sampled_from([g for g in GRIDS if g.signed]))
def test_symmetric_scale_is_that_of_torchs_observers_up_to_the_convention(
    per_channel: bool, case: tuple[Tensor, Tensor, int, int], grid: IntegerGrid
) -> None:
    """Oracle: the symmetric observers: equal on narrow grids, (2^b − 1)/(2^b − 2) on full ones.

    Equation: eq-affine-symmetric-full.
    """
    x, _, axis, _ = case
    scale, z = observed(x, grid, symmetric=True, axis=axis if per_channel else None)
    low, high = min_max_range(x, axes=axis if per_channel else ())
    used = torch.maximum(high, -low).flatten() > 0
    ours = symmetric_from_range(low, high, grid).scale.flatten()
    assert not z.any()
    if grid.narrow:
        assert torch.equal(ours[used], scale[used])
    else:
        ratio = (2**grid.bits - 1) / (2**grid.bits - 2)
        torch.testing.assert_close(ours[used], scale[used] * ratio)


# -- what is kept and what is left alone -------------------------------------------------------


def test_a_quantizer_cannot_be_changed_from_outside() -> None:
    """Oracle: its arguments, changed after it was made."""
    scale, z = torch.tensor([0.5, 1.0]), torch.tensor([1, 2], dtype=torch.int32)
    quantizer = AffineQuantizer(scale, z, IntegerGrid(4))
    scale.zero_(), z.fill_(9)
    assert quantizer.scale.tolist() == [0.5, 1.0]
    assert quantizer.zero_point.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int64, torch.uint16], ids=str)
def test_scale_and_zero_point_of_any_type_mean_the_same(
    dtype: torch.dtype, kind: torch.dtype
) -> None:
    """Oracle: the quantizer of the same numbers in float32 and int32; 0.5 is exact in all."""
    x = torch.randn(50, generator=generator())
    grid = IntegerGrid(4)
    ours = AffineQuantizer(torch.tensor(0.5, dtype=dtype), torch.tensor(3).to(kind), grid)
    other = AffineQuantizer(torch.tensor(0.5), torch.tensor(3), grid)
    assert torch.equal(ours.quantize(x), other.quantize(x))
    assert ours.zero_point.dtype == torch.int32
    assert ours.scale.dtype == torch.promote_types(dtype, torch.float32)


def test_a_float64_scale_is_used_in_float64() -> None:
    """Oracle: NumPy's float64, rounded once; in float32 some of these products differ."""
    quantizer = AffineQuantizer(torch.tensor(0.1).double() / 3, torch.tensor(0), IntegerGrid(16))
    codes = torch.arange(2**16)
    expected = torch.from_numpy((codes.numpy() * quantizer.scale.item()).astype("float32"))
    assert torch.equal(quantizer.dequantize(codes), expected)
    assert torch.equal(quantizer.round_trip(expected), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_scale_is_inverted_in_float32(dtype: torch.dtype) -> None:
    """Oracle: 1/s in float64; in half precision the codes near 200 would be off by one."""
    scale = torch.tensor(0.0301, dtype=dtype)
    quantizer = AffineQuantizer(scale, torch.tensor(0), IntegerGrid(8))
    codes = torch.arange(256)
    x = (codes * scale.double()).float()
    assert torch.equal(quantizer.quantize(x).long(), codes)


def test_inputs_are_left_as_they_were() -> None:
    """Oracle: copies made before; the inner arithmetic works in place."""
    x, codes = torch.randn(50, generator=generator()), torch.arange(4, dtype=torch.int32)
    before, codes_before = x.clone(), codes.clone()
    quantizer = AffineQuantizer(torch.tensor(1.0), torch.tensor(0), IntegerGrid(4))
    quantizer.quantize(x), quantizer.round_trip(x), quantizer.dequantize(codes)
    assert torch.equal(x, before)
    assert torch.equal(codes, codes_before)
    assert quantizer.scale.item() == 1


def test_parameters_can_be_quantized() -> None:
    """Oracle: the same values without a gradient."""
    weight = torch.nn.Parameter(torch.randn(4, 4, generator=generator()))
    quantizer = affine_from_range(*min_max_range(weight, axes=0), IntegerGrid(4))
    assert not quantizer.scale.requires_grad
    assert torch.equal(quantizer.quantize(weight), quantizer.quantize(weight.detach()))
    assert torch.equal(quantizer.round_trip(weight), quantizer.round_trip(weight.detach()))


@pytest.mark.parametrize("memory", ["transposed", "channels last", "every other"])
def test_any_layout_gives_the_same(memory: str) -> None:
    """Oracle: the same values in contiguous memory."""
    x = torch.randn(4, 6, 2, 8, generator=generator())
    view = {
        "transposed": x.permute(3, 2, 1, 0),
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "every other": x[::2, :, :, ::2],
    }[memory]
    quantizer = affine_from_range(*min_max_range(view, axes=1), IntegerGrid(4))
    assert torch.equal(quantizer.round_trip(view), quantizer.round_trip(view.contiguous()))


GRID = IntegerGrid(8)
GOOD = AffineQuantizer(torch.tensor([[0.5], [1.0]]), torch.tensor([[0], [255]]), GRID)
ONE = torch.tensor(1.0)


def quantizer_of(scale: object, zero_point: object = 0, grid: object = GRID) -> AffineQuantizer:
    """Return the quantizer of tensors made from plain numbers."""
    return AffineQuantizer(torch.as_tensor(scale), torch.as_tensor(zero_point), grid)


BAD = {
    "scale of integers": (lambda: quantizer_of(1), TypeError, "scale must hold floating-point"),
    "scale 0": (lambda: quantizer_of(0.0), ValueError, r"scale must be above 0, got 0\.0"),
    "scale nan": (lambda: quantizer_of(math.nan), ValueError, "scale must be finite, got 1 nan"),
    "one scale of many": (
        lambda: quantizer_of([1.0, -0.5], [0, 0]),
        ValueError,
        r"scale must be above 0, got -0\.5",
    ),
    "zero point a fraction": (
        lambda: quantizer_of(1.0, 0.5),
        TypeError,
        "zero_point must hold integers",
    ),
    "zero point below the grid": (
        lambda: quantizer_of(1.0, -93),
        ValueError,
        r"zero_point must hold codes in \[0, 255\], got -93",
    ),
    "zero point above the grid": (
        lambda: quantizer_of(1.0, 256),
        ValueError,
        r"zero_point must hold codes in \[0, 255\], got 256",
    ),
    "unequal shapes": (
        lambda: quantizer_of([1.0, 2.0], 0),
        ValueError,
        r"scale must have the shape of zero_point, \(\), got \(2,\)",
    ),
    "grid a number": (lambda: quantizer_of(1.0, 0, 8), TypeError, "grid must be IntegerGrid"),
    "x nan": (
        lambda: GOOD.round_trip(torch.full((2, 2), math.nan)),
        ValueError,
        "x must be finite, got 4 nan",
    ),
    "wrong axis": (
        lambda: GOOD.quantize(torch.ones(3, 2)),
        ValueError,
        r"x must have a shape to which the scale's shape \(2, 1\) broadcasts, got \(3, 2\)",
    ),
    "x would grow": (
        lambda: GOOD.quantize(torch.ones(1, 5)),
        ValueError,
        r"scale's shape \(2, 1\) broadcasts, got \(1, 5\)",
    ),
    "too few axes": (
        lambda: GOOD.round_trip(torch.ones(2)),
        ValueError,
        r"scale's shape \(2, 1\) broadcasts, got \(2,\)",
    ),
    "q off the grid": (
        lambda: GOOD.dequantize(torch.tensor([[0, 256], [0, 0]])),
        ValueError,
        r"q must hold codes in \[0, 255\], got 0 to 256",
    ),
    "q of another shape": (
        lambda: GOOD.dequantize(torch.tensor([[0, 1], [0, 0], [0, 0]])),
        ValueError,
        r"q must have a shape to which the scale's shape \(2, 1\) broadcasts",
    ),
    "range inf": (
        lambda: symmetric_from_range(-ONE, ONE * math.inf, GRID),
        ValueError,
        "high must be finite",
    ),
    "range upside down": (
        lambda: affine_from_range(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.5]), GRID),
        ValueError,
        r"high must not be below low = 2\.0, got 1\.5",
    ),
    "range of two shapes": (
        lambda: affine_from_range(torch.zeros(2), torch.ones(3), GRID),
        ValueError,
        r"low must have the shape of high, \(3,\), got \(2,\)",
    ),
    "range too wide": (
        lambda: affine_from_range(-3e38 * ONE, 3e38 * ONE, GRID),
        ValueError,
        "scale must be finite, got 1 nan or inf, the first inf",
    ),
    "unsigned symmetric with negative values": (
        lambda: symmetric_from_range(torch.tensor([0.0, -0.25]), torch.ones(2), GRID),
        ValueError,
        r"low must be at least 0 for an unsigned grid, got -0\.25",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("build", [affine_from_range, symmetric_from_range])
def test_a_part_whose_inverse_step_would_overflow_comes_back_as_zero(
    build: Callable[..., AffineQuantizer],
) -> None:
    """Oracle: by hand; weights that decayed to denormal numbers get the step 1, as zeros do."""
    low, high = torch.tensor([-1e-40, -1.0]), torch.tensor([1e-40, 1.0])
    quantizer = build(low, high, IntegerGrid(8, signed=True))
    assert quantizer.scale[0].item() == 1
    assert quantizer.round_trip(high)[0].item() == 0


def test_wide_ranges_work_in_float64() -> None:
    """Oracle: what float32 refuses, float64 can do."""
    low, high = torch.tensor(-3e38).double(), torch.tensor(3e38).double()
    quantizer = affine_from_range(low, high, IntegerGrid(1))
    assert quantizer.scale.item() == pytest.approx(6e38)
