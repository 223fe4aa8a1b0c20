"""Fewer bits a number: tensors to integers or codebooks, and back."""

# fmt: off
from reference_impl.quantization.min_max import (
    MinMaxQuantizer, min_max_quantizer, round_half_up, round_stochastically,
)
from reference_impl.quantization.noise import (
    rounding_noise, stochastic_rounding_noise, predicted_sqnr, gaussian_clipping_noise,
)
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.affine import (
    AffineQuantizer, affine_from_range, symmetric_from_range,
)
from reference_impl.quantization.ranges import min_max_range, split_groups
from reference_impl.quantization.clipping import (
    percentile_range, mse_range, entropy_range, relative_entropy,
)
from reference_impl.quantization.codebook import CodebookQuantizer, BlockQuantizer
from reference_impl.quantization.formats import (
    power_of_two_codebook, normal_float_codebook, FloatFormat, E4M3, E5M2, E2M1, E2M3, E3M2,
)
from reference_impl.quantization.microscaling import ScaledBlocks, microscaling, nvfp4
from reference_impl.quantization.intervals import Intervals
from reference_impl.quantization.kmeans import optimal_codebook, recursive_splits
from reference_impl.quantization.kmeans_fast import optimal_splits, row_minima
from reference_impl.quantization.lloyd import (
    LloydRun, lloyd, linear_start, density_start, random_start, normal_codebook,
)
from reference_impl.quantization.straight_through import round_straight_through, fake_quantize
from reference_impl.quantization.lsq import (
    learned_fake_quantize, to_quantizer, initial_scale, gradient_factor, scale_gradient,
)
from reference_impl.quantization.adaround import (
    LayerLoss, AdaRoundSettings, rectified_sigmoid, undecidedness, adaround_objective,
    round_adaptively,
)
from reference_impl.quantization.integer import (
    accumulator_bound, largest_depth, integer_matmul, exact_products, int8_products_are_exact,
    round_bias, IntegerLinear,
)
from reference_impl.quantization.fixed_point import (
    FixedPointMultiplier, fixed_point, rescale, requantize,
)

__all__ = [
    "MinMaxQuantizer", "min_max_quantizer", "round_half_up", "round_stochastically",  # min_max
    "rounding_noise", "stochastic_rounding_noise", "predicted_sqnr",  # noise
    "gaussian_clipping_noise",
    "IntegerGrid",  # grid
    "AffineQuantizer", "affine_from_range", "symmetric_from_range",  # affine
    "min_max_range", "split_groups",  # ranges
    "percentile_range", "mse_range", "entropy_range", "relative_entropy",  # clipping
    "CodebookQuantizer", "BlockQuantizer",  # codebook
    "power_of_two_codebook", "normal_float_codebook", "FloatFormat",  # formats
    "E4M3", "E5M2", "E2M1", "E2M3", "E3M2",
    "ScaledBlocks", "microscaling", "nvfp4",  # microscaling
    "Intervals",  # intervals
    "optimal_codebook", "recursive_splits",  # kmeans
    "optimal_splits", "row_minima",  # kmeans_fast
    "LloydRun", "lloyd", "linear_start", "density_start",  # lloyd
    "random_start", "normal_codebook",
    "round_straight_through", "fake_quantize",  # straight_through
    "learned_fake_quantize", "to_quantizer", "initial_scale", "gradient_factor",  # lsq
    "scale_gradient",
    "LayerLoss", "AdaRoundSettings", "rectified_sigmoid", "undecidedness",  # adaround
    "adaround_objective", "round_adaptively",
    "accumulator_bound", "largest_depth", "integer_matmul", "exact_products",  # integer
    "int8_products_are_exact", "round_bias", "IntegerLinear",
    "FixedPointMultiplier", "fixed_point", "rescale", "requantize",  # fixed_point
]
