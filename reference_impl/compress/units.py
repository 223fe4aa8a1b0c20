"""What belongs to a unit of a network: the weights that write it, and those that read it."""

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_instance
from reference_impl.compress.fold import NORMS, folded
from reference_impl.compress.quantized import WEIGHT_LAYERS
from reference_impl.models import Network


def incoming_rows(network: Network, label: str) -> Float[Tensor, "units d"]:
    """Return a_i = [w_i, b_i] for each unit: its filter, flattened, and its bias, BatchNorm folded.

    So the unit's value before ReLU is a_i · [x, 1] in evaluation mode. Where several layers write
    a unit (a depthwise filter beside a pointwise one, branches of a residual stream), their rows
    stand side by side.

    Args:
        network: left as it is.
        label: which width, one of ``network.widths``.

    Raises:
        TypeError: if ``network`` is none, or ``label`` no string.
        ValueError: if there is no such width.

    Equation: eq-merge-folded, chapter 15.
    """
    _require_label(network, label)
    names: dict[Tensor, str] = {p: name for name, p in network.named_parameters()}
    leaves = [module for module in network.chain().modules() if not list(module.children())]
    rows: list[Tensor] = []
    for layer, after in zip(leaves, [*leaves[1:], None], strict=True):
        if isinstance(layer, WEIGHT_LAYERS) and _writes(network, names[layer.weight], label):
            weight = layer.weight.detach()
            bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
            weight = weight.flatten(1)
            if isinstance(after, NORMS):  # folded into 1 is the factor; the rest stays in float32
                factor, bias = folded(weight.new_ones(len(weight), 1), bias, after)
                weight = factor * weight
            rows += [weight, bias.unsqueeze(1)]
    return torch.cat(rows, dim=1)


def outgoing_columns(network: Network, label: str) -> Float[Tensor, "units d"]:
    """Return, for each unit, all weights that read it, in no particular order.

    Args:
        network: left as it is.
        label: which width, one of ``network.widths``.

    Raises:
        TypeError: if ``network`` is none, or ``label`` no string.
        ValueError: if there is no such width.
    """
    _require_label(network, label)
    n = network.widths[label]
    columns = [
        value.detach().movedim(axis, 0).reshape(n, -1)
        for name, value in network.state_dict().items()
        for axis, described in enumerate(network.axes[name])
        if axis > 0 and described.label == label
    ]
    return torch.cat(columns, dim=1)


def _require_label(network: Network, label: str) -> None:
    require_instance("network", network, Network)
    require_instance("label", label, str)
    if label not in network.widths:
        raise ValueError(f"label must be one of {sorted(network.widths)}, got {label!r}")


def _writes(network: Network, name: str, label: str) -> bool:
    return network.axes[name][0].label == label
