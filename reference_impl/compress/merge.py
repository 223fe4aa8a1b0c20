"""Networks in which kept units replace removed ones: one-shot, without training.

By their weights (`merge_nearest`, `merge_clusters`), or by what they compute on a few images
(`merge_least_squares`). All hidden widths named are merged, in their order in the network, and a
network is returned that is really smaller; the one given is left as it is.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from reference_impl.checked import Finite, NonNegative, Where, checked
from reference_impl.compress.activations import outputs_at, values_read
from reference_impl.compress.graph import Example, dependency_graph, incoming_rows, only_reader
from reference_impl.compress.layers import Net
from reference_impl.compress.narrow import Masks, map_width, map_widths, remove_units
from reference_impl.compress.quantized import WeightLayer
from reference_impl.distillation import soft_target_loss
from reference_impl.merging import (
    WidthMap,
    complete_linkage,
    cosine_similarity,
    nearest_kept,
    norm_ratio_scale,
    reproduce,
    selection,
    standing_in,
)
from reference_impl.merging.clusters import Cosine

Scale = Callable[[Float[Tensor, "pairs d"], Float[Tensor, "pairs d"]], Float[Tensor, " pairs"]]
"""(kept rows, removed rows) → c, see `reference_impl.merging.factors`."""

Linkage = Callable[[Float[Tensor, "n n"], float], Int64[Tensor, " n"]]
"""(similarities, threshold) → for each unit the one that names its cluster."""

Candidates = Annotated[Mapping[Any, nn.Module], Where("one or more", bool)]


@checked
def nearest_map(
    rows: Float[Tensor, "n d"],
    keep: Bool[Tensor, " n"],
    *,
    scale: Scale = norm_ratio_scale,
    threshold: Cosine = -1.0,
) -> WidthMap:
    """Return the map in which c times the most similar kept unit replaces each removed one.

    Where that similarity is below the threshold, c = 0: the unit is pruned. A row is one unit's
    incoming weights with its bias, see `reference_impl.compress.incoming_rows`.
    """
    similarity = cosine_similarity(rows)
    stands_for = nearest_kept(similarity, keep)
    near = similarity.gather(1, stands_for.unsqueeze(1)).squeeze(1) >= threshold
    c = torch.where(near, scale(rows[stands_for], rows), 0)
    return standing_in(keep, stands_for, torch.where(keep, 1, c))


@checked
def cluster_map(
    rows: Float[Tensor, "n d"],
    threshold: Cosine,
    *,
    scale: Scale = norm_ratio_scale,
    linkage: Linkage = complete_linkage,
) -> WidthMap:
    """Return the map in which the first unit of each cluster stands, scaled, for the others."""
    labels = linkage(cosine_similarity(rows), threshold)
    keep = labels == torch.arange(len(labels), device=labels.device)
    return standing_in(keep, labels, torch.where(keep, 1, scale(rows[labels], rows)))


@checked
def merge_nearest(
    network: Net,
    keep: Masks,
    example: Example = None,
    *,
    scale: Scale = norm_ratio_scale,
    threshold: Cosine = -1.0,
    sequential: bool = False,
) -> Net:
    """Return a network in which the nearest kept unit replaces each removed one.

    With ``sequential`` the rows of each width are compared after those before it are merged.

    References: Kim et al. (2020), Neuron merging: compensating for pruned neurons.
    Equation: eq-merge-exact, chapter 17.
    """
    found = dependency_graph(network, example)
    merged = remove_units(network, {}, found)
    remove_units(network, keep, found)  # refuses bad masks before anything is compared
    for label in filter(keep.__contains__, found.widths):
        now = dependency_graph(merged, found.example)
        compared = now if sequential else found
        rows = incoming_rows(compared.network, label, compared)
        width_map = nearest_map(rows, keep[label], scale=scale, threshold=threshold)
        merged = map_width(merged, label, width_map, now)
    return merged


@checked
def merge_clusters(
    network: Net,
    thresholds: Mapping[str, float],
    example: Example = None,
    *,
    scale: Scale = norm_ratio_scale,
    linkage: Linkage = complete_linkage,
) -> Net:
    """Return a network in which one unit of each cluster is left and stands for the others.

    ``thresholds`` has for each width the cosine that two units of a cluster have at least.
    """
    found = dependency_graph(network, example)
    maps = {
        label: cluster_map(
            incoming_rows(network, label, found), threshold, scale=scale, linkage=linkage
        )
        for label, threshold in thresholds.items()
    }
    return map_widths(network, maps, found)


@checked
def merge_least_squares(
    network: Net,
    keep: Masks,
    images: Finite[Tensor, "n ..."],
    *,
    ridge: NonNegative,
    scale: Scale | None = None,
    sequential: bool = True,
) -> Net:
    """Return a network in which all kept units together reproduce the removed ones.

    What the next layer read, h, is reproduced from what it will read, h_k: by the least squares
    of `reference_impl.merging.reproduce` over the images (and positions). Its bias takes the
    constant. A bias cannot do this for a zero-padded feature map; then there is none.

    The ridge λ, without unit, pulls towards `merge_nearest` with this scale; None: towards pruning.
    With ``sequential`` h_k is what the network gives whose widths before it are merged already, and
    makes up for what was lost there; otherwise it is part of h.
    """
    found = dependency_graph(network, images[:1])
    merged = remove_units(network, {}, found)
    remove_units(network, keep, found)  # refuses bad masks before the first forward pass
    for label in filter(keep.__contains__, found.widths):
        now = dependency_graph(merged, images[:1])
        mask, (_, reader) = keep[label], only_reader(network, label, found)
        h = values_read(network, label, images, found)
        left = (values_read(merged, label, images, now) if sequential else h)[:, mask]
        start = selection(mask)
        if scale is not None:
            start = nearest_map(incoming_rows(network, label, found), mask, scale=scale)
        said = reproduce(h, left, start.unmerge, ridge=ridge, intercept=_takes_offset(reader))
        absorb_offset(merged, label, said.offset, now)
        merged = map_width(merged, label, WidthMap(start.merge, said.unmerge), now)
    return merged


@checked
def absorb_offset(
    network: nn.Module, label: str, offset: Finite[Tensor, " units"], example: Example = None
) -> None:
    """Change, in place, the bias of the layer that reads a width: b' ← b' + W' e.

    After a flatten e, a constant for each unit, is that of each position, and so it is at each
    place of a kernel.

    Raises:
        ValueError: if ``offset`` has another length, or is not 0 and no bias can take it.
    """
    found = dependency_graph(network, example)
    path, reader = only_reader(network, label, found)
    if len(offset) != (n := found.units(label)):
        raise ValueError(f"offset must be ({n},), one per unit, got {tuple(offset.shape)}")
    if not offset.any():
        return
    if reader.bias is None or not _takes_offset(reader):
        raise ValueError(f"offset must be 0 for {label!r}: its reader has no bias, or is padded")
    weight = reader.weight.detach().double()
    columns = found.part(label, weight, found.axes[f"{path}.weight"][1])
    summed = columns.sum(dim=2)  # positions, or the kernel
    with torch.no_grad():
        reader.bias += (summed @ offset.detach().double()).to(reader.bias.dtype)


@checked
def closest_outputs(
    network: nn.Module, candidates: Candidates, images: Finite[Tensor, "n ..."]
) -> Any:
    """Return the name of the candidate with the least mean KL(p ‖ q) from the network's p.

    So a ridge is chosen, without labels. The images must not be those from which the candidates
    were made. The first of equals is returned.
    """
    (p,) = outputs_at(network, [], images).values()
    divergence = {}
    for name, candidate in candidates.items():
        (q,) = outputs_at(candidate, [], images).values()
        divergence[name] = soft_target_loss(q, p, temperature=1.0).item()
    return min(divergence, key=divergence.__getitem__)


def _takes_offset(reader: WeightLayer) -> bool:
    """Return whether a constant added to each unit is one added to the bias of what reads it.

    Not for a zero-padded feature map, whose padding remains zero, nor for a layer without a bias.
    """
    padding = () if isinstance(reader, nn.Linear) else reader.padding
    padded = padding != "valid" and any(p != 0 for p in padding)
    return reader.bias is not None and not padded
