"""Networks whose units are really gone: every axis of a width mapped to another number of units."""

import copy
from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from reference_impl.checked import checked
from reference_impl.compress.graph import Axis, DependencyGraph, Example, dependency_graph
from reference_impl.compress.layers import NORMS, Net, at, outside_inference_mode
from reference_impl.merging import WidthMap, map_axis, selection
from reference_impl.models import evaluating

Masks = Mapping[str, Bool[Tensor, " _"]]
"""Label of a width → true for a unit that is kept. Other widths are left whole."""


@checked
def map_width(network: Net, label: str, width_map: WidthMap, example: Example = None) -> Net:
    """Return a network in which the units of one width are mapped.

    W_kept = M W, W'_kept = W' U: M acts on each first axis that carries the label (the rows that
    compute the units: weights, biases, BatchNorm), U on every other one (the columns that read
    them). All the rest is a copy: modes, layouts, what is frozen, strides, settings of classes.

    Raises:
        ValueError: if the map is made for another width, the width cannot be cut, BatchNorm would
            be mixed, a depthwise filter would read several units, or the network's code asks for
            the old width.

    >>> from reference_impl.merging import selection
    >>> from reference_impl.models import LeNet300
    >>> keep = torch.arange(300) < 30
    >>> map_width(LeNet300(), "hidden1", selection(keep)).widths
    {'hidden1': 30, 'hidden2': 100}

    Equation: eq-narrow-rows, eq-narrow-columns, chapter 16.
    Equation: eq-merge-next, chapter 17.
    """
    return map_widths(network, {label: width_map}, example)


@checked
def remove_units(network: Net, keep: Masks, example: Example = None) -> Net:
    """Return a network without the units that the masks drop; errors are those of `map_width`.

    >>> from reference_impl.compress import incoming_rows
    >>> from reference_impl.models import LeNet5
    >>> from reference_impl.pruning import keep_highest, row_norm
    >>> network = LeNet5()  # of another network: dependency_graph(network, images[:1])
    >>> graph = dependency_graph(network)
    >>> rows = {label: incoming_rows(network, label, graph) for label in graph.widths}
    >>> keep = {label: keep_highest(row_norm(x), share=0.5) for label, x in rows.items()}
    >>> remove_units(network, keep, graph).widths
    {'conv1': 10, 'conv2': 25, 'hidden': 250}

    Equation: eq-narrow-same, chapter 16.
    """
    maps = {label: selection(mask) for label, mask in keep.items()}
    return map_widths(network, maps, example)


@checked
def silence_units(network: Net, keep: Masks, example: Example = None) -> Net:
    """Return a network of the same widths in which nothing reads the units that the masks drop.

    It computes what `remove_units` returns computes, at the cost of the whole network.
    """
    maps: dict[str, WidthMap] = {}
    for label, mask in keep.items():
        selection(mask)  # refuses a mask that keeps no unit
        maps[label] = WidthMap(torch.eye(len(mask)), torch.diag(mask.to(torch.get_default_dtype())))
    return map_widths(network, maps, example)


@outside_inference_mode
def map_widths(network: Net, maps: Mapping[str, WidthMap], example: Example) -> Net:
    """Return a network in which each of these widths is mapped, see `map_width`."""
    found = dependency_graph(network, example)
    for label, width_map in maps.items():
        _require_possible(network, found, label, width_map)
    result = copy.deepcopy(network)
    for name, axes in found.axes.items():
        path, _, entry = name.rpartition(".")
        module = at(result, path)
        old = value = getattr(module, entry)
        for axis, pieces in enumerate(axes):
            if any(piece.label in maps for piece in pieces):
                value = _mapped_axis(value.detach(), axis, pieces, maps)
        if value is not old:
            _set(module, entry, value)
    for module in result.modules():
        _set_sizes(module)
    with evaluating(result), torch.no_grad():
        try:
            result(found.example.clone())  # a ReLU in place would change the caller's
        except Exception as error:  # whatever the network's own code raises
            raise ValueError(f"the network's code asks for the old widths: {error}") from error
    return result


def _require_possible(
    network: nn.Module, found: DependencyGraph, label: str, width_map: WidthMap
) -> None:
    """Refuse what would give another function without an error."""
    if width_map.n != (n := found.units(label)):
        raise ValueError(f"{label!r} has {n} units, got a map or mask for {width_map.n}")
    for name in found.ends(label, written=True):
        path = name.rpartition(".")[0]
        module = at(network, path)
        if isinstance(module, NORMS) and not width_map.selects:
            raise ValueError(
                f"{path!r} is BatchNorm over {label!r}, its statistics cannot be mixed: merge must "
                "select units"
            )
        if getattr(module, "groups", 1) > 1 and not (width_map.selects and _in_place(width_map)):
            raise ValueError(
                f"{path!r} is a depthwise convolution over {label!r}, each of its filters reads "
                "one unit: no unit can stand for another"
            )


def _in_place(width_map: WidthMap) -> bool:
    """Return whether each unit is read where it was written."""
    return bool((width_map.merge.T != 0)[width_map.unmerge != 0].all())


def _mapped_axis(x: Tensor, axis: int, pieces: Axis, maps: Mapping[str, WidthMap]) -> Tensor:
    """Return x with the pieces of an axis mapped: M over a first axis, Uᵀ over another."""
    parts = list(x.split([n * repeat for _, n, repeat in pieces], axis))
    for i, (label, _, repeat) in enumerate(pieces):
        if label is not None and label in maps:
            parts[i] = _mapped_part(parts[i], axis, repeat, maps[label])
    y = torch.cat(parts, axis)
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return y.contiguous(memory_format=torch.channels_last) if last else y


def _mapped_part(x: Tensor, axis: int, repeat: int, width_map: WidthMap) -> Tensor:
    """Return M over a first axis, Uᵀ over another; a selection needs no product."""
    if not width_map.only_selects:
        matrix = width_map.merge if axis == 0 else width_map.unmerge.T
        return map_axis(x, axis, matrix, repeat)
    within = torch.arange(repeat, device=x.device)
    entries = (width_map.chosen.to(x.device)[:, None] * repeat + within).flatten()
    return x.index_select(axis, entries)


def _set(module: nn.Module, entry: str, value: Tensor) -> None:
    """Give a module another tensor in the place of a parameter or buffer."""
    old = getattr(module, entry)
    asks = old.requires_grad
    setattr(module, entry, nn.Parameter(value, asks) if isinstance(old, nn.Parameter) else value)


def _set_sizes(module: nn.Module) -> None:
    """Let a layer say the sizes that its tensors have."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _ConvNd):
        out, inputs = module.weight.shape[:2]
        if module.groups > 1:  # whole groups have gone
            module.groups = module.groups * out // module.out_channels
        module.out_channels, module.in_channels = out, inputs * module.groups
    elif isinstance(module, NORMS) and module.running_mean is not None:
        module.num_features = len(module.running_mean)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
