"""Networks whose quantizers are learned with the weights, and their way back to fixed ones.

`learn_layers` gives each weight layer of a network learned quantizers for weight and input; then
the network is trained like any other; `deploy` freezes what was learned into `QuantizedLayer`s.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from reference_impl.checked import Count, Finite, Within, checked
from reference_impl.compress.fold import (
    Norm,
    fold_batch_norms,
    folding_pairs,
    norm_factor,
)
from reference_impl.compress.layers import Net, at, outside_inference_mode, replaced
from reference_impl.compress.quantized import (
    GridState,
    WeightLayer,
    layer_inputs,
    quantize_layers,
    weight_layers,
)
from reference_impl.compress.trace import trace
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

LearnedBits = Annotated[int, Within(2, 8)]
EDGE_BITS = 8
"""Bits of the first and the last layer, which suffer most from few and often hold few weights."""


@checked
@dataclass(frozen=True)
class LayerBits:
    """Bits of a layer's weight, on a signed narrow grid, and of its input, on an unsigned one."""

    weight: LearnedBits
    inputs: LearnedBits


@checked
class LearnedQuantizer(GridState):
    """x ↦ x̂ = s (clip(round(x / s) + z, q_min, q_max) − z), with s and perhaps z learned.

    The gradient of s is multiplied by 1/√(N q_max), where ``n``, N, elements share a step. z is
    a floating-point parameter or buffer, rounded where it is used. Call `keep_scales_positive`
    after every step of an optimizer.
    """

    def __init__(self, start: AffineQuantizer, n: Count, *, learn_zero_point: bool = False) -> None:
        """Start with the values of a quantizer."""
        super().__init__()
        self.grid = start.grid
        self.factor = gradient_factor(n, start.grid)
        self.scale = nn.Parameter(start.scale.clone())
        self.least = nn.Buffer(start.scale / 1000)
        zero_point = start.zero_point.to(start.scale.dtype)
        self.zero_point = nn.Parameter(zero_point) if learn_zero_point else nn.Buffer(zero_point)

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return x̂."""
        z = scale_gradient(round_straight_through(self.zero_point), self.factor)
        return learned_fake_quantize(x, scale_gradient(self.scale, self.factor), z, self.grid)

    def frozen(self) -> AffineQuantizer:
        """Return the quantizer with the present s and z, which computes the same x̂."""
        return to_quantizer(self.scale, self.zero_point, self.grid)


@checked
class LearnedLayer(nn.Module):
    """A weight layer on restored values: y = layer(x̂; Ŵ, β), W and both steps learned."""

    def __init__(
        self, layer: WeightLayer, weight: LearnedQuantizer, inputs: LearnedQuantizer
    ) -> None:
        """Copy the layer."""
        super().__init__()
        self.layer = copy.deepcopy(layer)
        self.weight_quantizer, self.input_quantizer = weight, inputs

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return layer(x̂; Ŵ, β)."""
        w_hat, x_hat = self.weight_quantizer(self.layer.weight), self.input_quantizer(x)
        y: Tensor = functional_call(self.layer, {"weight": w_hat}, (x_hat,))
        return y

    def rounded(self) -> WeightLayer:
        """Return a copy of the layer, with Ŵ as its weight."""
        layer = copy.deepcopy(self.layer)
        with torch.no_grad():
            layer.weight.copy_(self.weight_quantizer.frozen().round_trip(layer.weight))
        return layer


@checked
@outside_inference_mode
def learn_layers(
    network: Net, images: Finite[Tensor, "n ..."], bits: Mapping[str, LayerBits]
) -> Net:
    """Return the network with learned quantizers; the network itself is left as it is.

    A weight has one step per output channel and z = 0. An input has one step; its z is 0 where
    the images, a batch for training, lead to no negative input, else it is learned. Steps start
    where LSQ starts, see `reference_impl.quantization.lsq.initial_scale`. `edge_bits` returns
    usual ``bits`` by layer.

    Raises:
        ValueError: if ``bits`` names other layers.
    """
    layers = weight_layers(network)
    if set(bits) != set(layers):
        raise ValueError(f"bits must name the layers {list(layers)}, got {list(bits)}")
    learned = {
        path: _learned(layers[path], x, bits[path]).train(layers[path].training)
        for path, x in layer_inputs(network, images)
    }
    return replaced(network, learned)


@checked
def edge_bits(
    network: nn.Module, bits: LayerBits, *, edges: LearnedBits = EDGE_BITS
) -> dict[str, LayerBits]:
    """Return ``bits`` for each weight layer, except the first and the last, which get ``edges``."""
    names = list(weight_layers(network))
    outer = LayerBits(edges, edges)
    return {name: outer if name in (names[0], names[-1]) else bits for name in names}


@checked
def learned_layers(network: nn.Module) -> dict[str, LearnedLayer]:
    """Return the learned layers of a network by name, in order; there may be none."""
    return {name: part for name, part in network.named_modules() if isinstance(part, LearnedLayer)}


@checked
def learned_quantizers(network: nn.Module) -> Iterator[LearnedQuantizer]:
    """Yield the learned quantizers of a network, in order: weight, then input, of each layer."""
    for layer in learned_layers(network).values():
        yield from (layer.weight_quantizer, layer.input_quantizer)


@checked
def keep_scales_positive(network: nn.Module) -> int:
    """Lift every step below a thousandth of its first value back to there; return their number."""
    lifted = 0
    with torch.no_grad():
        for quantizer in learned_quantizers(network):
            lifted += int((quantizer.scale < quantizer.least).sum())
            quantizer.scale.clamp_(min=quantizer.least)
    return lifted


def _learned(layer: WeightLayer, x: Tensor, bits: LayerBits) -> LearnedLayer:
    """Return the layer with quantizers of its weight and of its input x."""
    signed = IntegerGrid(bits.weight, signed=True, narrow=True)
    scale = initial_scale(layer.weight, signed, axes=0)
    start = to_quantizer(scale, torch.zeros_like(scale), signed)
    weight = LearnedQuantizer(start, layer.weight[0].numel())
    start, has_negative = input_start(x, IntegerGrid(bits.inputs)), bool(x.min() < 0)
    inputs = LearnedQuantizer(start, x[0].numel(), learn_zero_point=has_negative)
    return LearnedLayer(layer, weight, inputs)


@checked
def input_start(x: Finite[Tensor, "n ..."], grid: IntegerGrid) -> AffineQuantizer:
    """Return LSQ's first quantizer of an input; of x − mean, put in the grid's middle, if x < 0.

    Where x is never negative, s = 2 E|x| / √q_max and z = 0. Else, with the mean μ of x and half
    the grid as q_max, s = 2 E|x − μ| / √((q_max − q_min)/2), and z puts μ in the middle.
    """
    if x.min() >= 0:
        scale = initial_scale(x, grid)
        return to_quantizer(scale, torch.zeros_like(scale), grid)
    mean = x.mean()
    scale = initial_scale(x - mean, IntegerGrid(grid.bits, signed=True))
    return to_quantizer(scale, (grid.q_min + grid.q_max) / 2 - mean / scale, grid)


@checked
@outside_inference_mode
def deploy(network: Net) -> Net:
    """Return the network of `QuantizedLayer` that computes what the learned one does in eval mode.

    Each weight is replaced by its Ŵ. A BatchNorm after a layer is folded into it, with the factor
    γ/σ of each channel: with one step per output channel, γ/σ Ŵ = (|γ|/σ s) (± q) has the codes
    of Ŵ, or their negatives where γ < 0, and the step |γ|/σ s. So nothing is rounded a second
    time. (On a grid that is not symmetric −q might not exist.) Without BatchNorm, the outputs are
    the same bits; with it, the same up to the rounding of floating-point numbers. The learned
    network is left as it is.

    Raises:
        ValueError: if it has no learned layer, or as `fold_batch_norms`.

    Equation: eq-qat-fold, chapter 09.
    """
    learned = learned_layers(network)
    if not learned:
        raise ValueError("network must have a learned layer, got none: see learn_layers")
    frozen = {path: layer.weight_quantizer.frozen() for path, layer in learned.items()}
    plain = replaced(network, {path: layer.rounded() for path, layer in learned.items()})
    norms = folding_pairs(trace(plain))
    weights = {
        path: _scaled(quantizer, at(plain, norms[path])) if path in norms else quantizer
        for path, quantizer in frozen.items()
    }
    inputs = {path: layer.input_quantizer.frozen() for path, layer in learned.items()}
    return quantize_layers(fold_batch_norms(plain), weights, inputs)


def _scaled(quantizer: AffineQuantizer, norm: Norm) -> AffineQuantizer:
    """Return the quantizer of γ/σ Ŵ, with the step |γ|/σ s."""
    a = norm_factor(norm).abs()
    a = torch.where(a > 0, a, torch.ones_like(a))  # a Ŵ = 0 fits any step
    scale = (a.view_as(quantizer.scale) * quantizer.scale.double()).to(quantizer.scale.dtype)
    return AffineQuantizer(scale, quantizer.zero_point, quantizer.grid)
