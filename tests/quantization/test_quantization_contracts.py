"""Every public function of the family refuses what its signature forbids."""

from functools import partial

import numpy as np
import torch
from contracts import Contracts

from reference_impl import quantization as q
from reference_impl.quantization import adaround, clipping, codebook, intervals, ranges

X = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -0.5]])
ONE, ZERO = torch.tensor(0.5), torch.tensor(0, dtype=torch.int32)
GRID, SIGNED = q.IntegerGrid(8), q.IntegerGrid(8, signed=True)
CODES = torch.tensor([[1, 2, 0], [0, 1, 2]], dtype=torch.uint8)
SUMS = torch.tensor([1, 2], dtype=torch.int32)
MIN_MAX = q.MinMaxQuantizer(-1.0, 2.0, 2)
AFFINE = q.AffineQuantizer(ONE, ZERO, GRID)
CODEBOOK = q.CodebookQuantizer((-1.0, 0.0, 1.0))
BLOCKS = q.BlockQuantizer(CODEBOOK, 2)
MULTIPLIER = q.fixed_point(ONE)
LINEAR = q.IntegerLinear(CODES, SUMS, GRID, 0)
GENERATOR = torch.Generator()
WEIGHT, GRAM, MEAN = X[None], torch.eye(3)[None], torch.ones(1, 3)
CHOICES = WEIGHT.clamp(0, 1)
LOSS = q.LayerLoss(GRAM, WEIGHT, 1.0, MEAN, torch.ones(1, 2))
PLACES = np.arange(3)
BASE = np.zeros(3)
SETTINGS = q.AdaRoundSettings(steps=2)

CALLS = [
    partial(q.MinMaxQuantizer, low=-1.0, high=2.0, bits=2),
    partial(MIN_MAX.quantize, x=X),
    partial(MIN_MAX.dequantize, q=CODES),
    partial(MIN_MAX.round_trip, x=X),
    partial(q.min_max_quantizer, x=X, bits=2),
    partial(q.round_half_up, x=X),
    partial(q.round_stochastically, x=X, generator=GENERATOR),
    partial(q.rounding_noise, step=0.5),
    partial(q.stochastic_rounding_noise, step=0.5),
    partial(q.predicted_sqnr, power=1.0, width=1.0, bits=8),
    partial(q.gaussian_clipping_noise, threshold=1.0),
    partial(q.IntegerGrid, bits=8),
    partial(GRID.require_codes, name="q", q=CODES),
    partial(q.AffineQuantizer, scale=ONE, zero_point=ZERO, grid=GRID),
    partial(AFFINE.quantize, x=X),
    partial(AFFINE.dequantize, q=CODES),
    partial(AFFINE.round_trip, x=X),
    partial(q.affine_from_range, low=-ONE, high=ONE, grid=GRID),
    partial(q.symmetric_from_range, low=-ONE, high=ONE, grid=SIGNED),
    partial(GRID.require_code, name="q", code=3),
    partial(q.min_max_range, x=X, axes=(0,)),
    partial(q.split_groups, x=X, size=3),
    partial(ranges.reduced_axes, n_axes=2, axes=(0,)),
    partial(q.percentile_range, x=X),
    partial(q.mse_range, x=X, grid=GRID, candidates=2),
    partial(q.entropy_range, x=X, grid=q.IntegerGrid(2)),
    partial(clipping.entropy_threshold, counts=torch.tensor([3, 1, 1]), levels=2),
    partial(q.relative_entropy, p=torch.ones(2), q=torch.ones(2)),
    partial(codebook.look_up, values=torch.ones(3).double(), q=CODES, dtype=torch.float32),
    partial(q.CodebookQuantizer, values=(-1.0, 0.0, 1.0)),
    partial(CODEBOOK.quantize, x=X),
    partial(q.BlockQuantizer, codebook=CODEBOOK, block=2),
    partial(BLOCKS.scales, x=X),
    partial(BLOCKS.quantize, x=X),
    partial(BLOCKS.dequantize, q=CODES, scales=torch.ones(3)),
    partial(q.power_of_two_codebook, largest=1.0, bits=3),
    partial(q.FloatFormat, exponent_bits=4, mantissa_bits=3),
    partial(q.E4M3.quantize, x=X),
    partial(q.ScaledBlocks, values=X, codes=CODES, scales=torch.ones(1), tensor_scale=1.0),
    partial(q.microscaling, x=X, element=q.E4M3, block=4, fits=True),
    partial(q.nvfp4, x=X, block=4),
    partial(intervals.distinct, x=X),
    partial(q.Intervals, **vars(q.Intervals.of(X))),
    partial(q.Intervals.of, x=X),
    partial(q.optimal_codebook, x=X, size=2),
    partial(q.recursive_splits, intervals=q.Intervals.of(X), size=2),
    partial(q.optimal_splits, intervals=q.Intervals.of(X), size=2),
    partial(q.row_minima, base=BASE, columns=PLACES, rows=PLACES, cost=q.Intervals.of(X).cost),
    partial(q.LloydRun, quantizer=CODEBOOK, errors=(1.0,), empty=0, converged=True),
    partial(q.lloyd, x=X, start=torch.ones(2)),
    partial(q.linear_start, x=X, size=2),
    partial(q.density_start, x=X, size=2),
    partial(q.random_start, x=X, size=2, generator=GENERATOR),
    partial(q.normal_codebook, size=2),
    partial(q.round_straight_through, u=X),
    partial(q.fake_quantize, x=X, quantizer=AFFINE),
    partial(q.learned_fake_quantize, x=X, scale=ONE, zero_point=ONE, grid=GRID),
    partial(q.to_quantizer, scale=ONE, zero_point=ONE, grid=GRID),
    partial(q.initial_scale, x=X, grid=GRID),
    partial(q.gradient_factor, n=3, grid=GRID),
    partial(q.scale_gradient, value=X, factor=0.5),
    partial(
        q.LayerLoss,
        gram=GRAM, cross=WEIGHT, power=1.0, input_mean=MEAN, output_mean=torch.ones(1, 2),
    ),
    partial(LOSS.of, weight=WEIGHT),
    partial(LOSS.total, weight=WEIGHT),
    partial(LOSS.bias, weight=WEIGHT),
    partial(q.AdaRoundSettings),
    partial(q.rectified_sigmoid, v=X),
    partial(adaround.inverse_rectified_sigmoid, h=CHOICES),
    partial(q.undecidedness, h=CHOICES, beta=2.0),
    partial(adaround.annealed, step=1, settings=SETTINGS),
    partial(
        q.adaround_objective, h=CHOICES, floor=WEIGHT, quantizer=AFFINE, loss=LOSS,
        settings=SETTINGS, unit=1.0, beta=2.0,
    ),
    partial(q.round_adaptively, weight=WEIGHT, quantizer=AFFINE, loss=LOSS, settings=SETTINGS),
    partial(q.accumulator_bound, depth=1, largest_a=1, largest_b=1),
    partial(q.largest_depth, largest_a=1, largest_b=1),
    partial(q.integer_matmul, a=CODES, b=CODES.T),
    partial(q.exact_products, a=CODES, b=CODES.T),
    partial(q.round_bias, bias=torch.ones(2), scale=ONE),
    partial(q.IntegerLinear, weight=CODES, bias=SUMS, input_grid=GRID, input_zero=0),
    partial(LINEAR.accumulate, codes=CODES),
    partial(q.FixedPointMultiplier, significand=torch.tensor([2**30]), shift=torch.tensor([1])),
    partial(q.fixed_point, multiplier=ONE),
    partial(q.rescale, accumulators=SUMS, multiplier=MULTIPLIER),
    partial(q.requantize, accumulators=SUMS, multiplier=MULTIPLIER, grid=GRID, zero_point=0),
]  # fmt: skip

BY_ROW = q.AffineQuantizer(torch.tensor([[0.5], [1.0]]), torch.tensor([[0], [255]]), GRID)
NARROW, WIDE = (q.IntegerLinear(CODES, SUMS, q.IntegerGrid(bits), 0) for bits in (4, 9))
LARGE, THREE = torch.tensor(3e38), q.fixed_point(torch.ones(3))
FULL = torch.tensor([2**31 - 1, 0], dtype=torch.int32)
NOT_AT_ALL = r"x must have a shape to which the scale's shape \(2, 1\) broadcasts, got "

REFUSED = [
    (lambda: q.MinMaxQuantizer(1.0, 1.0, 8), "high must be above low = 1.0, got 1.0"),
    (lambda: q.min_max_quantizer(X * 0 + 2.5, 8), "x must not be constant, got 2.5"),
    (lambda: MIN_MAX.dequantize(CODES + 2), r"q must hold codes in \[0, 3\], got 2 to 4"),
    (lambda: AFFINE.dequantize(CODES, torch.int8), "dtype must be a floating-point torch.dtype"),
    (lambda: q.IntegerGrid(1, signed=True), r"bits must be in \[2, 16\] for a signed grid, got 1"),
    (lambda: q.IntegerGrid(8, narrow=True), "narrow must be False for an unsigned grid, got True"),
    (lambda: SIGNED.require_codes("q", torch.tensor([-129])), "got -129 to -129"),
    (lambda: GRID.require_codes("q", torch.tensor([65535]).to(torch.uint16)), "got 65535 to 65535"),
    (lambda: q.AffineQuantizer(ONE, ZERO - 1, GRID), r"zero_point must .* \[0, 255\], got -1"),
    (lambda: q.AffineQuantizer(ONE, ZERO + 256, GRID), r"zero_point must .* \[0, 255\], got 256"),
    (lambda: BY_ROW.quantize(torch.ones(3, 2)), NOT_AT_ALL + r"\(3, 2\)"),
    (lambda: BY_ROW.quantize(torch.ones(1, 5)), NOT_AT_ALL + r"\(1, 5\)"),
    (lambda: BY_ROW.round_trip(torch.ones(2)), NOT_AT_ALL + r"\(2,\)"),
    (lambda: BY_ROW.dequantize(CODES.T), "q must have a shape to which the scale's shape"),
    (lambda: q.affine_from_range(ONE, ONE / 2, GRID), "high must not be below low = 0.5, got 0.25"),
    (lambda: q.affine_from_range(-LARGE, LARGE, GRID), "scale must be finite, got 1 nan"),
    (lambda: q.symmetric_from_range(-ONE, ONE, GRID), "low must be at least 0 for an unsigned"),
    (lambda: q.min_max_range(X, 2), "axes must name each of the 2 axes at most once, got 2"),
    (lambda: q.min_max_range(X, (0, -3)), r"axes must name each of the 2 axes .* got \(0, -3\)"),
    (lambda: q.min_max_range(X, (1, -1)), r"axes must name each of the 2 axes .* got \(1, -1\)"),
    (lambda: q.min_max_range(ONE, 0), "axes must name each of the 0 axes at most once, got 0"),
    (lambda: q.min_max_range(X, "0"), r"axes\[0\] must be an integer, got '0'"),
    (lambda: q.split_groups(X, 2), "size must divide the 3 columns of x, got 2"),
    (lambda: q.entropy_range(X, grid=SIGNED, n_bins=127), "at least 128 bins, .* got 127"),
    (
        lambda: clipping.entropy_threshold(torch.zeros(2).long(), 1),
        "counts must be above 0 somewhere",
    ),
    (lambda: q.relative_entropy(torch.zeros(2), torch.ones(2)), "p must be above 0 somewhere"),
    (lambda: q.CodebookQuantizer(()), r"values must be 1 to 65536 numbers, got \(\)"),
    (lambda: q.CodebookQuantizer((1.0, 1.0)), r"values must be ascending, got \(1.0, 1.0\)"),
    (lambda: CODEBOOK.dequantize(CODES + 1), r"q must hold codes in \[0, 2\], got 1 to 3"),
    (lambda: CODEBOOK.dequantize(CODES.int() - 1), r"q must hold codes in \[0, 2\], got -1 to 1"),
    (lambda: q.BlockQuantizer(q.CodebookQuantizer((0.0, 2.0)), 4), r"codebook .* within \[-1, 1\]"),
    (lambda: BLOCKS.dequantize(CODES, torch.ones(2)), "scales must be 3, one for each block"),
    (lambda: q.FloatFormat(2, 1, "none", saturates=False), "saturates must be True if no code"),
    (lambda: q.E4M3.dequantize(torch.tensor([256])), r"q must hold codes in \[0, 255\], got 256"),
    (lambda: q.FloatFormat(5, 7).round_trip(X.half()), "dtype must hold magnitudes up to 130048.0"),
    (lambda: q.random_start(X, 7, GENERATOR), "size must be at most the 6 elements of x, got 7"),
    (lambda: q.FixedPointMultiplier(SUMS + 2**30, SUMS.long() + 2**32), "shift must be in .* 1074"),
    (
        lambda: q.fixed_point(torch.tensor(2.0**30).double() - 0.1),
        r"shift must be in \[-30, 1074\]",
    ),
    (lambda: q.rescale(SUMS, THREE), r"multiplier must .* last axis of \(2,\), got \(3,\)"),
    (lambda: q.rescale(SUMS[0], THREE), r"multiplier must .* last axis of \(\), got \(3,\)"),
    (lambda: q.requantize(SUMS, MULTIPLIER, GRID, 256), "zero_point must be in .* got 256"),
    (lambda: q.requantize(SUMS, MULTIPLIER, GRID, -1), "zero_point must be in .* got -1"),
    (lambda: q.integer_matmul(CODES, CODES.T, zero_a=2**30), "depth must be small enough"),
    (lambda: q.round_bias(torch.ones(2), torch.ones(3)), r"scale must be 1 or 2 numbers, got \(3,"),
    (lambda: q.round_bias(-torch.ones(1), ONE / 2**31), r"bias must be below 2\^31 units .* 42949"),
    (lambda: q.IntegerLinear(CODES, SUMS, GRID, 256), "input_zero must be in .* got 256"),
    (lambda: q.IntegerLinear(CODES, FULL, GRID, 0), "3 products of up to 255 · 2 and a bias of up"),
    (lambda: LINEAR.accumulate(CODES.int()), "codes must hold torch.uint8, got dtype torch.int32"),
    (lambda: LINEAR.accumulate(CODES[:, :2]), r"codes must be \(n, 3\), got \(2, 2\)"),
    (lambda: NARROW.accumulate(CODES * 8), r"codes must hold codes in \[0, 15\], got 0 to 16"),
    (lambda: WIDE.accumulate(-CODES.short()), r"codes must hold codes in \[0, 511\], got -2 to 0"),
    (lambda: LOSS.total(torch.ones(1, 2, 4)), r"weight must be \(1, 2, 3\), got \(1, 2, 4\)"),
]


class TestContracts(Contracts):
    face, calls, refused, errors = q, CALLS, REFUSED, (TypeError, ValueError)
