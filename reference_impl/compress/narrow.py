"""Networks whose units are really gone: a state mapped to another width, and a strict load.

A network says which axes of its parameters run over which width, see `reference_impl.models.Axis`;
nothing here looks at names of layers or follows a forward pass.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor

from reference_impl.checked import checked
from reference_impl.compress.fold import NORMS
from reference_impl.compress.graph import width_of
from reference_impl.merging import WidthMap, map_axis, selection
from reference_impl.models import Axis, Network

Masks = Mapping[str, Bool[Tensor, " _"]]
"""Label of a width → true for a unit that is kept. Other widths are left whole."""


@checked
def map_width(network: Network, label: str, width_map: WidthMap) -> Network:
    """Return a network in which the units of one width are mapped: W_k = M W, W'_k = W' U.

    M acts on each first axis that carries the label (the rows that write the units: weights,
    biases, BatchNorm), U on every other one (the columns that read them).

    The network returned has tensors of its own; modes, layouts, what is frozen, and BatchNorm's eps
    and momentum are those of the network given.

    Raises:
        ValueError: if the map is made for another width, the network holds what its axes do not
            describe, BatchNorm would be mixed, or a depthwise filter would read several units.

    >>> from reference_impl.models import LeNet300
    >>> keep = torch.arange(300) < 30
    >>> map_width(LeNet300(), "hidden1", selection(keep)).widths
    {'hidden1': 30, 'hidden2': 100}

    Equation: eq-narrow-rows, eq-narrow-columns, chapter 14.
    Equation: eq-merge-next, chapter 15.
    """
    return _mapped(network, {label: width_map})


@checked
def remove_units(network: Network, keep: Masks) -> Network:
    """Return a network without the units that the masks drop; errors are those of `map_width`.

    Equation: eq-narrow-same, chapter 14.
    """
    return _mapped(network, {label: selection(mask) for label, mask in keep.items()})


@checked
def silence_units(network: Network, keep: Masks) -> Network:
    """Return a network of the same widths in which nothing reads the units that the masks drop.

    It computes what `remove_units` returns computes, at the cost of the whole network.
    """
    maps: dict[str, WidthMap] = {}
    for label, mask in keep.items():
        selection(mask)  # refuses a mask that keeps no unit
        maps[label] = WidthMap(torch.eye(len(mask)), torch.diag(mask.to(torch.get_default_dtype())))
    return _mapped(network, maps)


def _mapped(network: Network, maps: Mapping[str, WidthMap]) -> Network:
    """Return a network in which each of these widths is mapped, see `map_width`."""
    state = network.state_dict()
    if foreign := sorted(set(state) - set(network.axes)):
        raise ValueError(f"network must hold what its axes describe, got {foreign} as well")
    for label, width_map in maps.items():
        _require_possible(network, label, width_map)
    for name, old in state.items():
        value = old.clone()
        for axis, described in enumerate(network.axes[name]):
            if described.label is not None and described.label in maps:
                value = _mapped_axis(value, axis, described, maps[described.label])
        if value.ndim == 4 and old.is_contiguous(memory_format=torch.channels_last):
            value = value.contiguous(memory_format=torch.channels_last)
        state[name] = value
    return _built(network, network.widths | {label: m.k for label, m in maps.items()}, state)


def _require_possible(network: Network, label: str, width_map: WidthMap) -> None:
    """Refuse what would give another function without an error."""
    if width_map.n != (n := width_of(network, label)):
        raise ValueError(f"{label!r} has {n} units, got a map or mask for {width_map.n}")
    for name, module in network.named_modules():
        axes = network.axes.get(f"{name}.weight", ())
        if not axes or axes[0].label != label:
            continue
        if isinstance(module, NORMS) and not width_map.selects:
            raise ValueError(
                f"{name!r} is BatchNorm over {label!r}, its statistics cannot be mixed: merge must "
                "select units"
            )
        if getattr(module, "groups", 1) > 1 and not (width_map.selects and _in_place(width_map)):
            raise ValueError(
                f"{name!r} is a depthwise convolution over {label!r}, each of its filters reads "
                "one unit: no unit can stand for another"
            )


def _in_place(width_map: WidthMap) -> bool:
    """Return whether each unit is read where it was written."""
    return bool((width_map.merge.T != 0)[width_map.unmerge != 0].all())


def _mapped_axis(x: Tensor, axis: int, described: Axis, width_map: WidthMap) -> Tensor:
    """Return M over a first axis, Uᵀ over another; a selection needs no product."""
    if not width_map.only_selects:
        matrix = width_map.merge if axis == 0 else width_map.unmerge.T
        return map_axis(x, axis, matrix, described.repeat)
    entries = width_map.chosen
    within = torch.arange(described.repeat, device=x.device)
    entries = (entries[:, None] * described.repeat + within).flatten()
    return x.index_select(axis, entries)


def _built(network: Network, widths: Mapping[str, int], state: Mapping[str, Tensor]) -> Network:
    """Return a network of these widths with this state; a wrong shape cannot pass."""
    with torch.device("meta"):  # draws no initial weights
        built = type(network).from_widths(widths)
    built.load_state_dict(state, strict=True, assign=True)
    for new, old in zip(built.modules(), network.modules(), strict=True):
        new.training = old.training
        if isinstance(new, NORMS) and isinstance(old, NORMS):
            new.eps, new.momentum = old.eps, old.momentum
    for parameter, like in zip(built.parameters(), network.parameters(), strict=True):
        parameter.requires_grad_(like.requires_grad)
    return built
