"""A whole network in integers, from the codes of its input to its logits."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int, require_integer_tensor
from reference_impl.compress.integer import Flatten, IntegerLayer, MaxPool, integer_layer
from reference_impl.compress.quantized import QuantizedLayer, places
from reference_impl.quantization import AffineQuantizer, FixedPointMultiplier, fixed_point, rescale

Step = Callable[[Tensor], Tensor]
PASSING = (nn.ReLU, nn.Identity, nn.Dropout)
"""Modules without a step of their own: ReLUs are clips, the others do nothing."""


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Layers that turn codes into codes, and at the end into int32 logits.

    Args:
        input_quantizer: makes codes of images; the only floating-point computation.
        steps: name → layer, in order; ReLUs have none, they are part of the clipping.
        logit_scale: the real number that one unit of a logit stands for.
        logit_multiplier: brings accumulators of several scales to that one; None if they have it.
    """

    input_quantizer: AffineQuantizer
    steps: tuple[tuple[str, Step], ...]
    logit_scale: float
    logit_multiplier: FixedPointMultiplier | None

    @property
    def layers(self) -> dict[str, IntegerLayer]:
        """Return the weight layers by name, in order."""
        return {name: step for name, step in self.steps if isinstance(step, IntegerLayer)}

    def quantize(self, images: Float[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return the codes of images.

        Raises:
            TypeError: if ``images`` is no floating-point tensor.
            ValueError: if it is empty or not finite.
        """
        return self.input_quantizer.quantize(images)

    def trace(
        self, codes: Integer[Tensor, "n ..."]
    ) -> Iterator[tuple[str, Integer[Tensor, "n ..."]]]:
        """Yield (name, input codes) of each weight layer, then ("accumulators", the last sums).

        Raises:
            TypeError: if ``codes`` are not of the input grid's dtype.
            ValueError: if their shape does not fit, or one lies outside the grid.
        """
        require_integer_tensor("codes", codes)
        for name, step in self.steps:
            if isinstance(step, IntegerLayer):
                yield name, codes
            codes = step(codes)
        yield "accumulators", codes

    def logits(
        self, codes: Integer[Tensor, "n ..."], *, batch_size: int = 100
    ) -> Int32[Tensor, "n classes"]:
        """Return the logits in units of ``logit_scale``.

        Args:
            codes: of any number of images; ``batch_size`` of them pass at a time.
            batch_size: bounds the memory.

        Raises:
            TypeError, ValueError: as `trace`, or if ``batch_size`` is no positive integer.
        """
        require_int("batch_size", batch_size, 1)
        require_integer_tensor("codes", codes)
        sums = torch.cat([self._accumulators(part) for part in codes.split(batch_size)])
        if self.logit_multiplier is None:
            return sums
        logits = rescale(sums.movedim(1, -1), self.logit_multiplier).movedim(-1, 1)
        return logits.to(torch.int32)  # no M is above 1

    def _accumulators(self, codes: Tensor) -> Tensor:
        *_, (_, sums) = self.trace(codes)
        return sums


def integer_network(chain: nn.Sequential) -> IntegerNetwork:
    """Return a network of restored values as one of integers.

    Args:
        chain: as `quantize_layers` returns it: quantized layers with symmetric weights (one
            scale, or one for each output channel) and inputs of one scale, and between them
            ReLU, max-pooling and flattening. Dropout and identities do nothing.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``.
        ValueError: if it has another layer, or one that is not quantized, a quantizer that
            cannot be used in integers, or one whose accumulators could exceed int32.

    References:
        Jacob et al. 2018, section 2.
    """
    layers = _quantized_layers(chain)
    following = dict(zip(layers, [*list(layers.values())[1:], None], strict=True))
    relus = _followed_by_relu(chain, list(layers))
    pools = _pools_behind(chain)
    steps: list[tuple[str, Step]] = []
    for name, module in places(chain):
        if isinstance(module, QuantizedLayer):
            pool = MaxPool(pools[name][1]) if name in pools else None
            relu = name in relus
            step = integer_layer(name, module, following[name], relu=relu, pool=pool)
            steps.append((name, step))
        elif isinstance(module, nn.MaxPool2d) and name not in {at for at, _ in pools.values()}:
            steps.append((name, MaxPool(module)))
        elif isinstance(module, nn.Flatten):
            steps.append((name, Flatten()))
    last = steps[-1][1]
    if not isinstance(last, IntegerLayer):
        raise ValueError(f"chain must end with a quantized layer, got {steps[-1][0]} after it")
    first = next(iter(layers.values())).input_quantizer
    require_instance("input_quantizer", first, AffineQuantizer)
    largest = last.unit.max()
    one_scale = bool((last.unit == largest).all())
    return IntegerNetwork(
        input_quantizer=cast(AffineQuantizer, first),
        steps=tuple(steps),
        logit_scale=largest.item(),
        logit_multiplier=None if one_scale else fixed_point(last.unit / largest),
    )


def simulation(chain: nn.Sequential) -> nn.Sequential:
    """Return the network of restored values, in float64, that `integer_network` equals.

    It differs from ``chain`` in three ways: it computes in float64; each bias is rounded to a
    multiple of s_a s_w; and s_w is M s_y / s_a with M as the fixed-point multiplier has it, a
    change of at most one part in 2^31. So both round the same numbers by the same rule.

    Args:
        chain: as for `integer_network`.

    Raises:
        TypeError, ValueError: as `integer_network`.
    """
    layers = integer_network(chain).layers
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in places(chain):
        if isinstance(module, QuantizedLayer):
            parts[name] = _in_float64(module, layers[name])
        else:
            parts[name] = copy.deepcopy(module)
    return nn.Sequential(parts).eval()


def _in_float64(quantized: QuantizedLayer, integers: IntegerLayer) -> QuantizedLayer:
    """Return the layer with Ŵ = s_w q_w, s_w = unit / s_a, and the bias unit · q_bias."""
    inputs = cast(AffineQuantizer, quantized.input_quantizer)
    input_scale = inputs.scale.double()
    layer = copy.deepcopy(quantized.layer).double()
    per_channel = (-1,) + (1,) * (layer.weight.ndim - 1)
    weight_scale = (integers.unit / input_scale.flatten()).view(per_channel)
    with torch.no_grad():
        codes = integers.product.weight.view_as(layer.weight.movedim(1, -1)).movedim(-1, 1)
        layer.weight.copy_(weight_scale * codes)
        if layer.bias is not None:
            layer.bias.copy_(integers.unit * integers.product.bias)
    zeros = torch.zeros_like(weight_scale, dtype=torch.int32)
    return QuantizedLayer(
        layer,
        AffineQuantizer(weight_scale, zeros, quantized.weight_quantizer.grid),
        AffineQuantizer(input_scale, inputs.zero_point, inputs.grid),
    )


def _quantized_layers(chain: nn.Sequential) -> dict[str, QuantizedLayer]:
    """Return the quantized layers by name, in order; refuse what integers cannot do."""
    require_instance("chain", chain, nn.Sequential)
    for name, module in places(chain):
        whole = isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)
        pool = isinstance(module, nn.MaxPool2d) and not module.return_indices
        if not (whole or pool or isinstance(module, (QuantizedLayer, *PASSING))):
            raise ValueError(
                "chain must consist of quantized layers, ReLU, max-pooling and flattening to "
                f"have a counterpart in integers, got {name}: {module}"
            )
    layers = {n: m for n, m in places(chain) if isinstance(m, QuantizedLayer)}
    if not layers:
        raise ValueError("chain must have a quantized layer, got none")
    return layers


def _followed_by_relu(chain: nn.Sequential, layers: list[str]) -> set[str]:
    """Return which quantized layers have a ReLU between them and the next one."""
    found, current = set(), None
    for name, module in places(chain):
        current = name if name in layers else current
        if isinstance(module, nn.ReLU):
            if current in (None, layers[-1]):
                raise ValueError(f"chain must have a quantized layer on both sides of {name}")
            found.add(current)
    return {name for name in found if name is not None}


def _pools_behind(chain: nn.Sequential) -> dict[str, tuple[str, nn.MaxPool2d]]:
    """Return the max-pooling that comes right after each quantized layer, ReLU aside."""
    found: dict[str, tuple[str, nn.MaxPool2d]] = {}
    current = None
    for name, module in places(chain):
        if isinstance(module, QuantizedLayer):
            current = name
        elif isinstance(module, nn.MaxPool2d) and current is not None:
            found[current] = (name, module)
            current = None
        elif not isinstance(module, PASSING):
            current = None
    return found
