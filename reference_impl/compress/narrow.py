"""Networks whose units are really gone: a state mapped to another width, and a strict load.

A network says which axes of its parameters run over which width, see `reference_impl.models.base`;
nothing here looks at names of layers or follows a forward pass.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from reference_impl.checks import require_instance
from reference_impl.merging import WidthMap, map_axis, selection
from reference_impl.models import Axis, Network

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def map_width(network: Network, label: str, width_map: WidthMap) -> Network:
    """Return a network in which the units of one width are mapped: W_k = M W, W'_k = W' U.

    M goes over each first axis that carries the label (the rows that write the units: weights,
    biases, BatchNorm), U over every other one (the columns that read them).

    Args:
        network: left as it is.
        label: which width, one of ``network.widths``.
        width_map: from that width to another.

    Returns:
        A network of the same class with tensors of its own, filters with their channels last where
        they were; each layer in its mode, frozen if it was, BatchNorm with its eps and momentum.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there is no such width, the map is made for another one, the network holds
            what its axes do not describe, or the units cannot be mapped so: BatchNorm cannot be
            mixed, a depthwise filter reads one unit only.

    >>> from reference_impl.models import LeNet300
    >>> keep = torch.arange(300) < 30
    >>> map_width(LeNet300(), "hidden1", selection(keep)).widths
    {'hidden1': 30, 'hidden2': 100}

    Equation: eq-narrow-rows, eq-narrow-columns, chapter 14.
    Equation: eq-merge-next, chapter 15.
    """
    require_instance("network", network, Network)
    require_instance("label", label, str)
    require_instance("width_map", width_map, WidthMap)
    return _mapped(network, {label: width_map})


def remove_units(network: Network, keep: Mapping[str, Bool[Tensor, " units"]]) -> Network:
    """Return a network without the units that the masks drop, one mask for each width named.

    Args:
        network: left as it is.
        keep: label → true for a unit that stays.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `map_width`, or if a mask has the wrong length or keeps no unit.

    Equation: eq-narrow-same, chapter 14.
    """
    _require_keep(network, keep)
    return _mapped(network, {label: selection(mask) for label, mask in keep.items()})


def silence_units(network: Network, keep: Mapping[str, Bool[Tensor, " units"]]) -> Network:
    """Return a network of the same widths in which nothing reads the units that the masks drop.

    It computes what `remove_units` returns computes, at the cost of the whole network.

    Args:
        network: left as it is.
        keep: label → true for a unit that stays.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `map_width`, or if a mask has the wrong length or keeps no unit.
    """
    _require_keep(network, keep)
    silent = {
        label: WidthMap(torch.eye(len(mask)), torch.diag(mask.to(torch.get_default_dtype())))
        for label, mask in keep.items()
    }
    return _mapped(network, silent)


def _require_keep(network: Network, keep: Mapping[str, Tensor]) -> None:
    """Refuse all bad masks before the first is used."""
    require_instance("network", network, Network)
    require_instance("keep", keep, Mapping)
    for label, mask in keep.items():
        require_instance(f"keep[{label!r}]", mask, Tensor)
        _require_width(network, label, selection(mask).n)


def _require_width(network: Network, label: str, n: int) -> None:
    require_instance("label", label, str)
    if label not in network.widths:
        raise ValueError(
            f"label must be one of {sorted(network.widths)}, got {label!r}: the axes of pixels, "
            "classes and kernels belong to the task"
        )
    if n != network.widths[label]:
        raise ValueError(f"{label!r} has {network.widths[label]} units, got a map or mask for {n}")


def _require_possible(network: Network, label: str, width_map: WidthMap) -> None:
    """Refuse what would give another function without an error."""
    for name, module in network.named_modules():
        axes = network.axes.get(f"{name}.weight", ())
        if not axes or axes[0].label != label:
            continue
        if isinstance(module, NORMS) and not width_map.selects:
            raise ValueError(
                f"{name!r} is BatchNorm over {label!r}, its statistics cannot be mixed: merge must "
                "select units"
            )
        if getattr(module, "groups", 1) > 1 and not _leaves_alone(width_map):
            raise ValueError(
                f"{name!r} is a depthwise convolution over {label!r}, each of its filters reads "
                "one unit: no unit can stand for another"
            )


def _leaves_alone(width_map: WidthMap) -> bool:
    """Return whether each unit that remains is an old one and is read in its own place only."""
    own = (width_map.merge.T != 0)[width_map.unmerge != 0].all()
    return width_map.selects and bool(own)


def _mapped(network: Network, maps: Mapping[str, WidthMap]) -> Network:
    """Return a network with several widths mapped, in one pass over its state."""
    for label, width_map in maps.items():
        _require_width(network, label, width_map.n)
        _require_possible(network, label, width_map)
    state = network.state_dict()
    if foreign := sorted(set(state) - set(network.axes)):
        raise ValueError(f"network must hold what its axes describe, got {foreign} as well")
    mapped: dict[str, Tensor] = {}
    for name, value in state.items():
        mapped[name] = value
        for axis, described in enumerate(network.axes[name]):
            if described.label is not None and described.label in maps:
                mapped[name] = _mapped_axis(mapped[name], axis, described, maps[described.label])
        if mapped[name] is value:
            mapped[name] = value.clone()
        elif value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last):
            mapped[name] = mapped[name].contiguous(memory_format=torch.channels_last)
    widths = {label: maps[label].k if label in maps else n for label, n in network.widths.items()}
    return _built(network, widths, mapped)


def _mapped_axis(x: Tensor, axis: int, described: Axis, width_map: WidthMap) -> Tensor:
    """Return M over a first axis, Uᵀ over another; a selection needs no product."""
    if width_map.only_selects:
        entries = width_map.chosen
        if described.repeat > 1:
            within = torch.arange(described.repeat, device=x.device)
            entries = (entries[:, None] * described.repeat + within).flatten()
        return x.index_select(axis, entries)
    matrix = width_map.merge if axis == 0 else width_map.unmerge.T
    return map_axis(x, axis, matrix, described.repeat)


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
