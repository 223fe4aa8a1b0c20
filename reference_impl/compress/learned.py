"""Networks whose quantizers are learned with the weights, and their way back to fixed ones.

A network is given as a chain, see `reference_impl.models.base.Network.chain`. `learn_layers` gives
each of its weight layers learned quantizers for weight and input; then the chain is trained like
any other; `deploy` freezes what was learned into `reference_impl.compress.quantized`.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.compress.quantized import (
    WEIGHT_LAYERS,
    WeightLayer,
    layer_inputs,
    places,
    weight_layers,
)
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    gradient_factor,
    initial_scale,
    learned_fake_quantize,
    round_straight_through,
    scale_gradient,
    to_quantizer,
)

EDGE_BITS = 8
"""Of the first and the last layer, which suffer most from few bits and often hold few weights."""


@dataclass(frozen=True)
class Bits:
    """Bits of a layer's weight and of its input.

    Args:
        weight: 2 to 8; the grid is signed and narrow, −(2^(b−1) − 1) … 2^(b−1) − 1.
        inputs: 2 to 8; the grid is unsigned, 0 … 2^b − 1.

    Raises:
        TypeError: if a width is no integer.
        ValueError: if it is out of its range.
    """

    weight: int
    inputs: int

    def __post_init__(self) -> None:
        """Validate the arguments."""
        require_int("weight", self.weight, 2, 8)
        require_int("inputs", self.inputs, 2, 8)


class LearnedQuantizer(nn.Module):
    """x ↦ x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), with s and perhaps z learned.

    Args:
        start: the quantizer to begin with.
        n: N, how many elements share a step: the gradient of s is multiplied by 1/√(N q_max).
        learn_zero_point: whether z is learned too; else it is constant.

    Attributes:
        scale: s, a parameter. `keep_scales_positive` belongs behind every step of an optimizer.
        zero_point: z, a floating-point parameter or buffer, rounded where it is used.
        grid: the codes.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``n`` is below 1.
    """

    zero_point: Tensor

    def __init__(self, start: AffineQuantizer, n: int, *, learn_zero_point: bool = False) -> None:
        """Take the quantizer's values over."""
        super().__init__()
        require_instance("start", start, AffineQuantizer)
        require_instance("learn_zero_point", learn_zero_point, bool)
        self.grid = start.grid
        self.factor = gradient_factor(n, start.grid)
        self.scale = nn.Parameter(start.scale.clone())
        self.least = float(start.scale.min()) / 1000
        zero_point = start.zero_point.to(start.scale.dtype)
        if learn_zero_point:
            self.zero_point = nn.Parameter(zero_point)
        else:
            self.register_buffer("zero_point", zero_point)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return x̂."""
        z = round_straight_through(self.zero_point)
        z = scale_gradient(z, self.factor)
        return learned_fake_quantize(x, scale_gradient(self.scale, self.factor), z, self.grid)

    def frozen(self) -> AffineQuantizer:
        """Return the quantizer with the present s and z, which computes the same x̂."""
        return to_quantizer(self.scale, self.zero_point, self.grid)


class LearnedLayer(nn.Module):
    """A weight layer on restored values: y = layer(x̂; Ŵ, b), W and both steps learned.

    Args:
        layer: the layer with W; it is copied, not changed.
        weight: quantizer of W.
        inputs: quantizer of x.

    Raises:
        TypeError: if an argument is of the wrong kind.
    """

    def __init__(
        self, layer: WeightLayer, weight: LearnedQuantizer, inputs: LearnedQuantizer
    ) -> None:
        """Copy the layer."""
        super().__init__()
        require_instance("layer", layer, WEIGHT_LAYERS)
        require_instance("weight", weight, LearnedQuantizer)
        require_instance("inputs", inputs, LearnedQuantizer)
        self.layer = copy.deepcopy(layer)
        self.weight_quantizer, self.input_quantizer = weight, inputs

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return layer(x̂; Ŵ, b)."""
        w_hat, x_hat = self.weight_quantizer(self.layer.weight), self.input_quantizer(x)
        y: Tensor = functional_call(self.layer, {"weight": w_hat}, (x_hat,))
        return y


def learn_layers(
    chain: nn.Sequential, images: Float[Tensor, "n 1 28 28"], bits: Mapping[str, Bits]
) -> nn.Sequential:
    """Return the chain with learned quantizers; the chain itself is left as it is.

    A weight has one step per output channel and z = 0. An input has one step; its z is 0 where
    the images lead to no negative input, else it is learned. Steps start where LSQ starts,
    see `reference_impl.quantization.lsq.initial_scale`. A module in two places of the chain
    becomes two, which learn apart.

    Args:
        chain: the network.
        images: a batch of training images, from which the inputs' first steps are taken.
        bits: name of a layer → its bits; `edge_bits` gives those of a whole chain.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``bits`` names other layers than the chain's weight layers.
    """
    layers = weight_layers(chain)
    require_instance("bits", bits, Mapping)
    if set(bits) != set(layers):
        raise ValueError(f"bits must name the layers {list(layers)}, got {list(bits)}")
    learned: dict[str, nn.Module] = {}
    for name, x in layer_inputs(chain, images):
        require_instance(f"bits[{name!r}]", bits[name], Bits)
        learned[name] = _learned(layers[name], x, bits[name])
    parts = OrderedDict(
        (name, learned[name] if name in learned else copy.deepcopy(module))
        for name, module in places(chain)
    )
    return nn.Sequential(parts).train(chain.training)


def edge_bits(chain: nn.Sequential, bits: Bits, *, edges: int = EDGE_BITS) -> dict[str, Bits]:
    """Return ``bits`` for each weight layer but the first and the last, which get ``edges``.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``edges`` is out of range or the chain has no weight layer.
    """
    require_instance("bits", bits, Bits)
    names = list(weight_layers(chain))
    outer = Bits(edges, edges)
    return {name: outer if name in (names[0], names[-1]) else bits for name in names}


def learned_layers(chain: nn.Sequential) -> dict[str, LearnedLayer]:
    """Return the learned layers of a chain by name, in order; none is no error.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
    """
    require_instance("chain", chain, nn.Sequential)
    return {name: part for name, part in places(chain) if isinstance(part, LearnedLayer)}


def learned_quantizers(chain: nn.Sequential) -> Iterator[LearnedQuantizer]:
    """Yield the learned quantizers of a chain, in order: weight, then input, of each layer.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
    """
    for layer in learned_layers(chain).values():
        yield from (layer.weight_quantizer, layer.input_quantizer)


def keep_scales_positive(chain: nn.Sequential) -> int:
    """Lift every step that fell below a thousandth of its first value back to there.

    Returns:
        How many were lifted.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
    """
    lifted = 0
    with torch.no_grad():
        for quantizer in learned_quantizers(chain):
            lifted += int((quantizer.scale < quantizer.least).sum())
            quantizer.scale.clamp_(min=quantizer.least)
    return lifted


def _learned(layer: WeightLayer, x: Tensor, bits: Bits) -> LearnedLayer:
    """Return the layer with quantizers of its weight and of its input x."""
    signed = IntegerGrid(bits.weight, signed=True, narrow=True)
    scale = initial_scale(layer.weight, signed, axes=0)
    start = AffineQuantizer(scale, torch.zeros_like(scale, dtype=torch.int32), signed)
    weight = LearnedQuantizer(start, layer.weight[0].numel())
    grid = IntegerGrid(bits.inputs)
    has_negative = bool(x.min() < 0)
    start = input_start(x, grid)
    inputs = LearnedQuantizer(start, x[0].numel(), learn_zero_point=has_negative)
    return LearnedLayer(layer, weight, inputs)


def input_start(x: Float[Tensor, "n ..."], grid: IntegerGrid) -> AffineQuantizer:
    """Return LSQ's first quantizer of an input; of x − mean, put in the grid's middle, if x < 0.

    Where x is never negative, s = 2 E|x| / √q_max and z = 0. Else, with the mean μ of x and half
    the grid as q_max, s = 2 E|x − μ| / √((q_max − q_min)/2), and z puts μ in the middle.
    """
    require_float_tensor("x", x)
    require_instance("grid", grid, IntegerGrid)
    if x.min() >= 0:
        scale = initial_scale(x, grid)
        return AffineQuantizer(scale, torch.zeros_like(scale, dtype=torch.int32), grid)
    mean = x.mean()
    half = IntegerGrid(grid.bits, signed=True)
    scale = initial_scale(x - mean, half)
    return to_quantizer(scale, (grid.q_min + grid.q_max) / 2 - mean / scale, grid)
