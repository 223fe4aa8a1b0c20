"""A whole network in integers, and the network in float64 that it equals."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor, fx, nn

from reference_impl.checked import Count, checked
from reference_impl.compress.graph import Example
from reference_impl.compress.integer import IntegerLayer, Sums, input_quantizer
from reference_impl.compress.integer_joins import Form, Join, Recode
from reference_impl.compress.integer_steps import Builder, Step, naming
from reference_impl.compress.layers import at, replaced
from reference_impl.compress.quantized import QuantizedLayer
from reference_impl.quantization import AffineQuantizer, FixedPointMultiplier, fixed_point, rescale


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Steps that turn codes into codes, and at the end into int32 logits.

    Only making codes of images is in floating point. A ReLU after a layer is part of the layer's
    clipping, not a step. A unit of a logit stands for ``logit_scale``; ``logit_multiplier`` brings
    several scales to it. Where positions are averaged, images must have the ``image_shape``.
    """

    input_quantizer: AffineQuantizer
    steps: tuple[Step, ...]
    logit_scale: float
    logit_multiplier: FixedPointMultiplier | None
    image_shape: tuple[int, ...] | None

    @property
    def layers(self) -> dict[str, IntegerLayer]:
        """Return the weight layers by name, in order."""
        return {s.name: s.operation for s in self.steps if isinstance(s.operation, IntegerLayer)}

    def quantize(self, images: Float[Tensor, "n ..."]) -> Integer[Tensor, "n ..."]:
        """Return the codes of images."""
        return self.input_quantizer.quantize(images)

    @checked
    def trace(
        self, codes: Integer[Tensor, "n ..."]
    ) -> Iterator[tuple[str, Integer[Tensor, "n ..."]]]:
        """Yield (name, input codes) of each weight layer, then ("accumulators", the last sums)."""
        if self.image_shape not in (None, got := tuple(codes.shape[1:])):
            raise ValueError(f"codes must be of images {self.image_shape}, got {got}")
        values = {self.steps[0].reads[0]: codes}
        last = {name: step for step in self.steps for name in step.reads}
        for step in self.steps:
            inputs = [values[name] for name in step.reads]
            if isinstance(step.operation, IntegerLayer):
                yield step.name, inputs[0]
            with naming(step.name):
                values[step.name] = step.operation(*inputs)
            for name in step.reads:
                if last[name] is step:
                    values.pop(name, None)
        yield "accumulators", values[self.steps[-1].name]

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
def integer_network(network: nn.Module, example: Example = None) -> IntegerNetwork:
    """Return a network of restored values as one of integers.

    The network, as `quantize_layers` returns it, has quantized layers with symmetric weights (one
    scale, or one for each output channel) and inputs of one scale. Between them it may have ReLU,
    ReLU6, pooling, flattening, sums and concatenations. Dropout and identities do nothing.

    If a layer reads a value, the value has the codes of this layer, the first if there are
    several, wherever else it is read. Branches are rescaled to a common unit before they are
    joined, see `Join`; an average is a sum in a smaller unit, see `Average`.

    The ``example``, an input, gives the positions that are averaged or flattened. Networks of the
    course do not need it, nor do those whose averages have a fixed window.

    Raises:
        ValueError: if the network has another operation, or a sum could exceed int32.

    References: Jacob et al. 2018, section 2 and appendix A.2.
    """
    built = Builder(network, example)
    unit = built.forms[built.steps[-1].name].unit
    largest = unit.max()
    return IntegerNetwork(
        input_quantizer=built.input_quantizer,
        steps=tuple(built.steps),
        logit_scale=largest.item(),
        logit_multiplier=None if unit.numel() == 1 else fixed_point(unit / largest),
        image_shape=next((tuple(shape[1:]) for shape in built.shapes.values()), None),
    )


@checked
def simulation(network: nn.Module, example: Example = None) -> fx.GraphModule:
    """Return the network of restored values, in float64, that `integer_network` equals.

    Its layers are at the same paths. It differs from ``network`` in these ways: it computes in
    float64; each bias is rounded to a multiple of s_a s_w; s_w is M s_y / s_a with the M of the
    fixed-point multiplier, a change of at most one part in 2^31; a value that a layer reads is
    rounded to this layer's codes wherever else it is read; a branch is rounded to a multiple of the
    unit in which it is joined. So both round the same numbers by the same rule.
    """
    built = Builder(network, example)
    steps = {step.name: step for step in built.steps}
    layers = {
        path: _in_float64(at(network, path), step.operation, built.forms[path])
        for path, step in steps.items()
        if isinstance(step.operation, IntegerLayer)
    }
    root, graph = replaced(network, layers).eval(), built.traced.graph
    for node in list(graph.nodes):
        name = built.name_of(node)
        for step in (steps.get(f"input of {name}"), steps.get(name)):
            if step is not None:
                _round(root, built, node, step)
    return fx.GraphModule(root, graph)


def _exact_unit(sums: Sums, form: Form) -> Tensor:
    """Return M s_y, which is the unit of the sums up to the 31 digits of M."""
    return sums.unit if sums.output is None else sums.output.multiplier.value * form.unit


def _round(root: nn.Module, built: Builder, node: fx.Node, step: Step) -> None:
    """Insert around a node of the simulation what the step in integers rounds."""
    operation, sources, result = step.operation, built.branches(node), built.forms[step.name]
    forms = [built.forms[name] for name in step.reads]
    if isinstance(operation, Recode):
        factor = _exact_unit(operation, result) / operation.unit
        _insert(root, node, sources[0], _Rounding(forms[0].quantizer, factor))
    elif isinstance(operation, Join):
        unit = _exact_unit(operation, result)
        for source, form, multiplier in zip(sources, forms, operation.multipliers, strict=True):
            rounding = _Rounding(form.quantizer, multiplier.value / form.unit, unit)
            _insert(root, node, source, rounding)
    elif built.traced.operation(node) == "relu6" and result.quantizer is None:
        for user in list(node.users):
            _insert(root, user, node, _Rounding(None, 1 / result.unit, result.unit))


def _insert(root: nn.Module, node: fx.Node, source: fx.Node, module: nn.Module) -> None:
    """Insert a module before a node, on its way from a source."""
    path = f"rounding{sum(isinstance(one, _Rounding) for one in root.modules())}"
    root.add_module(path, module)
    with node.graph.inserting_before(node):
        node.replace_input_with(source, node.graph.call_module(path, (source,)))


class _Rounding(nn.Module):
    """A value as integers have it: x̂ times a factor, or its nearest multiple of a unit."""

    def __init__(
        self, quantizer: AffineQuantizer | None, factor: Tensor, unit: Tensor | None = None
    ) -> None:
        super().__init__()
        self.quantizer, self.factor, self.unit = quantizer, factor, unit

    def forward(self, x: Tensor) -> Tensor:
        if self.quantizer is not None:
            x = self.quantizer.round_trip(x)
        per_channel = (-1, *[1] * (x.ndim - 2))  # channels are axis 1
        x = x * self.factor.view(per_channel)
        return x if self.unit is None else torch.round(x) * self.unit.view(per_channel)


def _in_float64(quantized: QuantizedLayer, integers: IntegerLayer, form: Form) -> QuantizedLayer:
    """Return the layer with Ŵ = s_w q_w, s_w = unit / s_a, and the bias unit · q_bias."""
    inputs, unit = input_quantizer(quantized), _exact_unit(integers, form)
    layer = copy.deepcopy(quantized.layer).double()
    weight_scale = (unit / inputs.scale).view(-1, *[1] * (layer.weight.ndim - 1))
    with torch.no_grad():
        layer.weight.copy_(weight_scale * quantized.weight_quantizer.quantize(layer.weight))
        if layer.bias is not None:
            layer.bias.copy_(unit * integers.product.bias)
    zeros = torch.zeros_like(weight_scale, dtype=torch.int32)
    weight = AffineQuantizer(weight_scale, zeros, quantized.weight_quantizer.grid)
    return QuantizedLayer(layer, weight, inputs)
