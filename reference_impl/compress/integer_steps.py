"""The steps of a network in integers, found by following its nodes in order."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from reference_impl.compress.graph import Example, example_of
from reference_impl.compress.integer import (
    MaxPool,
    Sums,
    input_quantizer,
    integer_layer,
    pair,
    requantizer,
)
from reference_impl.compress.integer_joins import (
    Concatenation,
    Form,
    Recode,
    average,
    clip,
    form_of_codes,
    join,
    same_codes,
)
from reference_impl.compress.quantized import QuantizedLayer
from reference_impl.compress.trace import trace
from reference_impl.quantization import AffineQuantizer

Pair = tuple[int, int]
_NOTHING = ("identity", "dropout", "twoaxes")
_JOINS = ("add", "iadd", "cat")
_ORDERED = (*_NOTHING, "relu", "relu6", "maxpool2d", "flatten", "cat")
"""Operations after which a value may have the codes that it had before."""


class Step(NamedTuple):
    """One operation, the name of its result and those of the values that it reads."""

    name: str
    operation: Callable[..., Tensor]
    reads: tuple[str, ...]


class Builder:
    """Steps, and the forms of their results, by name."""

    def __init__(self, network: nn.Module, example: Example) -> None:
        """Follow the network."""
        self.traced, self.example = trace(network), example
        self.steps: list[Step] = []
        self.forms: dict[str, Form] = {}
        self.names: dict[fx.Node, str] = {}  #: the same for a value and what does nothing to it
        self.wanted = self._wanted()
        for node in self.traced.graph.nodes:
            if node not in self.names:
                self._follow(node)

    def _wanted(self) -> dict[fx.Node, AffineQuantizer]:
        """Return node → the quantizer with which its value, or what is made of it, is read."""
        wanted: dict[fx.Node, AffineQuantizer] = {}
        for node in reversed(self.traced.graph.nodes):
            readers = [u for u in node.users if isinstance(self.traced.module(u), QuantizedLayer)]
            if readers:
                wanted[node] = self._quantizer(readers[0])
            elif len(node.users) == 1 and self.traced.operation(*node.users) in _ORDERED:
                (user,) = node.users
                if user in wanted:
                    wanted[node] = wanted[user]
        return wanted

    def _quantizer(self, layer: fx.Node) -> AffineQuantizer:
        try:
            return input_quantizer(self.traced.module(layer))
        except ValueError as error:
            raise ValueError(f"layer {layer.target}: {error}") from error

    def _follow(self, node: fx.Node) -> None:
        """Add the steps of a node."""
        if len(node.users) > 1 and any(map(self.traced.in_place, node.users)):
            raise ValueError(f"network must not overwrite {self.traced.name(node)}, read by others")
        if node.op == "placeholder":
            if self.forms or node not in self.wanted:
                raise ValueError(
                    f"network must have one input, read by a quantized layer, got {node.name!r}"
                )
            self.input_quantizer, self.names[node] = self.wanted[node], self.name_of(node)
            self.forms[self.name_of(node)] = form_of_codes(self.input_quantizer)
        elif isinstance(self.traced.module(node), QuantizedLayer):
            self._layer(node)
        elif self.traced.operation(node) in _JOINS:
            self._join(node)
        elif (window := self._window(node)) is not None:
            self._average(node, *window)
        elif node.op == "output":
            self._output(node)
        else:
            self._keep(node)

    def _refusal(self, node: fx.Node) -> ValueError:
        return ValueError(
            "network must consist of quantized layers, ReLU, pooling, flattening, sums and "
            f"concatenations to have a counterpart in integers, got {self.traced.name(node)}"
        )

    def name_of(self, node: fx.Node) -> str:
        """Return the path of a layer, else a name that is no path."""
        layer = isinstance(self.traced.module(node), QuantizedLayer)
        return str(node.target) if layer else f"{node.name}()"

    def _keep(self, node: fx.Node) -> None:
        """Add a step that leaves the form as it is, or none; refuse what is none of these."""
        step: Callable[..., Tensor]
        operation, sources = self.traced.operation(node), node.all_input_nodes
        if not sources:
            raise self._refusal(node)
        source = self.names[sources[0]]
        if operation in _NOTHING:
            self.names[node] = source
            return
        if operation in ("relu", "relu6"):
            step = clip(self.forms[source], 6.0 if operation == "relu6" else None)
        elif operation == "maxpool2d":
            step = self._max_pool(node)
        elif self.traced.flattens(node):
            step = nn.Flatten()
        else:
            raise self._refusal(node)
        self.names[node] = self.name_of(node)
        self._put(self.name_of(node), step, self.forms[source], source)

    def _put(self, name: str, operation: Callable[..., Tensor], form: Form, *reads: str) -> None:
        self.steps.append(Step(name, operation, reads))
        self.forms[name] = form

    def _end(self, node: fx.Node) -> tuple[AffineQuantizer | None, bool, MaxPool | None]:
        """Return whose codes a node's sums become, with a ReLU or not, and after which pooling.

        ReLU and pooling that follow at once are part of the node's step.
        """
        target, relu, pool, last = self.wanted.get(node), False, None, node
        self.names[node] = self.name_of(node)
        while target is not None and len(last.users) == 1:
            (last,) = last.users
            operation = self.traced.operation(last)
            if operation == "maxpool2d" and pool is None:
                pool = self._max_pool(last)
            elif operation == "relu":
                relu = True
            elif operation not in _NOTHING:
                break
            self.names[last] = self.name_of(node)
        return target, relu, pool

    def _layer(self, node: fx.Node) -> None:
        name, source = self.name_of(node), self.names[node.all_input_nodes[0]]
        form, quantizer = self.forms[source], self._quantizer(node)
        if not same_codes(form.quantizer, quantizer):
            codes = Recode(form.unit, form.zero_point, output=requantizer(form.unit, quantizer))
            self._put(f"input of {name}", codes, form_of_codes(quantizer), source)
            source = f"input of {name}"
        target, relu, pool = self._end(node)
        try:
            layer = integer_layer(self.traced.module(node), target, relu=relu, pool=pool)
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}") from error
        product = layer.product
        bound = form_of_codes(quantizer).bound * product.weight.long().abs().sum(1)
        sums = Form(layer.unit, bound + product.bias.long().abs())
        self._put(name, layer, form_of_codes(target) if target else sums, source)

    def _sums(self, node: fx.Node, sums: Sums, form: Form, *reads: str) -> None:
        target, relu, pool = self._end(node)
        output = requantizer(form.unit, target, relu=relu) if target else None
        sums = replace(sums, output=output, pool=pool)
        self._put(self.name_of(node), sums, form_of_codes(target) if target else form, *reads)

    def _join(self, node: fx.Node) -> None:
        reads = [self.names[one] for one in self._branches(node)]
        forms = [self.forms[name] for name in reads]
        concatenated = self.traced.operation(node) == "cat"
        if concatenated and all(same_codes(form.quantizer, forms[0].quantizer) for form in forms):
            self.names[node] = self.name_of(node)
            self._put(self.name_of(node), Concatenation(), forms[0], *reads)
        else:
            self._sums(node, *join(forms, concatenated=concatenated), *reads)

    def _average(self, node: fx.Node, kernel: Pair, stride: Pair) -> None:
        source, flat = self.names[node.all_input_nodes[0]], self.traced.operation(node) == "mean"
        try:
            sums, form = average(self.forms[source], kernel, stride, flat=flat)
        except ValueError as error:
            raise ValueError(f"{self.traced.name(node)}: {error}") from error
        self._sums(node, sums, form, source)

    def _max_pool(self, node: fx.Node) -> MaxPool:
        module = self.traced.module(node)
        if not isinstance(module, nn.MaxPool2d) or module.return_indices:
            raise self._refusal(node)
        return MaxPool(module)

    def _branches(self, node: fx.Node) -> list[fx.Node]:
        """Return the values that are added or concatenated; refuse constants and other axes."""
        branches: Any = node.args
        plain = len(branches) == 2 and not node.kwargs
        if self.traced.operation(node) == "cat":
            branches, *axis = (*node.args, *node.kwargs.values())
            plain = axis == [1] and isinstance(branches, list | tuple)
        if not plain or not all(isinstance(one, fx.Node) for one in branches):
            raise self._refusal(node)
        return list(branches)

    def _window(self, node: fx.Node) -> tuple[Pair, Pair] | None:
        """Return kernel and stride of an average."""
        module, operation = self.traced.module(node), self.traced.operation(node)
        if isinstance(module, nn.AvgPool2d):
            if module.padding not in (0, (0, 0)) or module.ceil_mode or module.divisor_override:
                raise self._refusal(node)
            return pair(module.kernel_size), pair(module.stride)
        size: Any = 1
        if operation == "adaptiveavgpool2d":
            size = node.args[1] if module is None else module.output_size
        elif not self.traced.averages(node):
            return None
        height, width = self.shapes[node.all_input_nodes[0]][2:]
        rows, columns = pair(size)
        if height % rows or width % columns:
            raise self._refusal(node)
        return (height // rows, width // columns), (height // rows, width // columns)

    @cached_property
    def shapes(self) -> dict[fx.Node, torch.Size]:
        """Return the shapes of all values, as on the example."""
        network = self.traced.network
        dtype = next(network.parameters()).dtype
        return self.traced.shapes(example_of(network, self.example).to(dtype))

    def _output(self, node: fx.Node) -> None:
        """See that the last step makes the network's output, as sums."""
        if not isinstance(node.args[0], fx.Node):
            raise self._refusal(node)
        name = self.names[node.args[0]]
        form = self.forms[name]
        if form.quantizer is not None or self.steps[-1].name != name:
            plain = Form(form.unit, form.bound)
            self._put(self.name_of(node), Recode(form.unit, form.zero_point), plain, name)
