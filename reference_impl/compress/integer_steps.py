"""The steps of a network in integers, found by following its nodes in order."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Size, Tensor, fx, nn

from reference_impl.compress.graph import Example, example_of
from reference_impl.compress.integer import MaxPool, Sums, input_quantizer, integer_layer, pair
from reference_impl.compress.integer_joins import (
    Form,
    Recode,
    average,
    clip,
    concatenation,
    form_of_codes,
    join,
    requantizer,
)
from reference_impl.compress.layers import at
from reference_impl.compress.quantized import QuantizedLayer
from reference_impl.compress.trace import trace
from reference_impl.quantization import AffineQuantizer

_NOTHING = ("identity", "dropout", "twoaxes")
_JOINS = ("add", "iadd", "cat")
_CLIPS = {"relu": math.inf, "relu6": 6.0}
_ORDERED = (*_NOTHING, *_CLIPS, "maxpool2d", "flatten", "cat")
"""Operations after which a value may have the codes that it had before."""


class Step(NamedTuple):
    """One operation, the name of its result and those of the values that it reads."""

    name: str
    operation: Callable[..., Tensor]
    reads: tuple[str, ...]


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Begin the text of a ValueError with the name of what it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


class Builder:
    """Follows a traced network, and makes steps and the forms of their results."""

    def __init__(self, network: nn.Module, example: Example) -> None:
        """Follow all nodes."""
        self.traced, self.example = trace(network), example
        self.steps: list[Step] = []
        self.forms: dict[str, Form] = {}
        self.names: dict[fx.Node, str] = {}  #: the same for a value and what does nothing to it
        self.shapes: dict[fx.Node, Size] = {}  #: those of the values, if one of them matters
        self.quantizers: dict[fx.Node, AffineQuantizer] = {}  #: those of the layers' inputs
        for path, node in self.traced.calls(QuantizedLayer).items():
            with naming(f"layer {path}"):
                self.quantizers[node] = input_quantizer(at(network, path))
        followers = {
            "placeholder": self._input,
            "quantizedlayer": self._layer,
            **dict.fromkeys(_NOTHING, self._nothing),
            **dict.fromkeys(_CLIPS, self._clip),
            **dict.fromkeys(_JOINS, self._join),
            **dict.fromkeys(("avgpool2d", "adaptiveavgpool2d", "mean"), self._average),
            "maxpool2d": lambda node: self._step(node, self._max_pool(node), self._form(node)),
            "flatten": self._flatten,
            "output": self._output,
        }
        for node in self.traced.graph.nodes:
            called = node.op.startswith("call_")
            follow = followers.get(self.traced.operation(node) if called else node.op)
            if follow is None or node.kwargs.get("training"):  # a dropout in evaluation mode too
                raise self._refusal(node)
            self.traced.require_only_reader(node)
            if node not in self.names:
                follow(node)

    def _wanted(self, node: fx.Node) -> AffineQuantizer | None:
        """Return the quantizer with which a value, or what is made of it, is read."""
        for user in node.users:
            if user in self.quantizers:
                return self.quantizers[user]
        if len(node.users) == 1 and self.traced.operation(*node.users) in _ORDERED:
            return self._wanted(*node.users)
        return None

    def _refusal(self, node: fx.Node) -> ValueError:
        return ValueError(
            "network must consist of quantized layers, ReLU, pooling, flatten(1) instead of "
            "view, sums and concatenations to have a counterpart in integers, "
            f"got {self.traced.name(node)}"
        )

    def name_of(self, node: fx.Node) -> str:
        """Return the path of a layer, else a name that is no path."""
        return str(node.target) if node in self.quantizers else f"{node.name}()"

    def branches(self, node: fx.Node) -> list[fx.Node]:
        """Return the values that a node joins, or the one that it reads; refuse other joins."""
        operation, given = self.traced.operation(node), (*node.args, *node.kwargs.values())
        if operation not in _JOINS:
            return node.all_input_nodes[:1]
        branches: Any = given[0] if operation == "cat" else given
        plain = given[1:] == (1,) if operation == "cat" else len(given) == 2
        if not plain or not all(isinstance(one, fx.Node) for one in branches):
            raise self._refusal(node)
        return list(branches)

    def _form(self, node: fx.Node) -> Form:
        """Return the form of what a node reads."""
        return self.forms[self.names[node.all_input_nodes[0]]]

    def _step(
        self, node: fx.Node, operation: Callable[..., Tensor], form: Form, source: str = ""
    ) -> None:
        """Add the step that makes a node's value, from its branches or from a ``source``."""
        name = self.names[node] = self.name_of(node)
        reads = (source,) if source else tuple(self.names[one] for one in self.branches(node))
        self.steps.append(Step(name, operation, reads))
        self.forms[name] = form

    def _sums(self, node: fx.Node, sums: Sums, form: Form, source: str = "") -> None:
        """Add a step of sums, which become codes if they are read as such.

        ReLU and pooling that follow at once are part of it.
        """
        target, relu, pool, last = self._wanted(node), False, None, node
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
        if target is not None:
            with naming(self.traced.name(node)):
                output = requantizer(form.unit, target, relu=relu)
            sums, form = replace(sums, output=output, pool=pool), form_of_codes(target)
        self._step(node, sums, form, source)

    def _input(self, node: fx.Node) -> None:
        if self.forms or (wanted := self._wanted(node)) is None:
            raise ValueError(
                f"network must have one input, read by a quantized layer, got {node.name!r}"
            )
        self.input_quantizer, self.names[node] = wanted, self.name_of(node)
        self.forms[self.name_of(node)] = form_of_codes(self.input_quantizer)

    def _layer(self, node: fx.Node) -> None:
        form, quantizer = self._form(node), self.quantizers[node]
        codes, source = form_of_codes(quantizer), ""
        with naming(f"layer {node.target}"):
            if not form.same_codes(codes):
                output, source = requantizer(form.unit, quantizer), f"input of {node.target}"
                recode = Recode(form.unit, form.zero_point, output=output)
                self.steps.append(Step(source, recode, (self.names[node.all_input_nodes[0]],)))
                self.forms[source] = codes
            layer = integer_layer(self.traced.module(node))
        bound = codes.bound * layer.product.weight.long().abs().sum(1)
        sums = Form(layer.unit, bound + layer.product.bias.long().abs())
        self._sums(node, layer, sums, source)

    def _nothing(self, node: fx.Node) -> None:
        self.names[node] = self.names[node.all_input_nodes[0]]

    def _clip(self, node: fx.Node) -> None:
        high, form = _CLIPS[self.traced.operation(node)], self._form(node)
        self._step(node, clip(form, high), form)

    def _join(self, node: fx.Node) -> None:
        forms = [self.forms[self.names[one]] for one in self.branches(node)]
        concatenated = self.traced.operation(node) == "cat"
        if concatenated and all(forms[0].same_codes(form) for form in forms):
            self._step(node, concatenation, forms[0])
        else:
            self._sums(node, *join(forms, concatenated=concatenated))

    def _average(self, node: fx.Node) -> None:
        flat, plain = self.traced.averages(node), False
        if self.traced.operation(node) == "avgpool2d" and (module := self.traced.pool(node)):
            kernel, stride = pair(module.kernel_size), pair(module.stride)
            plain = not (any(pair(module.padding)) or module.ceil_mode or module.divisor_override)
        elif flat or self.traced.operation(node) == "adaptiveavgpool2d":
            before = self._positions(node.all_input_nodes[0])
            after = self._positions(node) or (1, 1)
            kernel = stride = (before[0] // after[0], before[1] // after[1])
            plain = not (before[0] % after[0] or before[1] % after[1])
        if not plain:
            raise self._refusal(node)
        with naming(self.traced.name(node)):
            averaged = average(self._form(node), kernel, stride, flat=flat)
        self._sums(node, *averaged)

    def _max_pool(self, node: fx.Node) -> MaxPool:
        module = self.traced.pool(node)
        if not isinstance(module, nn.MaxPool2d) or module.return_indices:
            raise self._refusal(node)
        return MaxPool(module)

    def _flatten(self, node: fx.Node) -> None:
        if not self.traced.flattens(node):
            raise self._refusal(node)
        form = self._form(node)
        if form.unit.numel() > 1:  # each channel has as many columns as positions
            positions = self._positions(node.all_input_nodes[0]).numel()
            form = Form(form.unit.repeat_interleave(positions), form.bound.max())
        self._step(node, nn.Flatten(), form)

    def _positions(self, node: fx.Node) -> Size:
        """Return height and width of a value, as in the example."""
        if not self.shapes:
            network = self.traced.network
            dtype = next(network.parameters()).dtype
            self.shapes = self.traced.shapes(example_of(network, self.example).to(dtype))
        return self.shapes[node][2:]

    def _output(self, node: fx.Node) -> None:
        """See that the last step makes the network's output, as sums."""
        if not isinstance(node.args[0], fx.Node):
            raise self._refusal(node)
        form = self._form(node)
        if form.quantizer is not None or self.steps[-1].name != self.names[node.args[0]]:
            plain = Form(form.unit, form.bound)
            self._step(node, Recode(form.unit, form.zero_point), plain)
