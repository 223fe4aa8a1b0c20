"""Networks whose layers compute with restored values: the simulation of a quantized network.

A network is given as a chain, see `models.base.Network.chain`. Its weight layers, the linear and
convolutional ones, are those that are quantized: the weight once, the input each time
the layer is called. Everything between two weight layers computes in floating point. A chain with
a weight layer inside another of its modules is refused: no walk over the chain would reach it.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance
from reference_impl.quantization import AffineQuantizer

WeightLayer = nn.Linear | nn.Conv2d
WEIGHT_LAYERS = (nn.Linear, nn.Conv2d)


class QuantizedLayer(nn.Module):
    """A weight layer on restored values: y = layer(x̂; Ŵ, b), with Ŵ, x̂ the round trips of W, x.

    Args:
        layer: the layer with W; it is copied, not changed.
        weight: quantizer of W.
        inputs: quantizer of x; None leaves x as it is.

    Attributes:
        layer: the copy, whose weight is Ŵ.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``weight`` cannot quantize W, for example because its scale's shape does
            not broadcast to that of W.
    """

    def __init__(
        self, layer: WeightLayer, weight: AffineQuantizer, inputs: AffineQuantizer | None
    ) -> None:
        """Copy the layer and round its weight."""
        super().__init__()
        require_instance("layer", layer, WEIGHT_LAYERS)
        require_instance("weight", weight, AffineQuantizer)
        if inputs is not None:
            require_instance("inputs", inputs, AffineQuantizer)
        self.layer = copy.deepcopy(layer)
        try:
            restored = weight.round_trip(layer.weight.detach())
        except ValueError as error:
            raise ValueError(
                f"weight must be a quantizer of the layer's weight: {error}"
            ) from error
        with torch.no_grad():
            self.layer.weight.copy_(restored)
        self.weight_quantizer = weight
        self.input_quantizer = inputs

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return layer(x̂; Ŵ, b)."""
        x_hat = x if self.input_quantizer is None else self.input_quantizer.round_trip(x)
        y: Tensor = self.layer(x_hat)
        return y


OBSERVED = (*WEIGHT_LAYERS, QuantizedLayer)


def weight_layers(chain: nn.Sequential) -> dict[str, WeightLayer]:
    """Return the linear and convolutional layers of a chain by name, in order.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
        ValueError: if it has no such layer, or one inside another of its modules.
    """
    require_instance("chain", chain, nn.Sequential)
    _require_flat(chain)
    layers = {name: module for name, module in places(chain) if isinstance(module, WEIGHT_LAYERS)}
    if not layers:
        raise ValueError("chain must have a linear or convolutional layer, got none")
    return layers


def layer_inputs(
    chain: nn.Sequential, images: Float[Tensor, "n 1 28 28"]
) -> Iterator[tuple[str, Float[Tensor, "n ..."]]]:
    """Yield (name, input) of each weight layer, quantized or not, as the chain runs on the images.

    The input of a quantized layer is yielded as it comes, before its own round trip.

    A copy of the chain runs, in evaluation mode and without gradients, on all images at once.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential`` or ``images`` no floating-point tensor.
        ValueError: if ``images`` is empty or not finite, or the chain has no weight layer, or one
            inside another of its modules.
    """
    require_instance("chain", chain, nn.Sequential)
    _require_flat(chain)
    if not any(isinstance(module, OBSERVED) for module in chain):
        raise ValueError("chain must have a weight layer, quantized or not, got none")
    require_float_tensor("images", images)
    x = images.detach().clone()  # a ReLU in place would change the caller's images
    for name, module in places(copy.deepcopy(chain).eval()):
        if isinstance(module, OBSERVED):
            yield name, x
        with torch.no_grad():  # around yield it would hold for the caller's code too
            x = module(x)


def quantize_layers(
    chain: nn.Sequential,
    weights: Mapping[str, AffineQuantizer],
    inputs: Mapping[str, AffineQuantizer] | None = None,
) -> nn.Sequential:
    """Return the chain with its weight layers quantized; the chain itself is left as it is.

    Args:
        chain: the network.
        weights: name of a layer → quantizer of its weight. Layers without one stay as they are.
        inputs: name of a layer → quantizer of its input; None leaves all inputs as they are.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `weight_layers`; if ``weights`` or ``inputs`` names a layer that the chain
            has not, if ``inputs`` has a layer that ``weights`` has not, or if the input range of
            a layer in ``weights`` was never observed: ``inputs`` is given and has no quantizer
            for it.
    """
    names = weight_layers(chain)
    require_instance("weights", weights, Mapping)
    _require_names("weights", weights, set(names), "the chain's weight layers")
    if inputs is not None:
        require_instance("inputs", inputs, Mapping)
        _require_names("inputs", inputs, set(weights), "those of weights")
        missing = [name for name in weights if name not in inputs]
        if missing:
            raise ValueError(
                f"inputs must have a quantizer for each layer of weights, got none for {missing}: "
                "the range of its input was never observed"
            )
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in places(unshared(chain)):
        if name in weights and isinstance(module, WEIGHT_LAYERS):
            observed = None if inputs is None else inputs[name]
            parts[name] = QuantizedLayer(module, weights[name], observed)
            parts[name].training = module.training
        else:
            parts[name] = module
    quantized = nn.Sequential(parts)
    quantized.training = chain.training
    return quantized


def places(chain: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Return name and module of each place of the chain; one module may have several places."""
    modules = chain.named_modules(remove_duplicate=False)
    return [(name, module) for name, module in modules if name and "." not in name]


def unshared(chain: nn.Sequential) -> nn.Sequential:
    """Return a copy in which each place has a module of its own, so that each can be changed."""
    parts = OrderedDict((name, copy.deepcopy(module)) for name, module in places(chain))
    result = nn.Sequential(parts)
    result.training = chain.training  # each copy keeps its own mode
    return result


def _require_flat(chain: nn.Sequential) -> None:
    """Refuse weight layers inside a module, unless it is one that quantizes the layer it holds."""
    nested = [
        f"{name}.{inner}"
        for name, module in places(chain)
        if not hasattr(module, "weight_quantizer")
        for inner, part in module.named_modules()
        if inner and isinstance(part, WEIGHT_LAYERS)
    ]
    if nested:
        raise ValueError(
            f"chain must have each weight layer as a module of its own, got {nested} "
            "inside others, where they would not be quantized"
        )


def _require_names(
    argument: str, given: Mapping[str, AffineQuantizer], known: set[str], which: str
) -> None:
    unknown = sorted(set(given) - known, key=str)
    if unknown:
        raise ValueError(f"{argument} must name {which}, {sorted(known)}, got {unknown}")
