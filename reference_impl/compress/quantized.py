"""Networks whose layers compute with restored values: the simulation of a quantized network.

The weight layers of a network, the linear and convolutional ones, are those that are quantized: the
weight once, the input each time the layer is called. All the rest computes in floating point.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.arrays import all_finite
from reference_impl.checked import Finite, Values, checked
from reference_impl.compress.layers import WEIGHT_LAYERS, Net, at, outside_inference_mode, replaced
from reference_impl.compress.trace import Trace, trace
from reference_impl.quantization import AffineQuantizer, IntegerGrid
from reference_impl.quantization.affine import in_steps, nearest_codes

WeightLayer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class GridState(nn.Module):
    """A module with a grid, which is in its state: that of another grid is not loaded."""

    grid: IntegerGrid

    def get_extra_state(self) -> Tensor:
        """Return the grid in numbers."""
        return torch.tensor([self.grid.bits, self.grid.signed, self.grid.narrow])

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of a module with another grid."""
        if (found := IntegerGrid(int(state[0]), *map(bool, state[1:]))) != self.grid:
            raise ValueError(f"state must be of the grid {self.grid}, got {found}")


@checked
class StoredQuantizer(GridState):
    """A quantizer in a network's state; it moves with the network and keeps its precision."""

    def __init__(self, quantizer: AffineQuantizer) -> None:  # noqa: D107 — the class says it
        super().__init__()
        self.grid = quantizer.grid
        self.scale, self.zero_point = nn.Buffer(quantizer.scale), nn.Buffer(quantizer.zero_point)

    @property
    def quantizer(self) -> AffineQuantizer:
        """Return the quantizer."""
        return AffineQuantizer(self.scale, self.zero_point, self.grid)

    def forward(self, x: Values) -> Float[Tensor, "*shape"]:
        """Return x̂, bit by bit the quantizer's round trip, which torch cannot compile."""
        codes = nearest_codes(in_steps(x.detach(), self.scale), self.zero_point, self.grid)
        return codes.sub_(self.zero_point).mul_(self.scale).to(x.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], *rest: Any) -> "StoredQuantizer":
        super()._apply(lambda x: fn(x).to(x.dtype), *rest)  # type: ignore[no-untyped-call]
        return self


@checked
class QuantizedLayer(nn.Module):
    """A weight layer on restored values: y = layer(x̂; Ŵ, b), with Ŵ, x̂ the round trips of W, x.

    The weight of its ``layer``, a copy, is Ŵ. With ``inputs`` of None x̂ is x. Both quantizers are
    in the state of the layer.
    """

    def __init__(
        self, layer: WeightLayer, weight: AffineQuantizer, inputs: AffineQuantizer | None
    ) -> None:
        """Copy the layer and round its weight."""
        super().__init__()
        self.layer = copy.deepcopy(layer)
        self.of_weight = StoredQuantizer(weight)
        self.of_input = None if inputs is None else StoredQuantizer(inputs)
        with torch.no_grad():
            self.layer.weight.copy_(weight.round_trip(layer.weight))

    @property
    def weight_quantizer(self) -> AffineQuantizer:
        """Return the quantizer of W."""
        return self.of_weight.quantizer

    @property
    def input_quantizer(self) -> AffineQuantizer | None:
        """Return the quantizer of x."""
        return None if self.of_input is None else self.of_input.quantizer

    @input_quantizer.setter
    def input_quantizer(self, quantizer: AffineQuantizer) -> None:
        self.of_input = StoredQuantizer(quantizer)

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return layer(x̂; Ŵ, b)."""
        x_hat = x if self.of_input is None else self.of_input(x)
        y: Tensor = self.layer(x_hat)
        return y


@checked
def weight_layers(network: nn.Module) -> dict[str, WeightLayer]:
    """Return path → linear or convolutional layer of a network, in the order in which they run.

    Raises:
        ValueError: if there is none, or one that cannot be followed, see `trace`.
    """
    return layers_of(trace(network))


def layers_of(traced: Trace) -> dict[str, WeightLayer]:
    """Return the weight layers of a trace, by path; refuse a network without any."""
    if not (calls := traced.calls(*WEIGHT_LAYERS)):
        raise ValueError("network must have an unquantized linear or convolutional layer, got none")
    return {path: at(traced.network, path) for path in calls}


@checked
def layer_inputs(
    network: nn.Module, images: Finite[Tensor, "n ..."]
) -> Iterator[tuple[str, Float[Tensor, "n ..."]]]:
    """Yield (path, input) of each weight layer, quantized or not, as the network runs on images.

    The input of a quantized layer is yielded as it comes, before its own round trip. A copy of the
    network runs, in evaluation mode and without gradients, on all images at once.
    """
    traced = trace(network)
    calls = traced.calls(*WEIGHT_LAYERS, QuantizedLayer)
    if not calls:
        raise ValueError("network must have a weight layer, quantized or not, got none")
    run = traced.run(copy.deepcopy(network).eval(), images)
    for node in traced.graph.nodes:
        if node.target in calls and node.op == "call_module":
            if not all_finite(x := run.source(node)):
                raise ValueError(f"{node.target!r} must read finite values, got nan or inf")
            yield node.target, x
        run.step(node)


@checked
@outside_inference_mode
def quantize_layers(
    network: Net,
    weights: Mapping[str, AffineQuantizer],
    inputs: Mapping[str, AffineQuantizer] | None = None,
) -> Net:
    """Return the network with its weight layers quantized; the network itself is left as it is.

    ``weights`` maps paths of layers to quantizers; the other layers are not quantized. ``inputs``
    does so for the inputs of the same layers; None leaves all inputs as they are.

    Raises:
        ValueError: if ``weights`` or ``inputs`` name other layers.
    """
    layers = weight_layers(network)
    if not set(weights) <= set(layers):
        raise ValueError(f"weights must name weight layers, {list(layers)}, got {list(weights)}")
    if inputs is not None and set(inputs) != set(weights):
        raise ValueError(
            f"inputs must name the layers of weights, {list(weights)}, got {list(inputs)}"
        )
    quantized = {
        path: QuantizedLayer(layers[path], quantizer, inputs[path] if inputs else None).train(
            layers[path].training
        )
        for path, quantizer in weights.items()
    }
    return replaced(network, quantized)


def channel_axis(layer: WeightLayer) -> int:
    """Return the axis of the output channels: the last of a linear layer, 1 of a convolution."""
    return -1 if isinstance(layer, nn.Linear) else 1


def zero_padding(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, name: str = "layer") -> tuple[int, ...]:
    """Return by how many zeros a convolution pads each axis; refuse any other padding."""
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ValueError(f"{name} must be padded by a number of zeros, got {layer}")
    return layer.padding
