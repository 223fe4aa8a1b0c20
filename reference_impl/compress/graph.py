"""The widths of a network: who writes each, who reads it, and which of them can be cut."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Size, Tensor, fx, nn

from reference_impl.checked import Finite, checked
from reference_impl.compress.fold import folded_by, folding_pairs
from reference_impl.compress.follow import UNCUT, Follower, Part
from reference_impl.compress.layers import WEIGHT_LAYERS, at
from reference_impl.compress.quantized import WeightLayer
from reference_impl.compress.trace import Trace, trace
from reference_impl.models import IMAGE_SHAPE, Network, zeros_for


class Piece(NamedTuple):
    """A part of an axis: ``n`` units of a width, each with ``repeat`` entries in a row.

    ``repeat`` is 1, except after a flatten, where channel c of 4×4 positions owns the columns
    16 c … 16 c + 15, and in grouped convolutions. Without a label the entries belong to the task
    (pixels, classes, kernels) or cannot be cut.
    """

    label: str | None
    n: int
    repeat: int = 1


Axis = tuple[Piece, ...]
"""One piece, or as many as there are values that were concatenated."""


@dataclass(frozen=True, eq=False)
class DependencyGraph:
    """What the axes of a network's parameters and buffers have in common.

    A width is called by the path of the first layer that writes it, those of the course by the
    names that its networks give them.
    """

    network: nn.Module = field(repr=False)
    axes: Mapping[str, tuple[Axis, ...]] = field(repr=False)
    """Name of a parameter or buffer → one entry per axis."""
    widths: Mapping[str, int]  #: label → units
    fixed: Mapping[str, str]  #: label of a width that cannot be cut → why
    passed: Mapping[str, frozenset[str]]  #: label → operations between what writes and what reads
    traced: Trace = field(repr=False)  #: the order in which the network computes
    shapes: Mapping[fx.Node, Size] = field(repr=False)
    """Node → shape of its value, as on the example."""
    example: Tensor = field(repr=False)

    def units(self, label: str) -> int:
        """Return the number of units of a width.

        Raises:
            ValueError: if the network does not have this width, or it cannot be cut.
        """
        if label not in self.widths:
            why = self.fixed.get(
                label, "the axes of pixels, classes and kernels belong to the task"
            )
            raise ValueError(f"label must be one of {sorted(self.widths)}, got {label!r}: {why}")
        return self.widths[label]

    def ends(self, label: str, *, written: bool) -> list[str]:
        """Return the parameters and buffers that write a width, or those that read it."""
        return [
            name
            for name, axes in self.axes.items()
            for axis in (axes[:1] if written else axes[1:])
            if any(piece.label == label for piece in axis)
        ]

    def part(self, label: str, values: Tensor, axis: Axis) -> Tensor:
        """Return what of axis 1 belongs to a width, where it may be concatenated with others.

        Its shape is (len(values), units, as many values as a unit has).
        """
        n, each = self.units(label), values.split([n * repeat for _, n, repeat in axis], 1)
        mine = [x for piece, x in zip(axis, each, strict=True) if piece.label == label]
        return torch.cat([x.reshape(len(x), n, -1) for x in mine], dim=2)


Example = Finite[Tensor, "n ..."] | DependencyGraph | None
"""An input of the network, whose shape says what its layers read, or the graph found with one: it
holds as long as the network has the same layers. The networks of the course need neither."""


@checked
def dependency_graph(network: nn.Module, example: Example = None) -> DependencyGraph:
    """Return the widths of a network, from its trace and the shapes that an example gives.

    >>> from reference_impl.models import LeNet5
    >>> found = dependency_graph(LeNet5())
    >>> found.widths
    {'conv1': 20, 'conv2': 50, 'hidden': 500}
    >>> found.axes["fc1.weight"]
    ((Piece(label='hidden', n=500, repeat=1),), (Piece(label='conv2', n=50, repeat=16),))

    Raises:
        ValueError: if the network cannot be followed, an example is missing, or the graph is that
            of another network.
    """
    if isinstance(example, DependencyGraph):
        if example.network is not network:
            raise ValueError("example must be the graph of this network, got that of another")
        return example
    traced, example = trace(network), example_of(network, example)
    shapes = traced.shapes(example)
    follower = Follower(traced, shapes)
    widths, names = follower.widths, getattr(network, "width_names", {})
    labels = {i: names.get(label, label) for i, label in enumerate(widths.labels)}

    def piece(part: Part) -> Piece:
        width, n, repeat = widths.now(part)
        cut = width != UNCUT and width not in widths.why
        return Piece(labels[width], n, repeat) if cut else Piece(None, n * repeat)

    axes = {
        name: tuple(tuple(map(piece, parts)) for parts in each)
        for name, each in follower.axes.items()
    }
    passed: dict[str, set[str]] = {}
    for part, operation in follower.passed:
        if (label := piece(part).label) is not None:
            passed.setdefault(label, set()).add(operation)
    found = {one.label: one.n for each in axes.values() for axis in each for one in axis}
    return DependencyGraph(
        network,
        axes,
        {label: n for label, n in found.items() if label is not None},
        {labels[width]: why for width, why in widths.why.items()},
        {label: frozenset(operations) for label, operations in passed.items()},
        traced,
        shapes,
        example.detach(),
    )


def example_of(network: nn.Module, example: Example) -> Tensor:
    """Return the example, that of a graph, or an image where the network is one of the course."""
    if isinstance(example, DependencyGraph):
        return example.example
    if example is not None:
        return example
    if not isinstance(network, Network):
        raise ValueError("example must be an input of the network, such as images[:1], got none")
    return zeros_for(network, 1, *IMAGE_SHAPE)


@checked
def incoming_rows(
    network: nn.Module, label: str, example: Example = None
) -> Float[Tensor, "units d"]:
    """Return a_i = [w_i, b_i] for each unit: its filter, flattened, and its bias, BatchNorm folded.

    So the unit's value before ReLU is a_i · [x, 1] in evaluation mode. Where several layers write
    a unit (a depthwise filter beside a pointwise one, branches of a residual stream), their rows
    stand side by side.

    Equation: eq-merge-folded, chapter 17.
    """
    found = dependency_graph(network, example)
    n, norms = found.units(label), folding_pairs(found.traced)
    rows: list[Tensor] = []
    for path in found.traced.calls(*WEIGHT_LAYERS):
        layer, axes = at(network, path), found.axes[f"{path}.weight"]
        if axes[0][0].label == label:
            w = layer.weight.detach().flatten(1)
            b = w.new_zeros(len(w)) if layer.bias is None else layer.bias.detach()
            if path in norms:  # folded into 1 is γ/σ; the rest stays in w's precision
                name = norms[path]
                factor, b = folded_by(at(network, name), name, w.new_ones(len(w), 1), b)
                w = factor * w
            rows += [w.reshape(n, -1), b.reshape(n, -1)]
    return torch.cat(rows, dim=1)


@checked
def outgoing_columns(
    network: nn.Module, label: str, example: Example = None
) -> Float[Tensor, "units d"]:
    """Return, for each unit, all weights that read it, in no particular order."""
    found = dependency_graph(network, example)
    n, state = found.units(label), network.state_dict()
    columns = [
        values.movedim(axis, 0).reshape(n, -1)
        for name in found.ends(label, written=False)
        for axis, pieces in enumerate(found.axes[name])
        for piece, values in zip(
            pieces, state[name].split([n * r for _, n, r in pieces], axis), strict=True
        )
        if axis > 0 and piece.label == label
    ]
    return torch.cat(columns, dim=1)


@checked
def only_reader(network: nn.Module, label: str, example: Example = None) -> tuple[str, WeightLayer]:
    """Return the one layer that reads the units of a width, and its path.

    Raises:
        ValueError: if the network does not have this width, or several layers read it.
    """
    found = dependency_graph(network, example)
    found.units(label)
    names = found.ends(label, written=False)
    if len(names) != 1:
        raise ValueError(f"{label!r} is read by several layers, {names}, each with its own values")
    path = names[0].removesuffix(".weight")
    return path, at(network, path)
