"""The layers of a network in integers: codes in, codes or int32 accumulators out."""

from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int32, Integer
from torch import Tensor, nn

from reference_impl.checks import require_arithmetic, require_instance, require_int
from reference_impl.compress.quantized import QuantizedLayer
from reference_impl.quantization import (
    FixedPointMultiplier,
    IntegerGrid,
    IntegerLinear,
    fixed_point,
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

    def patches(
        self, codes: Integer[Tensor, "n c height width"], fill: int
    ) -> Integer[Tensor, "n rows columns k"]:
        """Return what the kernel sees at each position, k = kernel height · kernel width · c.

        Channels come last, as in the memory of what a convolution returned: copying whole runs
        of them is 14 times as fast as copying bytes one by one.

        Args:
            codes: of the images.
            fill: code of the padding: z, which stands for the real 0.
        """
        down, across = self.padding
        sizes = zip(self.kernel, self.dilation, self.padding, strict=True)
        _require_images(codes, [max(a * (k - 1) + 1 - 2 * p, 1) for k, a, p in sizes])
        if down or across:
            codes = F.pad(codes, (across, across, down, down), value=fill)
        for axis, size, stride, apart in zip(
            (2, 3), self.kernel, self.stride, self.dilation, strict=True
        ):
            codes = codes.unfold(axis, apart * (size - 1) + 1, stride)[..., ::apart]
        patches: Tensor = codes.permute(0, 2, 3, 4, 5, 1).flatten(3)
        return patches


@dataclass(frozen=True, eq=False)
class Requantizer:
    """The map from accumulators to the next layer's codes: q = clip(round(M r) + z, low, q_max).

    Args:
        multiplier: M, one, or one for each output channel.
        grid: of the next layer's input.
        zero_point: z of it.
        relu: whether a ReLU follows: low is z then, else q_min.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``zero_point`` is no code of the grid.
    """

    multiplier: FixedPointMultiplier
    grid: IntegerGrid
    zero_point: int
    relu: bool

    def __post_init__(self) -> None:
        """Validate the arguments."""
        require_instance("multiplier", self.multiplier, FixedPointMultiplier)
        require_instance("grid", self.grid, IntegerGrid)
        require_int("zero_point", self.zero_point, self.grid.q_min, self.grid.q_max)
        require_instance("relu", self.relu, bool)

    def __call__(self, accumulators: Int32[Tensor, "*shape"]) -> Integer[Tensor, "*shape"]:
        """Return the codes."""
        return requantize(accumulators, self.multiplier, self.grid, self.zero_point, relu=self.relu)


@dataclass(frozen=True)
class MaxPool:
    """The largest code of each window: the code of the largest value, as the scale is positive."""

    pool: nn.MaxPool2d

    def __call__(
        self, codes: Integer[Tensor, "n c height width"]
    ) -> Integer[Tensor, "n c rows columns"]:
        """Return the pooled codes."""
        require_arithmetic("codes", codes)
        p = self.pool
        if p.padding not in (0, (0, 0)) or p.ceil_mode:
            pooled: Tensor = p(codes.contiguous())  # torch pools bytes in this layout only
            return pooled
        sizes, strides, gaps = map(_pair, (p.kernel_size, p.stride, p.dilation))
        _require_images(codes, [gap * (k - 1) + 1 for k, gap in zip(sizes, gaps, strict=True)])
        for axis, size, stride, gap in zip((2, 3), sizes, strides, gaps, strict=True):
            windows = codes.unfold(axis, gap * (size - 1) + 1, stride)[..., ::gap]
            codes = reduce(torch.maximum, windows.unbind(-1))  # 70 times as fast as torch's pool
        return codes


def _require_images(codes: Tensor, low: list[int]) -> None:
    if codes.ndim != 4 or codes.shape[2] < low[0] or codes.shape[3] < low[1]:
        raise ValueError(f"codes must be (n, c, ≥{low[0]}, ≥{low[1]}), got {tuple(codes.shape)}")


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A linear or convolutional layer in integers.

    Args:
        product: its matrix product with the bias; of a convolution, the columns of its weight
            are ordered as kernel height, kernel width, channel.
        window: of a convolution, whose patches are the rows of that product; None if linear.
        unit: the real number that one unit of an accumulator stands for; one, or one for each
            output channel. No computation uses it.
        output: makes the next layer's codes; None leaves the accumulators.
        pool: a max-pooling that follows. It comes before ``output``, which keeps the order: so
            fewer sums are left to rescale.

    Equation: eq-integer-sum, chapter 04.
    """

    product: IntegerLinear
    window: Window | None
    unit: Float64[Tensor, "*granularity"]
    output: Requantizer | None
    pool: MaxPool | None = None

    def __call__(self, codes: Integer[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return the layer's output: codes, or accumulators where ``output`` is None."""
        sums = self.accumulate(codes)
        if self.pool is not None:
            sums = self.pool(sums)
        if self.output is None:
            return sums
        codes = self.output(sums.movedim(1, -1))
        return codes.movedim(-1, 1)

    def accumulate(self, codes: Integer[Tensor, "n ..."]) -> Int32[Tensor, "n ..."]:
        """Return the accumulators, before pooling."""
        if self.window is None:
            return self.product.accumulate(codes)
        patches = self.window.patches(codes, self.product.input_zero)
        sums = self.product.accumulate(patches.flatten(0, 2))
        images: Tensor = sums.unflatten(0, patches.shape[:3])
        return images.movedim(-1, 1)


class Flatten:
    """One row of codes for each example."""

    def __call__(self, codes: Integer[Tensor, "n ..."]) -> Integer[Tensor, "n k"]:
        """Return the codes as a matrix."""
        return codes.flatten(1)


def integer_layer(
    name: str,
    layer: QuantizedLayer,
    following: QuantizedLayer | None,
    *,
    relu: bool,
    pool: MaxPool | None = None,
) -> IntegerLayer:
    """Return a layer of restored values as one of integers.

    s_a s_w is the unit of its accumulators, M = s_a s_w / s_y their multiplier.

    Args:
        name: of the layer, for messages.
        layer: with a quantizer of its input.
        following: the next weight layer, whose input's s_y and z_y the codes get; None leaves
            accumulators.
        relu: whether a ReLU stands between the two.
        pool: a max-pooling that comes right after the layer, or after its ReLU.

    Raises:
        ValueError: if a quantizer is missing or cannot be used in integers, if the layer is a
            convolution with groups or another padding than zeros, or an accumulator could
            exceed int32.
    """
    inputs = layer.input_quantizer
    if inputs is None or (following is not None and following.input_quantizer is None):
        raise ValueError(f"chain must have a quantizer of each layer's input, got none near {name}")
    _require_single(name, inputs.scale)
    scale = inputs.scale.detach().double().flatten() * _weight_scale(name, layer)
    weight = layer.weight_quantizer.quantize(layer.layer.weight.detach())
    weight = weight.movedim(1, -1).flatten(1)  # channels last, as in a window's patches
    zeros = torch.zeros(weight.shape[0], dtype=torch.float64)
    bias = round_bias(zeros if layer.layer.bias is None else layer.layer.bias, scale)
    try:
        product = IntegerLinear(weight, bias, inputs.grid, int(inputs.zero_point))
    except ValueError as error:
        raise ValueError(f"layer {name}: {error}") from error
    output, unit = None, scale
    if following is not None and following.input_quantizer is not None:
        target = following.input_quantizer
        _require_single(name, target.scale)
        target_scale = target.scale.detach().double().flatten()
        multiplier = fixed_point(scale / target_scale)
        output = Requantizer(multiplier, target.grid, int(target.zero_point), relu)
        unit = multiplier.value * target_scale
    return IntegerLayer(product, _window(name, layer.layer), unit, output, pool)


def _weight_scale(name: str, layer: QuantizedLayer) -> Tensor:
    """Return s_w in float64, (1,) or one for each output channel."""
    weights = layer.weight_quantizer
    if weights.zero_point.any():
        raise ValueError(f"the weights of {name} must be symmetric, got a zero point that is not 0")
    scale, shape = weights.scale.detach(), layer.layer.weight.shape
    if scale.numel() != 1 and scale.shape != (shape[0], *(1 for _ in shape[1:])):
        raise ValueError(
            f"the weights of {name} must have one scale, or one for each output channel: what is "
            f"summed shares a scale; got shape {tuple(scale.shape)}"
        )
    return scale.double().flatten()


def _require_single(name: str, scale: Tensor) -> None:
    if scale.numel() != 1:
        raise ValueError(
            f"the input of {name} must have a single scale: its channels are summed; "
            f"got shape {tuple(scale.shape)}"
        )


def _window(name: str, layer: nn.Linear | nn.Conv2d) -> Window | None:
    if isinstance(layer, nn.Linear):
        return None
    if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(
            f"{name} must be a convolution without groups and padded with a number of zeros, "
            f"got {layer}"
        )
    sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return Window(*((int(size[0]), int(size[1])) for size in sizes))
