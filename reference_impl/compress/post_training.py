"""Post-training quantization of a chain: its ranges, and recipes made of the methods."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.compress.adaround import adaround
from reference_impl.compress.bias import correct_biases
from reference_impl.compress.equalize import equalize
from reference_impl.compress.quantized import layer_inputs, quantize_layers, weight_layers
from reference_impl.quantization import (
    AffineQuantizer,
    FromRange,
    IntegerGrid,
    Range,
    affine_from_range,
    min_max_range,
    mse_range,
    symmetric_from_range,
)
from reference_impl.quantization.grid import MAX_BITS
from reference_impl.quantization.ranges import Axes

Estimator = Callable[[Tensor, Axes], Range]
"""(x, axes) → (low, high)."""


def weight_quantizers(
    chain: nn.Sequential,
    grid: IntegerGrid,
    *,
    axes: Axes = 0,
    estimate: Estimator = min_max_range,
    from_range: FromRange = symmetric_from_range,
) -> dict[str, AffineQuantizer]:
    """Return a quantizer for the weight of each weight layer.

    Args:
        chain: the network.
        grid: of the codes.
        axes: along which ranges are told apart: 0 for one per output channel, () for one in all.
        estimate: of the range.
        from_range: makes the quantizer of a range.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
        ValueError: if it has no weight layer.
    """
    return {
        name: from_range(*estimate(layer.weight.detach(), axes), grid)
        for name, layer in weight_layers(chain).items()
    }


def input_quantizers(
    chain: nn.Sequential,
    images: Float[Tensor, "n 1 28 28"],
    grid: IntegerGrid,
    *,
    estimate: Estimator = min_max_range,
    from_range: FromRange = affine_from_range,
) -> dict[str, AffineQuantizer]:
    """Return a quantizer for the input of each weight layer, from what it is on the images.

    Args:
        chain: the network, in full precision.
        images: to calibrate on; no label is needed.
        grid: of the codes.
        estimate: of the range, one for each tensor.
        from_range: makes the quantizer of a range.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential`` or ``images`` no floating-point tensor.
        ValueError: if ``images`` is empty or not finite, or the chain has no weight layer.
    """
    require_float_tensor("images", images)
    return {name: from_range(*estimate(x, ()), grid) for name, x in layer_inputs(chain, images)}


@dataclass(frozen=True, kw_only=True)
class PostTraining:
    """A recipe of post-training quantization: (chain, images) → quantized chain, without labels.

    Args:
        bits: of the weights; their grid is signed and narrow.
        axes: along which the weights' ranges are told apart, 0 for channels, () for one in all.
        clipped: whether the weights' ranges are those of the least squared error, not min–max.
        equalized: whether neighbouring layers are equalized first.
        corrected: whether biases are corrected afterwards.
        adaptive: whether weights are rounded by AdaRound, which corrects the biases too.
        input_bits: of the layers' inputs; their ranges are min–max, one a tensor.

    Raises:
        TypeError: if a number or a flag is none.
        ValueError: if a number of bits is out of its range, or ``corrected`` and ``adaptive`` are
            both asked for: the one would correct what the other has corrected.
    """

    bits: int
    axes: Axes = 0
    clipped: bool = False
    equalized: bool = False
    corrected: bool = False
    adaptive: bool = False
    input_bits: int = 8

    def __post_init__(self) -> None:
        require_int("bits", self.bits, 2, MAX_BITS)
        require_int("input_bits", self.input_bits, 1, MAX_BITS)
        for name in ("clipped", "equalized", "corrected", "adaptive"):
            require_instance(name, getattr(self, name), bool)
        if self.corrected and self.adaptive:
            raise ValueError("corrected must be False with adaptive, which corrects biases itself")

    def __call__(self, chain: nn.Sequential, images: Float[Tensor, "n 1 28 28"]) -> nn.Sequential:
        """Return the quantized chain; the chain itself is left as it is.

        Args:
            chain: without BatchNorm, see `reference_impl.compress.fold.fold_batch_norms`.
            images: to calibrate on.

        Raises:
            TypeError: if ``chain`` is no ``nn.Sequential`` or ``images`` no floating-point tensor.
            ValueError: if ``images`` is empty or not finite, or the chain cannot be equalized.
        """
        source = equalize(chain) if self.equalized else chain
        grid = IntegerGrid(self.bits, signed=True, narrow=True)
        estimate: Estimator = min_max_range
        if self.clipped:
            estimate = partial(mse_range, grid=grid, from_range=symmetric_from_range)
        weights = weight_quantizers(source, grid, axes=self.axes, estimate=estimate)
        inputs = input_quantizers(source, images, IntegerGrid(self.input_bits))
        if self.adaptive:
            return adaround(source, weights, inputs, images)
        quantized = quantize_layers(source, weights, inputs)
        return correct_biases(quantized, source, images) if self.corrected else quantized
