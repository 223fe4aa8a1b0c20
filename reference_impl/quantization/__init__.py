"""Fewer bits a number: tensors to integers or codebooks, and back."""

from reference_impl.quantization.adaround import (
    AdaRoundSettings,
    annealed,
    inverse_rectified_sigmoid,
    rectified_sigmoid,
    round_adaptively,
    undecidedness,
)
from reference_impl.quantization.affine import (
    AffineQuantizer,
    affine_from_range,
    symmetric_from_range,
)
from reference_impl.quantization.clipping import FromRange, Range, mse_range, percentile_range
from reference_impl.quantization.codebook import BlockQuantizer, CodebookQuantizer
from reference_impl.quantization.entropy import entropy_range, entropy_threshold, relative_entropy
from reference_impl.quantization.fixed_point import (
    FixedPointMultiplier,
    fixed_point,
    requantize,
    rescale,
)
from reference_impl.quantization.formats import (
    E4M3,
    E5M2,
    FloatFormat,
    normal_float_codebook,
    power_of_two_codebook,
)
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.integer import (
    accumulator_bound,
    exact_products,
    int8_products_are_exact,
    integer_matmul,
    largest_depth,
)
from reference_impl.quantization.integer_linear import IntegerLinear, round_bias
from reference_impl.quantization.intervals import Intervals
from reference_impl.quantization.kmeans import optimal_codebook, optimal_splits
from reference_impl.quantization.layer_loss import LayerLoss
from reference_impl.quantization.lloyd import (
    LloydRun,
    density_start,
    linear_start,
    lloyd,
    nearest_splits,
    normal_codebook,
    random_start,
)
from reference_impl.quantization.lsq import (
    gradient_factor,
    initial_scale,
    learned_fake_quantize,
    scale_gradient,
    to_quantizer,
)
from reference_impl.quantization.min_max import (
    MinMaxQuantizer,
    Rounding,
    min_max_quantizer,
    round_half_up,
    round_stochastically,
)
from reference_impl.quantization.monotone import row_minima
from reference_impl.quantization.noise import (
    gaussian_clipping_noise,
    predicted_sqnr,
    rounding_noise,
    stochastic_rounding_noise,
)
from reference_impl.quantization.ranges import min_max_range, split_groups
from reference_impl.quantization.straight_through import fake_quantize, round_straight_through

__all__ = [
    # min_max
    "MinMaxQuantizer",
    "min_max_quantizer",
    "round_half_up",
    "round_stochastically",
    "Rounding",
    # noise
    "rounding_noise",
    "stochastic_rounding_noise",
    "predicted_sqnr",
    "gaussian_clipping_noise",
    # grid
    "IntegerGrid",
    # affine
    "AffineQuantizer",
    "affine_from_range",
    "symmetric_from_range",
    # ranges
    "min_max_range",
    "split_groups",
    # clipping
    "percentile_range",
    "mse_range",
    "Range",
    "FromRange",
    # entropy
    "relative_entropy",
    "entropy_threshold",
    "entropy_range",
    # codebook
    "CodebookQuantizer",
    "BlockQuantizer",
    # formats
    "power_of_two_codebook",
    "normal_float_codebook",
    "FloatFormat",
    "E4M3",
    "E5M2",
    # intervals
    "Intervals",
    # kmeans
    "optimal_codebook",
    "optimal_splits",
    # monotone
    "row_minima",
    # lloyd
    "LloydRun",
    "lloyd",
    "nearest_splits",
    "linear_start",
    "density_start",
    "random_start",
    "normal_codebook",
    # straight_through
    "round_straight_through",
    "fake_quantize",
    # lsq
    "learned_fake_quantize",
    "to_quantizer",
    "initial_scale",
    "gradient_factor",
    "scale_gradient",
    # layer_loss
    "LayerLoss",
    # adaround
    "AdaRoundSettings",
    "rectified_sigmoid",
    "inverse_rectified_sigmoid",
    "undecidedness",
    "annealed",
    "round_adaptively",
    # integer
    "accumulator_bound",
    "largest_depth",
    "integer_matmul",
    "exact_products",
    "int8_products_are_exact",
    # integer_linear
    "round_bias",
    "IntegerLinear",
    # fixed_point
    "FixedPointMultiplier",
    "fixed_point",
    "rescale",
    "requantize",
]
