"""Networks whose layers compute with restored values: the simulation of a quantized network.

A network is given as a chain, see `models.base.Network.chain`. Its weight layers, the linear and
convolutional ones, are those that are quantized: the weight once, the input each time the layer is
called. Everything between two weight layers computes in floating point.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Finite, checked
from reference_impl.quantization import AffineQuantizer

WeightLayer = nn.Linear | nn.Conv2d
WEIGHT_LAYERS = (nn.Linear, nn.Conv2d)


@checked
class QuantizedLayer(nn.Module):
    """A weight layer on restored values: y = layer(x̂; Ŵ, b), with Ŵ, x̂ the round trips of W, x.

    The weight of its ``layer``, a copy, is Ŵ. With ``inputs`` of None x̂ is x.
    """

    def __init__(
        self, layer: WeightLayer, weight: AffineQuantizer, inputs: AffineQuantizer | None
    ) -> None:
        """Copy the layer and round its weight."""
        super().__init__()
        self.layer = copy.deepcopy(layer)
        self.weight_quantizer, self.input_quantizer = weight, inputs
        with torch.no_grad():
            self.layer.weight.copy_(weight.round_trip(layer.weight))

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return layer(x̂; Ŵ, b)."""
        x_hat = x if self.input_quantizer is None else self.input_quantizer.round_trip(x)
        y: Tensor = self.layer(x_hat)
        return y


OBSERVED = (*WEIGHT_LAYERS, QuantizedLayer)


@checked
def weight_layers(chain: nn.Sequential) -> dict[str, WeightLayer]:
    """Return the linear and convolutional layers of a chain by name, in order.

    Raises:
        ValueError: if it has no such layer, or one inside another of its modules.
    """
    refuse_nested(chain, WEIGHT_LAYERS)
    layers = {name: module for name, module in places(chain) if isinstance(module, WEIGHT_LAYERS)}
    if not layers:
        raise ValueError("chain must have a linear or convolutional layer, got none")
    return layers


@checked
def layer_inputs(
    chain: nn.Sequential, images: Finite[Tensor, "n ..."]
) -> Iterator[tuple[str, Float[Tensor, "n ..."]]]:
    """Yield (name, input) of each weight layer, quantized or not, as the chain runs on the images.

    The input of a quantized layer is yielded as it comes, before its own round trip. A copy of
    the chain runs, in evaluation mode and without gradients, on all images at once.
    """
    refuse_nested(chain, WEIGHT_LAYERS)
    if not any(isinstance(module, OBSERVED) for module in chain):
        raise ValueError("chain must have a weight layer, quantized or not, got none")
    x = images.detach().clone()  # a ReLU in place would change the caller's images
    for name, module in places(copy.deepcopy(chain).eval()):
        if isinstance(module, OBSERVED):
            yield name, x
        with torch.no_grad():  # around yield it would hold for the caller's code too
            x = module(x)


@checked
def quantize_layers(
    chain: nn.Sequential,
    weights: Mapping[str, AffineQuantizer],
    inputs: Mapping[str, AffineQuantizer] | None = None,
) -> nn.Sequential:
    """Return the chain with its weight layers quantized; the chain itself is left as it is.

    ``weights`` maps names of layers to quantizers; the other layers are not quantized. ``inputs``
    does so for the inputs of the same layers; None leaves all inputs as they are.

    Raises:
        ValueError: if ``weights`` or ``inputs`` name other layers.
    """
    names = list(weight_layers(chain))
    if not set(weights) <= set(names):
        raise ValueError(f"weights must name weight layers of chain, {names}, got {list(weights)}")
    if inputs is not None and set(inputs) != set(weights):
        raise ValueError(
            f"inputs must name the layers of weights, {list(weights)}, got {list(inputs)}"
        )
    result = unshared(chain)
    for name, layer in weight_layers(result).items():
        if name in weights:
            quantized = QuantizedLayer(layer, weights[name], inputs[name] if inputs else None)
            setattr(result, name, quantized.train(layer.training))
    return result


def places(chain: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Return name and module of each place of the chain; one module may have several places."""
    modules = chain.named_modules(remove_duplicate=False)
    return [(name, module) for name, module in modules if name and "." not in name]


def unshared(chain: nn.Sequential) -> nn.Sequential:
    """Return a copy in which each place has a module of its own, so that each can be changed."""
    result = nn.Sequential(OrderedDict((n, copy.deepcopy(module)) for n, module in places(chain)))
    result.training = chain.training  # each copy keeps its own mode
    return result


def refuse_nested(chain: nn.Sequential, kinds: tuple[type[nn.Module], ...]) -> None:
    """Refuse a module of these kinds inside another, where no walk over the chain reaches it."""
    nested = [
        f"{name}.{inner}"
        for name, module in places(chain)
        if not hasattr(module, "weight_quantizer")  # it quantizes the layer that it holds
        for inner, part in module.named_modules()
        if inner and isinstance(part, kinds)
    ]
    if nested:
        what = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"chain must have each {what} as a module of its own, got {nested} inside others"
        )


def zero_padding(layer: nn.Conv2d) -> tuple[int, ...]:
    """Return by how many zeros a convolution pads each axis; refuse any other padding."""
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ValueError(f"layer must be padded by a number of zeros, got {layer}")
    return layer.padding
