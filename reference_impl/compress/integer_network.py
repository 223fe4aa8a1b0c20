"""A whole network in integers, from the codes of its input to its logits."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor, nn

from reference_impl.checked import Count, checked
from reference_impl.compress.integer import IntegerLayer, MaxPool, input_quantizer, integer_layer
from reference_impl.compress.layers import Net, TwoAxes, at, replaced
from reference_impl.compress.quantized import QuantizedLayer
from reference_impl.compress.trace import trace
from reference_impl.quantization import AffineQuantizer, FixedPointMultiplier, fixed_point, rescale

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Layers that turn codes into codes, and at the end into int32 logits.

    Only making codes of images is in floating point. ReLUs are part of the clipping, not steps. A
    unit of a logit stands for ``logit_scale``; ``logit_multiplier`` brings several scales to it.
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
        """Return the codes of images."""
        return self.input_quantizer.quantize(images)

    @checked
    def trace(
        self, codes: Integer[Tensor, "n ..."]
    ) -> Iterator[tuple[str, Integer[Tensor, "n ..."]]]:
        """Yield (name, input codes) of each weight layer, then ("accumulators", the last sums)."""
        for name, step in self.steps:
            if isinstance(step, IntegerLayer):
                yield name, codes
            codes = step(codes)
        yield "accumulators", codes

    @checked
    def logits(
        self, codes: Integer[Tensor, "n ..."], *, batch_size: Count = 100
    ) -> Int32[Tensor, "n classes"]:
        """Return the logits in units of ``logit_scale``; ``batch_size`` images pass at a time."""
        sums = torch.cat(
            [dict(self.trace(part))["accumulators"] for part in codes.split(batch_size)]
        )
        if self.logit_multiplier is None:
            return sums
        logits = rescale(sums.movedim(1, -1), self.logit_multiplier).movedim(-1, 1)
        return logits.to(torch.int32)  # no M is above 1


@checked
def integer_network(chain: nn.Module) -> IntegerNetwork:
    """Return a network of restored values as one of integers.

    The chain, as `quantize_layers` returns it, has quantized layers with symmetric weights (one
    scale, or one for each output channel) and inputs of one scale, and between them ReLU,
    max-pooling and flattening. Dropout and identities do nothing.

    Raises:
        ValueError: if something else stands there, or an accumulator could exceed int32.

    References: Jacob et al. 2018, section 2.
    """
    steps: list[tuple[str, Step]] = []
    following, relu = None, False
    for name, module in reversed(_in_order(chain)):  # a layer needs what follows it
        if isinstance(module, QuantizedLayer):
            after = steps[-1][1] if steps else None
            pool = after if isinstance(after, MaxPool) else None
            steps = steps if pool is None else steps[:-1]
            try:
                steps.append((name, integer_layer(module, following, relu=relu, pool=pool)))
            except ValueError as error:
                raise ValueError(f"layer {name}: {error}") from error
            following, relu = module, False
        else:
            relu = relu or isinstance(module, nn.ReLU)
            steps += _plain_step(name, module)
    if following is None or relu:
        raise ValueError(f"chain must have a quantized layer, before any ReLU, got {chain}")
    name, last = steps[0]
    if not isinstance(last, IntegerLayer):
        raise ValueError(f"chain must end with a quantized layer, got {name} after it")
    largest = last.unit.max()
    one_scale = bool((last.unit == largest).all())
    return IntegerNetwork(
        input_quantizer=input_quantizer(following),
        steps=tuple(reversed(steps)),
        logit_scale=largest.item(),
        logit_multiplier=None if one_scale else fixed_point(last.unit / largest),
    )


@checked
def simulation(chain: Net) -> Net:
    """Return the network of restored values, in float64, that `integer_network` equals.

    It differs from ``chain`` in three ways: it computes in float64; each bias is rounded to a
    multiple of s_a s_w; and s_w is M s_y / s_a with M as the fixed-point multiplier has it, a
    change of at most one part in 2^31. So both round the same numbers by the same rule.
    """
    layers = integer_network(chain).layers
    exact = {path: _in_float64(at(chain, path), layer) for path, layer in layers.items()}
    return replaced(chain, exact).eval()


def _in_order(chain: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return path and module of each call, in order; refuse what is more than a row of modules."""
    traced = trace(chain)
    before = None
    found: list[tuple[str, nn.Module]] = []
    for node in traced.graph.nodes:
        if node.op == "call_module" and node.args == (before,):
            found.append((str(node.target), traced.module(node)))
        elif node.op not in ("placeholder", "output"):
            raise ValueError(
                "chain must call one module after another to have a counterpart in integers, got "
                f"{traced.name(node)}"
            )
        before = node
    return found


def _in_float64(quantized: QuantizedLayer, integers: IntegerLayer) -> QuantizedLayer:
    """Return the layer with Ŵ = s_w q_w, s_w = unit / s_a, and the bias unit · q_bias."""
    inputs = input_quantizer(quantized)
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


def _plain_step(name: str, module: nn.Module) -> list[tuple[str, Step]]:
    """Return pooling or flattening as a step, nothing for what needs none; refuse the rest."""
    if isinstance(module, nn.ReLU | nn.Identity | nn.Dropout | TwoAxes):
        return []  # ReLUs are clips, the others do nothing
    if isinstance(module, nn.MaxPool2d) and not module.return_indices:
        return [(name, MaxPool(module))]
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return [(name, module)]
    raise ValueError(
        "chain must consist of quantized layers, ReLU, max-pooling and flattening to have a "
        f"counterpart in integers, got {name}: {module}"
    )
