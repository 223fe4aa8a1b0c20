"""Where the units of each value come from: a network's values followed from input to output.

A width is a number of units that several axes share. Each layer that mixes its inputs begins a new
one; what sums, concatenates, pools or flattens hands units on, and joins widths that must be one.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Size, fx, nn

from reference_impl.compress.layers import ACTIVATIONS, NORMS, WEIGHT_LAYERS, kind_of
from reference_impl.compress.trace import Trace

_SAME = ACTIVATIONS | {
    "identity",
    "twoaxes",
    "dropout",
    "dropout2d",
    "stochasticdepth",
    "contiguous",
    "clone",
}
_BY_CHANNEL = {"upsample", "interpolate"} | {
    f"{kind}pool{n}d" for kind in ("max", "avg", "adaptivemax", "adaptiveavg") for n in (1, 2, 3)
}
_BETWEEN = frozenset({"add", "iadd", "sub", "isub", "mul", "imul", "cat", "concat"})
_RESHAPES = frozenset({"flatten", "view", "reshape", "mean"})
UNCUT = -1  #: the "width" of entries that nothing cuts: of a kernel, or inside a group


class Part(NamedTuple):
    """A part of an axis: ``n`` units of a width, each with ``repeat`` entries in a row."""

    width: int
    n: int
    repeat: int = 1


Parts = tuple[Part, ...]


class Layout(NamedTuple):
    """Along which axis of a value its units lie, and which units those are."""

    axis: int
    parts: Parts


class Widths:
    """Widths that turn out to be one are joined; of a joined one the coarser units hold."""

    def __init__(self) -> None:  # noqa: D107 — it begins empty
        self.labels: list[str] = []
        self.units: list[int] = []
        self.above: list[tuple[int, int]] = []  # (width, how many of mine are one of its units)
        self.why: dict[int, str] = {}  # a width that cannot be cut → the reason

    def new(self, label: str, n: int) -> Part:
        """Return the units of a new width."""
        self.labels.append(label)
        self.units.append(n)
        self.above.append((len(self.above), 1))
        return Part(len(self.above) - 1, n)

    def now(self, part: Part) -> Part:
        """Return the same entries as units of the width that theirs has become."""
        width, n, repeat = part
        while width != UNCUT and self.above[width][0] != width:
            width, many = self.above[width]
            n, repeat = self.units[width], repeat * many
        return Part(width, n, repeat)

    def fix(self, parts: Parts, why: str) -> None:
        """Say that no unit of these can go."""
        for part in map(self.now, parts):
            if part.width != UNCUT:
                self.why.setdefault(part.width, why)

    def join(self, one: Parts, other: Parts, where: str) -> None:
        """Make two axes one, part by part."""
        if [n * repeat for _, n, repeat in one] != [n * repeat for _, n, repeat in other]:
            self.fix((*one, *other), f"{where} mixes its units")
            return
        for pair in zip(one, other, strict=True):
            coarse, fine = sorted(map(self.now, pair), key=lambda part: (part.n, part.width))
            if UNCUT in (coarse.width, fine.width) or fine.n % coarse.n:
                self.fix((coarse, fine), f"{where} mixes its units")
            elif coarse.width != fine.width:
                self.above[fine.width] = (coarse.width, fine.n // coarse.n)
                self.labels[coarse.width] = self.labels[min(coarse.width, fine.width)]
                if fine.width in self.why:
                    self.fix((coarse,), self.why[fine.width])


class Follower:
    """The layouts of a network's values, and the axes of its parameters and buffers."""

    def __init__(self, traced: Trace, shapes: dict[fx.Node, Size]) -> None:
        """Follow every node of the trace; the shapes are those of its values."""
        self.traced, self.shapes, self.widths = traced, shapes, Widths()
        self.layouts: dict[fx.Node, Layout] = {}
        self.axes: dict[str, tuple[Parts, ...]] = {}  # name of a parameter or buffer → its axes
        self.passed: list[tuple[Part, str]] = []  # units, and an operation on them
        for node in traced.graph.nodes:
            self._follow(node)

    def _follow(self, node: fx.Node) -> None:
        sources = [source for source in node.all_input_nodes if source in self.layouts]
        if sources and self._counts_others(node, sources[0]):
            return
        layout = self._layout(node, sources) if sources and node.op != "output" else None
        if layout is None:
            why = f"{self.traced.name(node)} comes after it" if sources else "it is the input"
            why = "it is the network's output" if node.op == "output" else why
            for source in sources:
                self.widths.fix(self.layouts[source].parts, why)
            layout = self._fresh(node)
        if layout is not None:
            self.layouts[node] = layout
            self.passed += [(part, self.traced.operation(node)) for part in layout.parts]

    def _counts_others(self, node: fx.Node, source: fx.Node) -> bool:
        """Return whether a node reads sizes of a value, but not the number of its units."""
        if node.target == "size" and len(node.args) > 1:
            read: list[Any] = [node.args[1]]
        elif node.target == "size" or node.args[1:] == ("shape",):
            read = [user.args[1] for user in node.users if user.users]  # of n, c, h, w = x.shape
        else:
            return False
        if not all(isinstance(index, int | slice) for index in read):
            return False
        axes = torch.arange(len(self.shapes[source]))
        return not any((axes[index] == self.layouts[source].axis).any() for index in read)

    def _fresh(self, node: fx.Node) -> Layout | None:
        """Return the layout of a value whose units nothing cuts; None for a constant."""
        shape = self.shapes.get(node, Size())
        if len(shape) < 2 or node.op in ("get_attr", "output"):
            return None
        axis = 2 if len(shape) == 3 else 1
        return Layout(axis, (Part(UNCUT, shape[axis]),))

    def _layout(self, node: fx.Node, sources: list[fx.Node]) -> Layout | None:
        """Return the layout of a node's value, or None if it cannot be known."""
        module, operation = self.traced.module(node), self.traced.operation(node)
        source = self.layouts[sources[0]]
        if module is not None and kind_of(module) in WEIGHT_LAYERS:
            return self._weight_layer(node, module, source)
        if module is not None and any(True for _ in module.parameters()):
            return self._own_parameters(node, module, source)
        if operation in _SAME or (operation in _BY_CHANNEL and source.axis == 1):
            return source if len(sources) == 1 else None
        if operation in _BETWEEN:
            return self._between(node, sources)
        return self._reshaped(node, sources[0]) if operation in _RESHAPES else None

    def _weight_layer(self, node: fx.Node, layer: Any, source: Layout) -> Layout:
        """Return what a layer writes: a new width; with groups, as many units as it has groups."""
        path, (out, inputs, *kernel) = str(node.target), layer.weight.shape
        axis = len(self.shapes[node]) - 1 if isinstance(layer, nn.Linear) else 1
        groups, columns = getattr(layer, "groups", 1), source.parts
        rows: Parts = (self.widths.new(path, out if groups == 1 else groups),)
        if source.axis != axis:
            self.widths.fix(columns, f"{path!r} reads another axis")
            columns = (Part(UNCUT, inputs),)
        elif groups > 1:
            self.widths.join(columns, (rows[0]._replace(repeat=inputs),), path)
            columns = (Part(UNCUT, inputs),)
        rows = (rows[0]._replace(repeat=out // rows[0].n),)
        uncut = tuple((Part(UNCUT, n),) for n in kernel)
        self.axes[f"{path}.weight"] = (rows, columns, *uncut)
        if layer.bias is not None:
            self.axes[f"{path}.bias"] = (rows,)
        return Layout(axis, rows)

    def _own_parameters(self, node: fx.Node, module: nn.Module, source: Layout) -> Layout | None:
        """Return the layout after a layer with parameters for each unit."""
        if kind_of(module) not in (*NORMS, nn.PReLU) or source.axis != 1:
            return None
        entries = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        for name, value in entries.items():
            one = (value.ndim == 1 and len(value) > 1) or kind_of(module) in NORMS
            self.axes[f"{node.target}.{name}"] = (source.parts,) if one and value.ndim else ()
        return source

    def _between(self, node: fx.Node, sources: list[fx.Node]) -> Layout | None:
        """Return the layout of a sum, a product or a concatenation."""
        layouts, shapes = zip(*((self.layouts[s], self.shapes[s]) for s in sources), strict=True)
        axis, parts = layouts[0]
        constants = [a for a in node.all_input_nodes if a not in sources and a in self.shapes]
        if constants or any(one.axis != axis for one in layouts):
            return None
        if self.traced.operation(node) in ("cat", "concat"):
            dim: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            if dim % len(shapes[0]) == axis:
                listed: Any = node.args[0]
                return Layout(axis, sum((self.layouts[one].parts for one in listed), ()))
        for one, shape in zip(layouts[1:], shapes[1:], strict=True):
            if len(shape) != len(shapes[0]) or shape[axis] != shapes[0][axis]:
                return None
            self.widths.join(parts, one.parts, self.traced.name(node))
        return Layout(axis, parts)

    def _reshaped(self, node: fx.Node, source: fx.Node) -> Layout | None:
        """Return the layout after a flatten, or after a mean over positions."""
        (axis, parts), before, after = self.layouts[source], self.shapes[source], self.shapes[node]
        if before == after:
            return Layout(axis, parts)
        if axis != 1 or after[:1] != before[:1]:
            return None
        if self.traced.operation(node) == "mean":  # over all positions, or it would have mixed
            return Layout(1, parts) if after[1:2] == before[1:2] else None
        if after[1:] != (math.prod(before[1:]),):
            return None
        positions = math.prod(before[2:])
        return Layout(1, tuple(part._replace(repeat=part.repeat * positions) for part in parts))
