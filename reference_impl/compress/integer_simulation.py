"""The network in float64 that a network in integers equals, bit for bit."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from reference_impl.checked import checked
from reference_impl.compress.graph import Example
from reference_impl.compress.integer import IntegerLayer, Sums, input_quantizer
from reference_impl.compress.integer_joins import Average, Clip, Form, Join, Recode
from reference_impl.compress.integer_steps import Builder, Step
from reference_impl.compress.layers import at, replaced
from reference_impl.compress.quantized import QuantizedLayer
from reference_impl.quantization import AffineQuantizer


@checked
def simulation(network: nn.Module, example: Example = None) -> fx.GraphModule:
    """Return the network of restored values, in float64, that `integer_network` equals.

    Its layers are at the same paths. It differs from ``network`` in these ways: it computes in
    float64; each bias is rounded to a multiple of s_a s_w; s_w is M s_y / s_a with M as the
    fixed-point multiplier has it, a change of at most one part in 2^31; a value that a layer reads
    is rounded for all that read it, a branch to a multiple of the unit in which it is joined. So
    both round the same numbers by the same rule.
    """
    built = Builder(network, example)
    layers = {step.name: step.operation for step in built.steps}
    exact = {
        path: _in_float64(at(network, path), layer)
        for path, layer in layers.items()
        if isinstance(layer, IntegerLayer)
    }
    root, graph = replaced(network, exact).eval(), built.traced.graph
    steps = {step.name: step for step in built.steps}
    for node in list(graph.nodes):
        name = built.name_of(node)
        for step in (steps.get(f"input of {name}"), steps.get(name)):
            if step is not None and not isinstance(step.operation, IntegerLayer):
                _round(node, step, built.forms, root)
    return fx.GraphModule(root, graph)


def _round(node: fx.Node, step: Step, forms: Mapping[str, Form], root: nn.Module) -> None:
    """Insert around a node of the simulation what the step in integers rounds."""
    operation, before = step.operation, [forms[name] for name in step.reads]
    drift = torch.ones(1)
    if isinstance(operation, Sums) and operation.output is not None:  # M has 31 digits
        target = forms[step.name].unit
        drift = operation.output.multiplier.value * target / operation.unit
    if isinstance(operation, Join):
        for source, form, multiplier in zip(
            _sources(node), before, operation.multipliers, strict=True
        ):
            factor = multiplier.value * operation.unit / form.unit
            _insert(root, node, source, _Rounding(form.quantizer, factor, operation.unit))
    elif isinstance(operation, Recode):
        source = node.all_input_nodes[0]
        _insert(root, node, source, _Rounding(before[0].quantizer, drift))
        return
    elif isinstance(operation, Average):
        _insert(root, node, node.all_input_nodes[0], _Rounding(before[0].quantizer))
    elif isinstance(operation, Clip) and before[0].quantizer is None:
        _insert(root, node, None, _Rounding(unit=before[0].unit))
    if isinstance(operation, Sums):
        _insert(root, node, None, _Rounding(factor=drift))


def _sources(node: fx.Node) -> list[fx.Node]:
    """Return the values that a node joins."""
    branches: Any = node.args if isinstance(node.args[0], fx.Node) else node.args[0]
    return list(branches)


def _insert(root: nn.Module, node: fx.Node, source: fx.Node | None, module: nn.Module) -> None:
    """Insert a module before a node, on its way from a source, or after it if that is None."""
    path = f"rounding{sum(isinstance(one, _Rounding) for one in root.modules())}"
    root.add_module(path, module)
    if source is not None:
        with node.graph.inserting_before(node):
            node.replace_input_with(source, node.graph.call_module(path, (source,)))
        return
    with node.graph.inserting_after(node):
        after = node.graph.call_module(path, (node,))
    node.replace_all_uses_with(after, lambda user: user is not after)


class _Rounding(nn.Module):
    """A value as integers have it: on a grid, times a factor, a multiple of a unit."""

    def __init__(
        self,
        quantizer: AffineQuantizer | None = None,
        factor: Tensor | None = None,
        unit: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.quantizer, self.factor, self.unit = quantizer, factor, unit

    def forward(self, x: Tensor) -> Tensor:
        if self.quantizer is not None:
            q = self.quantizer
            x = AffineQuantizer(q.scale.double(), q.zero_point, q.grid).round_trip(x)
        shape = (-1, *[1] * (x.ndim - 2))  # channels are axis 1
        if self.factor is not None:
            x = x * self.factor.view(shape)
        if self.unit is not None:
            x = torch.round(x / self.unit.view(shape)) * self.unit.view(shape)
        return x


def _in_float64(quantized: QuantizedLayer, integers: IntegerLayer) -> QuantizedLayer:
    """Return the layer with Ŵ = s_w q_w, s_w = unit / s_a, and the bias unit · q_bias."""
    inputs = input_quantizer(quantized)
    input_scale = inputs.scale.double()
    layer = copy.deepcopy(quantized.layer).double()
    per_channel = (-1,) + (1,) * (layer.weight.ndim - 1)
    weight_scale = (integers.unit / input_scale.flatten()).view(per_channel)
    with torch.no_grad():
        layer.weight.copy_(weight_scale * quantized.weight_quantizer.quantize(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(integers.unit * integers.product.bias)
    zeros = torch.zeros_like(weight_scale, dtype=torch.int32)
    return QuantizedLayer(
        layer,
        AffineQuantizer(weight_scale, zeros, quantized.weight_quantizer.grid),
        AffineQuantizer(input_scale, inputs.zero_point, inputs.grid),
    )
