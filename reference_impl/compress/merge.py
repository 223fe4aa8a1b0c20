"""Networks in which units that stay stand for units that go: one-shot, without training.

By their weights (`merge_nearest`, `merge_clusters`), or by what they compute on a few images
(`merge_least_squares`). All hidden widths named are merged, in their order in the network, and a
network is returned that is really smaller; the one given is left as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from reference_impl.checks import require_instance, require_real
from reference_impl.compress.activations import outputs_at
from reference_impl.compress.narrow import map_width, remove_units
from reference_impl.compress.readers import (
    absorb_offset,
    only_reader,
    require_images,
    takes_offset,
    values_read,
)
from reference_impl.compress.units import incoming_rows
from reference_impl.distillation import soft_target_loss
from reference_impl.merging import (
    Reproduction,
    WidthMap,
    complete_linkage,
    cosine_similarity,
    nearest_kept,
    norm_ratio_scale,
    reproduce,
    selection,
    standing_in,
)
from reference_impl.models import Network

Scale = Callable[[Float[Tensor, "pairs d"], Float[Tensor, "pairs d"]], Float[Tensor, " pairs"]]
"""(rows that stay, rows that go) → c, see `reference_impl.merging.factors`."""

Linkage = Callable[[Float[Tensor, "n n"], float], Int64[Tensor, " n"]]
"""(similarities, threshold) → for each unit the one that names its cluster."""


def nearest_map(
    rows: Float[Tensor, "n d"],
    keep: Bool[Tensor, " n"],
    *,
    scale: Scale = norm_ratio_scale,
    threshold: float = -1.0,
) -> WidthMap:
    """Return the map in which each unit that goes is c times the most similar one that stays.

    Where that similarity is below the threshold, c = 0: the unit is pruned.

    Args:
        rows: one unit's incoming weights a row, with its bias.
        keep: true for a unit that stays.
        scale: which c.
        threshold: of the cosine, in [−1, 1]; −1 is none.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes do not fit, a row is zero, no unit stays, or ``threshold`` is
            outside [−1, 1].
    """
    require_real("threshold", threshold, -1, 1)
    similarity = cosine_similarity(rows)
    stands_for = nearest_kept(similarity, keep)
    near = similarity.gather(1, stands_for.unsqueeze(1)).squeeze(1) >= threshold
    c = torch.where(near, scale(rows[stands_for], rows), 0)
    return standing_in(keep, stands_for, torch.where(keep, 1, c))


def cluster_map(
    rows: Float[Tensor, "n d"],
    threshold: float,
    *,
    scale: Scale = norm_ratio_scale,
    linkage: Linkage = complete_linkage,
) -> WidthMap:
    """Return the map in which the first unit of each cluster stands, scaled, for the others.

    Args:
        rows: one unit's incoming weights a row, with its bias.
        threshold: of the cosine, in [−1, 1].
        scale: which c.
        linkage: what makes the clusters.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a row is zero, or ``threshold`` is outside [−1, 1].
    """
    similarity = cosine_similarity(rows)
    labels = linkage(similarity, threshold)
    keep = labels == torch.arange(len(labels), device=labels.device)
    return standing_in(keep, labels, torch.where(keep, 1, scale(rows[labels], rows)))


def merge_nearest(
    network: Network,
    keep: Mapping[str, Bool[Tensor, " units"]],
    *,
    scale: Scale = norm_ratio_scale,
    threshold: float = -1.0,
    sequential: bool = False,
) -> Network:
    """Return a network in which the nearest unit that stays stands for each that goes.

    Args:
        network: left as it is.
        keep: label → true for a unit that stays.
        scale: which c.
        threshold: of the cosine, in [−1, 1], below which a unit is pruned; −1 is none.
        sequential: compare the rows of each width after those before it are merged.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `nearest_map` and `reference_impl.compress.narrow.map_width`.

    References:
        Kim, Kim, Park & Jeon (2020), Neuron merging: compensating for pruned neurons.

    Equation: eq-merge-exact, chapter 15.
    """
    remove_units(network, keep)  # refuses bad masks before anything is compared
    merged = network
    for label in _in_order(network, keep):
        rows = incoming_rows(merged if sequential else network, label)
        width_map = nearest_map(rows, keep[label], scale=scale, threshold=threshold)
        merged = map_width(merged, label, width_map)
    return merged if keep else remove_units(network, {})


def merge_clusters(
    network: Network,
    thresholds: Mapping[str, float],
    *,
    scale: Scale = norm_ratio_scale,
    linkage: Linkage = complete_linkage,
) -> Network:
    """Return a network in which one unit of each cluster is left and stands for the others.

    Args:
        network: left as it is.
        thresholds: label → cosine, in [−1, 1], that two units of a cluster have at least.
        scale: which c.
        linkage: what makes the clusters.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `cluster_map` and `reference_impl.compress.narrow.map_width`.
    """
    require_instance("network", network, Network)
    require_instance("thresholds", thresholds, Mapping)
    maps = {
        label: cluster_map(incoming_rows(network, label), threshold, scale=scale, linkage=linkage)
        for label, threshold in thresholds.items()
    }
    merged = remove_units(network, {})
    for label in _in_order(network, maps):
        merged = map_width(merged, label, maps[label])
    return merged


def merge_least_squares(
    network: Network,
    keep: Mapping[str, Bool[Tensor, " units"]],
    images: Float[Tensor, "m 1 28 28"],
    *,
    ridge: float,
    scale: Scale | None = None,
    sequential: bool = True,
) -> Network:
    """Return a network in which all units that stay, together, stand for those that go.

    What the next layer read, h, is reproduced from what it will read, h_k: by the least squares
    of `reference_impl.merging.least_squares.reproduce` over the images (and positions). Its bias
    takes the constant. Where zeros pad a feature map no bias can, and there is none.

    Args:
        network: left as it is; it answers in evaluation mode.
        keep: label → true for a unit that stays.
        images: no labels are needed.
        ridge: λ ≥ 0, without unit.
        scale: the ridge pulls towards `merge_nearest` with this scale; None: towards pruning.
        sequential: h_k is what the network gives whose widths before it are merged already, and
            makes up for what was lost there; or else it is part of h.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a mask, the ridge or ``images`` is bad, or a width cannot be merged so:
            several layers read it, or one inside a block.
    """
    remove_units(network, keep)
    require_real("ridge", ridge, 0)
    for label in keep:
        only_reader(network, label)  # refuses before the first forward pass
    merged = remove_units(network, {})
    for label in _in_order(network, keep):
        mask = keep[label]
        h = values_read(network, label, images)
        left = (values_read(merged, label, images) if sequential else h)[:, mask]
        start = selection(mask)
        if scale is not None:
            start = nearest_map(incoming_rows(network, label), mask, scale=scale)
        said = reproduce(h, left, start.unmerge, ridge=ridge, intercept=takes_offset(merged, label))
        merged = _reproducing(merged, label, start.merge, said)
    return merged


def closest_outputs(
    network: Network, candidates: Mapping[Any, Network], images: Float[Tensor, "m 1 28 28"]
) -> Any:
    """Return the name of the candidate with the least mean KL(p ‖ q) from the network's p.

    So a ridge is chosen: no labels are needed. Of equals the first.

    Args:
        network: what the candidates were made of.
        candidates: name, a ridge for example → a network.
        images: other ones than the candidates were made from.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there is no candidate, or ``images`` is empty or not finite.
    """
    require_instance("network", network, Network)
    require_instance("candidates", candidates, Mapping)
    if not candidates:
        raise ValueError("candidates must hold a network or more, got none")
    for name, one in candidates.items():
        require_instance(f"candidates[{name!r}]", one, Network)
    require_images(network, images)
    p = _logits(network, images)
    divergence = {
        name: soft_target_loss(_logits(one, images), p, temperature=1.0).item()
        for name, one in candidates.items()
    }
    return min(divergence, key=divergence.__getitem__)


def _logits(network: Network, images: Tensor) -> Tensor:
    return list(outputs_at(network.chain(), [], images).values())[-1]


def _reproducing(network: Network, label: str, merge: Tensor, said: Reproduction) -> Network:
    """Return the network of the units that stay; its own bias takes W' e first."""
    shifted = remove_units(network, {})
    absorb_offset(shifted, label, said.offset)
    return map_width(shifted, label, WidthMap(merge, said.unmerge))


def _in_order(network: Network, named: Mapping[str, object]) -> list[str]:
    """Return the labels, all of them known, in the order of the network's widths."""
    return sorted(named, key=lambda label: list(network.widths).index(label))
