"""The layers of a network in integers: codes in, codes or int32 accumulators out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int32, Integer
from torch import Tensor, nn

from reference_impl.checked import checked
from reference_impl.compress.quantized import QuantizedLayer, WeightLayer, zero_padding
from reference_impl.quantization import (
    AffineQuantizer,
    FixedPointMultiplier,
    IntegerGrid,
    IntegerLinear,
    requantize,
    round_bias,
)


@dataclass(frozen=True)
class Window:
    """Where a convolution looks: height and width of its kernel, its stride and so on."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @checked
    def patches(
        self, codes: Integer[Tensor, "n c height width"], fill: int
    ) -> Integer[Tensor, "n rows columns k"]:
        """Return what the kernel sees at each position, k = kernel height · kernel width · c.

        Channels come last, as in the memory of what a convolution returned: copying whole runs
        of them is 14 times as fast as copying bytes one by one. Padding has the code ``fill``, z.
        """
        down, across = self.padding
        if down or across:
            codes = F.pad(codes, (across, across, down, down), value=fill)
        for geometry in zip((2, 3), self.kernel, self.stride, self.dilation, strict=True):
            codes = windows(codes, *geometry)
        return codes.permute(0, 2, 3, 4, 5, 1).flatten(3)


@checked
@dataclass(frozen=True, eq=False)
class Requantizer:
    """The map from accumulators to the next layer's codes: q = clip(round(M r) + z, low, q_max).

    M is one number or one for each output channel, z a code of the next layer's grid; low is z
    where a ReLU follows, else q_min.
    """

    multiplier: FixedPointMultiplier
    grid: IntegerGrid
    zero_point: int
    relu: bool

    def __post_init__(self) -> None:
        self.grid.require_code("zero_point", self.zero_point)

    def __call__(self, accumulators: Int32[Tensor, "*shape"]) -> Integer[Tensor, "*shape"]:
        """Return the codes."""
        return requantize(accumulators, self.multiplier, self.grid, self.zero_point, relu=self.relu)


@dataclass(frozen=True)
class MaxPool:
    """The largest code of each window: the code of the largest value, as the scale is positive."""

    pool: nn.MaxPool2d

    @checked
    def __call__(
        self, codes: Integer[Tensor, "n c height width"]
    ) -> Integer[Tensor, "n c rows columns"]:
        """Return the pooled codes."""
        p = self.pool
        if p.padding not in (0, (0, 0)) or p.ceil_mode:
            # torch pools bytes in this layout only, and tells it from the strides of one channel
            pooled: Tensor = p(codes.flatten().view(codes.shape))
            return pooled
        pairs = map(pair, (p.kernel_size, p.stride, p.dilation))
        for geometry in zip((2, 3), *pairs, strict=True):
            parts = windows(codes, *geometry)
            codes = reduce(torch.maximum, parts.unbind(-1))  # 70 times as fast as torch's pool
        return codes


def windows(codes: Tensor, axis: int, size: int, stride: int, dilation: int = 1) -> Tensor:
    """Return the codes with the windows along an axis in its place, and a last axis inside them."""
    span = dilation * (size - 1) + 1
    if codes.shape[axis] < span:
        raise ValueError(f"codes must be ≥{span} along axis {axis}, got {tuple(codes.shape)}")
    return codes.unfold(axis, span, stride)[..., ::dilation]


def pair(size: Any) -> tuple[int, int]:
    """Return the size along both axes."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


@dataclass(frozen=True, eq=False)
class Sums(ABC):
    """Sums of integers, which may be pooled and turned into codes.

    The ``output`` turns them into codes; without one, the sums are the result. It keeps their
    order, so a max-``pool`` comes before it and leaves fewer sums to rescale. A sum of 1 stands
    for the ``unit``, one number or one for each channel; no computation uses it.
    """

    unit: Float64[Tensor, "*granularity"]
    output: Requantizer | None = field(default=None, kw_only=True)
    pool: MaxPool | None = field(default=None, kw_only=True)

    def __call__(self, *inputs: Integer[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return codes, or sums where ``output`` is None."""
        sums = self.accumulate(*inputs)
        if self.pool is not None:
            sums = self.pool(sums)
        return sums if self.output is None else self.output(sums.movedim(1, -1)).movedim(-1, 1)

    @abstractmethod
    def accumulate(self, *inputs: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return the sums, before pooling."""


@dataclass(frozen=True, eq=False)
class IntegerLayer(Sums):
    """A linear or convolutional layer in integers: Σ x̂ ŵ = s_a s_w Σ (q_a − z_a) q_w.

    The ``product`` computes this sum, with the bias. In a convolution it multiplies the patches of
    the ``window``; the columns of its weight are ordered as kernel height, kernel width, channel.
    The ``unit`` is s_a s_w.

    Equation: eq-integer-sum, chapter 04.
    """

    product: IntegerLinear
    window: Window | None

    def accumulate(self, *inputs: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return the accumulators, before pooling."""
        (codes,) = inputs
        if self.window is None:
            return self.product.accumulate(codes)
        patches = self.window.patches(codes, self.product.input_zero)
        sums = self.product.accumulate(patches.flatten(0, 2))
        images: Tensor = sums.unflatten(0, patches.shape[:3])
        return images.movedim(-1, 1)


def integer_layer(layer: QuantizedLayer) -> IntegerLayer:
    """Return a layer of restored values as one of integers, whose sums are left as they are."""
    inputs, inner = input_quantizer(layer), layer.layer
    unit = inputs.scale * weight_scale(layer)
    codes = layer.weight_quantizer.quantize(inner.weight.detach())
    if isinstance(inner, nn.Conv2d):  # with zeros between groups; channels last, as in patches
        dense = torch.block_diag(*codes.flatten(1).chunk(inner.groups))
        codes = dense.view(len(codes), inner.in_channels, *inner.kernel_size)
    weight = codes.movedim(1, -1).flatten(1)
    none = inner.weight.new_zeros(len(weight))
    bias = round_bias(none if inner.bias is None else inner.bias, unit)
    product = IntegerLinear(weight, bias, inputs.grid, int(inputs.zero_point))
    return IntegerLayer(unit, product, _window(inner))


def input_quantizer(layer: QuantizedLayer) -> AffineQuantizer:
    """Return the quantizer of a layer's input in float64, for values of any shape."""
    inputs = layer.input_quantizer
    if inputs is None or inputs.scale.numel() != 1:  # the layer sums over its input's channels
        got = "none" if inputs is None else f"scales of shape {tuple(inputs.scale.shape)}"
        raise ValueError(f"inputs must have a quantizer with one scale, got {got}")
    scale = inputs.scale.double().reshape(())
    return AffineQuantizer(scale, inputs.zero_point.reshape(()), inputs.grid)


def weight_scale(layer: QuantizedLayer) -> Tensor:
    """Return s_w in float64, (1,) or one for each output channel: what is summed shares a scale."""
    scale, shape = layer.weight_quantizer.scale, layer.layer.weight.shape
    single = scale.numel() == 1 or scale.shape == shape[:1] + (1,) * len(shape[1:])
    if not single or layer.weight_quantizer.zero_point.any():
        raise ValueError(
            "weight must have zero points of 0 and one scale, or one for each output channel, "
            f"got scales of shape {tuple(scale.shape)}"
        )
    return scale.double().flatten()


def _window(layer: WeightLayer) -> Window | None:
    if isinstance(layer, nn.Linear):
        return None
    if not isinstance(layer, nn.Conv2d):
        raise ValueError(f"layer must be linear or a convolution of images, got {layer}")
    sizes = (layer.kernel_size, layer.stride, zero_padding(layer), layer.dilation)
    return Window(*map(pair, sizes))
