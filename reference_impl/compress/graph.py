"""The order, readers and writers of a network: which weights write a width, and what reads it.

A network says which axes of its parameters run over which width, see `reference_impl.models.Axis`.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import checked
from reference_impl.compress.fold import NORMS, folded
from reference_impl.compress.quantized import WEIGHT_LAYERS, WeightLayer, places
from reference_impl.models import Network


@checked
def width_of(network: Network, label: str) -> int:
    """Return the number of units of a width.

    Raises:
        ValueError: if the network does not have this width.
    """
    if label not in network.widths:
        raise ValueError(
            f"label must be one of {sorted(network.widths)}, got {label!r}: the axes of pixels, "
            "classes and kernels belong to the task"
        )
    return network.widths[label]


@checked
def incoming_rows(network: Network, label: str) -> Float[Tensor, "units d"]:
    """Return a_i = [w_i, b_i] for each unit: its filter, flattened, and its bias, BatchNorm folded.

    So the unit's value before ReLU is a_i · [x, 1] in evaluation mode. Where several layers write
    a unit (a depthwise filter beside a pointwise one, branches of a residual stream), their rows
    stand side by side.

    Equation: eq-merge-folded, chapter 15.
    """
    width_of(network, label)
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    leaves = [module for module in network.chain().modules() if not list(module.children())]
    rows: list[Tensor] = []
    for layer, after in pairwise([*leaves, None]):
        if isinstance(layer, WEIGHT_LAYERS) and network.axes[names[layer.weight]][0].label == label:
            w = layer.weight.detach().flatten(1)
            b = w.new_zeros(len(w)) if layer.bias is None else layer.bias.detach()
            if isinstance(after, NORMS):  # folded into 1 is γ/σ; the rest stays in w's precision
                factor, b = folded(w.new_ones(len(w), 1), b, after)
                w = factor * w
            rows += [w, b.unsqueeze(1)]
    return torch.cat(rows, dim=1)


@checked
def outgoing_columns(network: Network, label: str) -> Float[Tensor, "units d"]:
    """Return, for each unit, all weights that read it, in no particular order."""
    n = width_of(network, label)
    columns = [
        value.detach().movedim(axis, 0).reshape(n, -1)
        for name, value in network.state_dict().items()
        for axis, described in enumerate(network.axes[name])
        if axis > 0 and described.label == label
    ]
    return torch.cat(columns, dim=1)


@checked
def only_reader(network: Network, label: str) -> tuple[str, WeightLayer]:
    """Return the one layer that reads the units of a width, and its place in the chain.

    Raises:
        ValueError: if there is no such width, several layers read it, or one inside a block.
    """
    width_of(network, label)
    names = [
        name for name, axes in network.axes.items() if any(axis.label == label for axis in axes[1:])
    ]
    if len(names) > 1:
        raise ValueError(f"{label!r} is read by several layers, {names}, each with its own values")
    weight = network.get_parameter(names[0])
    for place, module in places(network.chain()):
        if isinstance(module, WEIGHT_LAYERS) and module.weight is weight:
            return place, module
    raise ValueError(f"{label!r} is read inside a block, by {names[0]!r}: it has no place")
