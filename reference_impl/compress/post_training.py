"""Post-training quantization of a network: its ranges, and recipes made of the methods."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from torch import Tensor, nn

from reference_impl.checked import Finite, Within, checked
from reference_impl.compress.adaround import adaround
from reference_impl.compress.bias import correct_biases
from reference_impl.compress.equalize import equalize
from reference_impl.compress.layers import Net, outside_inference_mode
from reference_impl.compress.quantized import layer_inputs, quantize_layers, weight_layers
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    min_max_range,
    mse_range,
    symmetric_from_range,
)
from reference_impl.quantization.clipping import FromRange
from reference_impl.quantization.ranges import Axes, Range

Estimator = Callable[[Tensor, Axes], Range]
"""(x, axes) → (low, high), a range for each entry along the axes; () for one in all."""


@checked
def weight_quantizers(
    network: nn.Module,
    grid: IntegerGrid,
    *,
    axes: Axes = 0,
    estimate: Estimator = min_max_range,
    from_range: FromRange = symmetric_from_range,
) -> dict[str, AffineQuantizer]:
    """Return a quantizer for the weight of each weight layer: by default, a scale per output."""
    return {
        name: from_range(*estimate(layer.weight.detach(), axes), grid)
        for name, layer in weight_layers(network).items()
    }


@checked
def input_quantizers(
    network: nn.Module,
    images: Finite[Tensor, "n ..."],
    grid: IntegerGrid,
    *,
    estimate: Estimator = min_max_range,
    from_range: FromRange = affine_from_range,
) -> dict[str, AffineQuantizer]:
    """Return a quantizer with one scale for the input of each weight layer, as on the images."""
    return {name: from_range(*estimate(x, ()), grid) for name, x in layer_inputs(network, images)}


@checked
@dataclass(frozen=True, kw_only=True)
class PostTraining:
    """A recipe of post-training quantization: (network, images) → quantized one, without labels.

    Weights of ``bits`` are on a signed narrow grid. Their ranges are min–max or, if ``clipped``,
    those of the least squared error, one for each entry along ``axes``; inputs have one min–max
    range a tensor. Neighbouring layers are ``equalized`` first, biases ``corrected`` afterwards;
    ``adaptive`` rounds by AdaRound, which corrects the biases too. All images pass at once; 64 to
    512 of the real kind are enough, see chapter 07.

    >>> import torch
    >>> from reference_impl.models import LeNet5
    >>> images = torch.rand(64, 1, 28, 28)
    >>> eight = PostTraining(bits=8)(LeNet5().eval(), images)
    >>> eight.conv1.weight_quantizer.grid
    IntegerGrid(bits=8, signed=True, narrow=True)
    """

    bits: Annotated[int, Within(2, 16)]
    axes: Axes = 0
    clipped: bool = False
    equalized: bool = False
    corrected: bool = False
    adaptive: bool = False
    input_bits: Annotated[int, Within(1, 16)] = 8

    def __post_init__(self) -> None:
        if self.corrected and self.adaptive:
            raise ValueError("corrected must be False with adaptive, which corrects biases itself")

    @checked
    @outside_inference_mode
    def __call__(self, network: Net, images: Finite[Tensor, "n ..."]) -> Net:
        """Return the quantized network; the given network is left as it is."""
        source = equalize(network) if self.equalized else network
        grid = IntegerGrid(self.bits, signed=True, narrow=True)
        least_error = partial(mse_range, grid=grid, from_range=symmetric_from_range)
        estimate = least_error if self.clipped else min_max_range
        weights = weight_quantizers(source, grid, axes=self.axes, estimate=estimate)
        inputs = input_quantizers(source, images, IntegerGrid(self.input_bits))
        if self.adaptive:
            return adaround(source, weights, inputs, images)
        quantized = quantize_layers(source, weights, inputs)
        return correct_biases(quantized, source, images) if self.corrected else quantized
