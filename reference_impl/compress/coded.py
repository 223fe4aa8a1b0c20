"""Networks whose weights are integers while they learn: for files that an arithmetic coder writes.

`coded` gives each weight layer of a network integers in place of weights, and a BatchNorm to learn
with; later `settle` folds the BatchNorm into steps and biases that are rounded too, and `plain`
makes an ordinary network of it, whose parameters are integers times steps.
"""

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from reference_impl.checked import Scalar, checked
from reference_impl.coding import from_integers, price, price_by_density, rate
from reference_impl.compress.layers import Net, outside_inference_mode, replaced
from reference_impl.compress.quantized import WeightLayer, weight_layers
from reference_impl.quantization import round_straight_through

STANDARD_DEVIATION = 1.2
"""Of a layer's integers at the beginning."""
QUARTERS = 4  #: a step has an exponent in quarters of an octave
EIGHTHS = -12  #: the exponent of the steps of biases: 2^(−12/4)
BY_DENSITY = 5000
"""From so many weights on the rate of a layer takes rows and columns into account."""


class CodedLayer(nn.Module):
    """A linear or convolutional layer with integers q = round(u) as weights.

    First y = BatchNorm(layer(x; q)), with |γ|; after `settle` y = 2^(exponent/4) layer(x; q) +
    β/8, with an exponent and a bias β for each output, both rounded like u. An output without
    weights is 0.
    """

    def __init__(self, layer: WeightLayer) -> None:
        """Begin with the layer's weights, at another scale, and without its bias."""
        super().__init__()
        self.layer = copy.deepcopy(layer)
        self.layer.bias = None
        weight = self.layer.weight.detach()
        self.layer.weight = nn.Parameter(weight * (STANDARD_DEVIATION / weight.std()))
        self.settled = False
        n = len(weight)
        zeros, ones = weight.new_zeros(n), weight.new_ones(n)  # of its type, on its device
        self.scale, self.shift = nn.Parameter(ones), nn.Parameter(zeros)
        self.mean, self.variance = nn.Buffer(zeros.clone()), nn.Buffer(ones.clone())

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return y."""
        if x.ndim != self.layer.weight.ndim:  # else the channels would be those of another axis
            raise ValueError(f"x must have {self.layer.weight.ndim} axes, got {tuple(x.shape)}")
        weight = round_straight_through(self.layer.weight)
        y: Tensor = functional_call(self.layer, {"weight": weight}, (x,))
        if not self.settled:
            norm = self.scale.abs(), self.shift
            return F.batch_norm(y, self.mean, self.variance, *norm, self.training, momentum=0.05)
        return y * self._over(self._step().to(y.dtype), y) + self._over(self._bias().to(y.dtype), y)

    def settle(self) -> None:
        """Fold the BatchNorm: from now on scale and shift are e and b."""
        step = self.scale.detach().abs() / (self.variance + 1e-5).sqrt()
        shift = (self.shift.detach() - step * self.mean) * 8
        self.scale = nn.Parameter(QUARTERS * step.clamp(min=1e-4).log2())
        self.shift, self.settled = nn.Parameter(shift), True

    def integers(self) -> Iterator[Tensor]:
        """Yield what the file will hold: u, and after `settle` e and b of outputs with weights."""
        yield self.layer.weight
        if self.settled:
            exponents = self.scale[self._alive()]
            yield exponents - exponents.detach().round().median()
            yield self.shift[self._alive()]

    def plain(self) -> WeightLayer:
        """Return the settled layer with ordinary parameters."""
        layer = copy.deepcopy(self.layer)
        with torch.no_grad():
            q = self.layer.weight.round().long()
            exponents = self.scale.round().long()
            layer.weight.copy_(from_integers(q.flatten(1), exponents).view(q.shape))
            layer.bias = nn.Parameter(self._bias())
        return layer

    def _alive(self) -> Tensor:
        return (self.layer.weight.detach().round() != 0).flatten(1).any(1)

    def _step(self) -> Tensor:
        return torch.exp2(round_straight_through(self.scale) / QUARTERS)

    def _bias(self) -> Tensor:
        return round_straight_through(self.shift) * self._alive() / 8

    @staticmethod
    def _over(channels: Tensor, y: Tensor) -> Tensor:
        return channels.view(-1, *[1] * (y.ndim - 2))


@checked
@outside_inference_mode
def coded(network: Net) -> Net:
    """Return a copy of the network, each weight layer of which is a `CodedLayer`."""
    layers = weight_layers(network)
    if same := [path for path, layer in layers.items() if len(layer.weight.unique()) < 2]:
        raise ValueError(f"network must have weights that differ, got one number in {same[:3]}")
    return replaced(network, {path: CodedLayer(layer) for path, layer in layers.items()})


@checked
@outside_inference_mode
def settle(network: nn.Module) -> None:
    """Fold the BatchNorm of each `CodedLayer`, in place."""
    for layer in _coded_layers(network, settled=False).values():
        layer.settle()


@checked
@outside_inference_mode
def plain(network: Net) -> Net:
    """Return a copy with ordinary layers, which `write_arithmetic` can write."""
    layers = _coded_layers(network, settled=True)
    return replaced(network, {path: layer.plain() for path, layer in layers.items()})


@checked
def network_rate(network: nn.Module) -> Scalar:
    """Return the bits that all integers of a network will take, with the price of each tensor.

    Its gradient takes the prices as constants. Large layers pay by density.
    """
    bits = []
    for layer in _coded_layers(network).values():
        for u in filter(len, layer.integers()):  # a layer may have no output left
            q = u.detach().round().long()
            by_density = u.ndim > 1 and u.numel() >= BY_DENSITY
            found = price_by_density(q.flatten(1)) if by_density else price(q)
            bits.append(rate(u.flatten(1) if by_density else u, found))
    return torch.stack(bits).sum()


def _coded_layers(network: nn.Module, *, settled: bool | None = None) -> dict[str, CodedLayer]:
    found = {p: layer for p, layer in network.named_modules() if isinstance(layer, CodedLayer)}
    if not found:
        raise ValueError("network must have coded layers, got none: see `coded`")
    if wrong := [p for p, layer in found.items() if settled not in (None, layer.settled)]:
        said = "must" if settled else "must not yet"
        raise ValueError(f"network {said} be settled, got {wrong[:3]}: see `settle`")
    return found
