"""The order in which a network computes: its forward pass, traced and looked through once.

Any ``nn.Module`` whose forward pass does not depend on its data can be traced. What would make a
change of its weights mean something else is refused here, by the name of the module: a hook, a
weight that is computed, a layer that is called twice. Every walk over a network begins here.
"""

import copy
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from reference_impl.compress.layers import (
    ACTIVATIONS,
    NORMS,
    OTHERS,
    WEIGHT_LAYERS,
    kind_of,
    require_plain,
)
from reference_impl.compress.tracer import Tracer
from reference_impl.models import evaluating

_PRODUCTS = frozenset(
    {
        *("linear", "conv1d", "conv2d", "conv3d", "convtranspose1d", "convtranspose2d", "bilinear"),
        *("convtranspose3d", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot"),
    }
)
_POOLS = {
    "maxpool2d": (nn.MaxPool2d, "kernel_size stride padding dilation ceil_mode return_indices"),
    "avgpool2d": (
        nn.AvgPool2d,
        "kernel_size stride padding ceil_mode count_include_pad divisor_override",
    ),
}
"""Pooling → its module, and the arguments of its function, in order."""
_KEEP_TWO_AXES = ACTIVATIONS | {"linear", "batchnorm1d", "identity", "dropout"}
_MULTIPLY = "network must multiply by weights in linear and convolutional layers"


@dataclass(frozen=True, eq=False)
class Trace:
    """A network and its nodes: calls of modules and functions, in the order in which they run.

    It shares its modules and tensors with the network that was traced.
    """

    network: nn.Module
    graph: fx.Graph

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """Return path → module."""
        return dict(self.network.named_modules(remove_duplicate=False))

    def module(self, node: fx.Node) -> Any:
        """Return the module that a node calls, or None."""
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def calls(self, *kinds: type[nn.Module]) -> dict[str, fx.Node]:
        """Return path → node for the calls of modules of these kinds, in order."""
        return {
            str(node.target): node
            for node in self.graph.nodes
            if node.op == "call_module" and kind_of(self.module(node)) in kinds
        }

    def lends(self, node: fx.Node) -> bool:
        """Return whether a node takes a parameter out of a weight layer."""
        owner = self.modules.get(str(node.target).rpartition(".")[0])
        return node.op == "get_attr" and owner is not None and kind_of(owner) in WEIGHT_LAYERS

    def operation(self, node: fx.Node) -> str:
        """Return ``relu`` for a module, a function and a method alike; ``maxpool2d``."""
        if (module := self.module(node)) is not None:
            name = kind_of(module).__name__
        elif callable(node.target):
            name = getattr(node.target, "__name__", str(node.target))
        else:
            name = node.target
        return name.lower().replace("_", "")

    def in_place(self, node: fx.Node) -> bool:
        """Return whether a node overwrites what it reads."""
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        module = self.module(node)
        named = module is None and (name.endswith("_") or name in ("iadd", "isub", "imul"))
        return named or bool(getattr(module, "inplace", node.kwargs.get("inplace", False)))

    def require_only_reader(self, node: fx.Node) -> None:
        """Refuse to overwrite a value that something else reads, under this name or another."""
        alias = self.in_place(node)
        while alias:
            node = node.all_input_nodes[0]
            if len(node.users) > 1:
                raise ValueError(f"network must not overwrite {self.name(node)}, read by others")
            alias = self.operation(node) in ("identity", "twoaxes", "dropout", "flatten")

    def name(self, node: fx.Node) -> str:
        """Return what a reader of the network's code would call a node."""
        if (module := self.module(node)) is not None:
            return f"{kind_of(module).__name__} {node.target!r}"
        return f"{self.operation(node)} in {_place(node)!r}"

    def pool(self, node: fx.Node) -> Any:
        """Return the pooling that a node calls as a module, or None if it computes its window."""
        if node.op == "call_module" or len(node.all_input_nodes) > 1:
            return self.module(node)
        kind, names = _POOLS[self.operation(node)]
        given: Any = {**dict(zip(names.split(), node.args[1:], strict=False)), **node.kwargs}
        return kind(**{name: value for name, value in given.items() if name != "input"})

    def averages(self, node: Any) -> bool:
        """Return whether a node leaves the mean over two axes of positions."""
        if self.operation(node) != "mean":
            return False
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        keeps = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
        return isinstance(dims, tuple | list) and {d % 4 for d in dims} == {2, 3} and not keeps

    def flattens(self, node: Any) -> bool:
        """Return whether a node puts all axes but the first into one."""
        if isinstance(module := self.module(node), nn.Flatten):
            return (module.start_dim, module.end_dim) == (1, -1)
        if self.operation(node) != "flatten":
            return False
        start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
        end = node.args[2] if len(node.args) > 2 else node.kwargs.get("end_dim", -1)
        return (start, end) == (1, -1)

    def flat(self, node: fx.Node) -> bool:
        """Return whether a value certainly has two axes: a flatten stands before it."""
        while self.operation(node) in _KEEP_TWO_AXES:
            node = node.all_input_nodes[0]
        return self.flattens(node)

    def channel_axis(self, node: fx.Node) -> int:
        """Return the axis of a value's channels: the last after a linear layer, else 1."""
        while self.operation(node) in ("identity", "dropout", *ACTIVATIONS):
            node = node.all_input_nodes[0]
        return -1 if self.operation(node) == "linear" else 1

    def shapes(self, example: Tensor) -> dict[fx.Node, torch.Size]:
        """Return node → shape of its value, of those that are tensors, as on an example."""
        with evaluating(self.network):
            run = self.run(self.network, example)
            found = {node: getattr(run.step(node), "shape", None) for node in self.graph.nodes}
        return {node: shape for node, shape in found.items() if isinstance(shape, torch.Size)}

    def run(self, network: nn.Module, *inputs: Tensor) -> "Run":
        """Return a run of a network with the same modules, ready for its first node."""
        return Run(self, network, *inputs)


class Run(fx.Interpreter):
    """The values in a network, node by node; each is kept until its last reader has run."""

    def __init__(self, trace: Trace, network: nn.Module, *inputs: Tensor) -> None:  # noqa: D107
        super().__init__(network, graph=trace.graph)
        self.trace = trace
        # a ReLU in place would change the caller's tensors
        self.args_iter: Iterator[Any] = iter([x.detach().clone() for x in inputs])

    def source(self, node: fx.Node) -> Any:
        """Return the value that a node is about to read, the first if there are several."""
        return self.env[node.all_input_nodes[0]]

    def fetch_attr(self, target: str) -> Any:
        """Return a tensor that a node reads: a constant, which the trace has, or the network's."""
        constant = vars(self.trace.network).get(target)
        return super().fetch_attr(target) if constant is None else constant

    @torch.no_grad()
    def step(self, node: fx.Node) -> Any:
        """Compute a node and return its value.

        Raises:
            ValueError: if a module or function refuses what it is given.
        """
        try:
            value = self.env[node] = self.run_node(node)
        except Exception as error:  # whatever the network's own code raises
            raise ValueError(f"images must suit {self.trace.name(node)}: {error}") from error
        for dead in self.user_to_last_uses.get(node, ()):
            self.env.pop(dead, None)
        return value


def trace(network: nn.Module) -> Trace:
    """Return the trace of a network's forward pass in evaluation mode.

    Raises:
        ValueError: if the network cannot be followed, or if what follows its layers and changes
            their weights would get something else than it computes; the module is named.
    """
    require_plain(network)
    tracer = Tracer()
    try:
        with evaluating(network):
            own = copy.copy(network)  # fx keeps the constants of the forward pass in it
            graph = tracer.trace(own, concrete_args=_defaults(network))
    except Exception as error:  # whatever the network's own code raises when it meets a proxy
        raise ValueError(f"network cannot be followed in {tracer.place!r}: {error}") from error
    result = Trace(own, graph)
    _require_known(result)
    return result


def _defaults(network: nn.Module) -> dict[str, Any]:
    """Return the flags of the forward pass that a caller need not give, with their values."""
    given = {name: p.default for name, p in inspect.signature(network.forward).parameters.items()}
    return {name: x for name, x in given.items() if isinstance(x, bool | int | float | str | None)}


def _require_known(trace: Trace) -> None:
    """Refuse calls that multiply by a weight of which only the called one knows."""
    known = (*WEIGHT_LAYERS, *NORMS, *OTHERS)
    constant: set[fx.Node] = set()
    calls = Counter(node.target for node in trace.graph.nodes if node.op == "call_module")
    for node in trace.graph.nodes:
        reads = node.all_input_nodes
        if node.op == "get_attr" or (node.op != "placeholder" and constant.issuperset(reads)):
            constant.add(node)
        elif any(map(trace.lends, reads)) or (
            trace.operation(node) in _PRODUCTS and not constant.isdisjoint(reads)
        ):
            called = f"{_place(node)!r} calls {trace.operation(node)}"
            raise ValueError(f"{_MULTIPLY} of torch.nn, a single one in nn.Sequential: {called}")
        module = trace.module(node)
        if module is None or not any(True for _ in module.parameters()):
            continue
        kind, ours = kind_of(module), type(module).__module__.startswith("reference_impl.")
        if kind not in known and not ours:
            raise ValueError(f"{_MULTIPLY}, {node.target!r} is {kind.__name__}")
        if calls[node.target] > 1:
            raise ValueError(f"network must call each layer once, it calls {node.target!r} twice")


def _place(node: fx.Node) -> str:
    """Return the path of the module in whose forward pass a node stands."""
    return str(next(reversed(node.meta.get("nn_module_stack") or {"": None})))
