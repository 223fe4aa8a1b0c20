"""Global structured pruning: whole units go, the lowest of all layers first, to a MAC budget.

What a network multiplies is a polynomial in its widths, see `MacFormula`; so a budget can be met by
counting, without building one network after another.
"""

import itertools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference_impl.checked import Count, Finite, Where, checked
from reference_impl.compress.graph import Example, dependency_graph
from reference_impl.compress.layers import WEIGHT_LAYERS, Net, at
from reference_impl.compress.narrow import remove_units

Scores = Annotated[Mapping[str, Finite[Tensor, " _"]], Where("one or more", bool)]
"""Label of a width → a score per unit, the higher the more worth keeping."""

Normalise = Callable[[Float[Tensor, " units"]], Float[Tensor, " units"]]
"""Scores of one layer's units → scores that are compared with those of other layers."""


@checked
@dataclass(frozen=True)
class MacFormula:
    """MACs = Σ_k fixed_k Π_{j in layer k} C_j, of one image, by the widths C_j.

    ``terms`` has for each layer fixed_k and the labels j; fixed_k is the positions of its output
    times what is fixed in its weight's shape (kernel, pixels, classes).

    Equation: eq-narrow-macs, chapter 16.
    """

    terms: tuple[tuple[int, tuple[str, ...]], ...]

    @checked
    def __call__(self, widths: Mapping[str, Count]) -> int:
        """Return the MACs at these widths."""
        if missing := sorted({j for _, labels in self.terms for j in labels} - set(widths)):
            raise ValueError(f"widths must hold every label, got none for {missing}")
        return sum(c * math.prod(widths[j] for j in labels) for c, labels in self.terms)


@checked
def mac_formula(network: nn.Module, example: Example = None) -> MacFormula:
    """Return a network's MACs as a function of its widths, from one forward pass.

    A layer's count: positions of its output · its weight's axes, each fixed or width · repeat;
    where values are concatenated, the sum over what is read of each.

    >>> from reference_impl.models import LeNet300
    >>> mac_formula(LeNet300())({"hidden1": 300, "hidden2": 100})  # 784·300 + 300·100 + 100·10
    266200
    """
    found = dependency_graph(network, example)
    terms: list[tuple[int, tuple[str, ...]]] = []
    for path, node in found.traced.calls(*WEIGHT_LAYERS).items():
        linear = isinstance(at(network, path), nn.Linear)
        positions = (found.shapes[node][1:-1] if linear else found.shapes[node][2:]).numel()
        for pieces in itertools.product(*found.axes[f"{path}.weight"]):
            fixed = math.prod(one.n if one.label is None else one.repeat for one in pieces)
            labels = tuple(one.label for one in pieces if one.label is not None)
            terms.append((positions * fixed, labels))
    return MacFormula(tuple(terms))


@checked
def unchanged(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return the scores as they are: layers with larger weights lose fewer units."""
    return scores


@checked
def by_mean(scores: Finite[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return I_i / mean(I): how a unit compares with the mean of its own layer.

    >>> import torch
    >>> by_mean(torch.tensor([1.0, 2.0, 3.0]))
    tensor([0.5000, 1.0000, 1.5000])

    Raises:
        ValueError: if the mean is not positive.

    Equation: eq-narrow-normalised, chapter 16.
    """
    mean = scores.mean()
    if not mean > 0:
        raise ValueError(f"scores must have a positive mean to be divided by, got {mean.item()}")
    return scores / mean


@checked
def by_rank(scores: Finite[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return (rank_i + ½) / C, in (0, 1), as float64: layers lose about the same share of units.

    >>> import torch
    >>> by_rank(torch.tensor([0.3, 9.0, 0.1, 2.0]))
    tensor([0.3750, 0.8750, 0.1250, 0.6250], dtype=torch.float64)

    Equation: eq-narrow-normalised, chapter 16.
    """
    rank = torch.empty_like(scores, dtype=torch.float64)
    order = scores.argsort(stable=True)
    rank[order] = torch.arange(len(scores), dtype=torch.float64, device=scores.device)
    return (rank + 0.5) / len(scores)


NORMALISE: Mapping[str, Normalise] = MappingProxyType(
    {"unchanged": unchanged, "by mean": by_mean, "by rank": by_rank}
)


@checked
def masks_to_budget(
    network: nn.Module,
    scores: Scores,
    max_macs: Count,
    example: Example = None,
    *,
    normalise: Normalise = by_mean,
    least: Count = 1,
) -> dict[str, Bool[Tensor, " units"]]:
    """Return masks that keep the highest scores, as many as MACs ≤ ``max_macs`` allows.

    All units stand in one line, lowest normalized score first, equals in the order of the layers;
    one after another is removed until the budget holds, except the last ``least`` of a layer.
    Widths without scores are left whole. Scores are compared in float64.

    Raises:
        ValueError: if a score is not that of a width, or the budget cannot be met.
    """
    found = dependency_graph(network, example)
    macs, widths = mac_formula(network, found), found.widths
    for label, score in scores.items():
        if len(score) != (n := found.units(label)):
            raise ValueError(f"scores[{label!r}] must be ({n},), got {tuple(score.shape)}")
    floor = {label: min(least, len(score)) for label, score in scores.items()}
    if (lowest := macs({**widths, **floor})) > max_macs:
        raise ValueError(
            f"max_macs must be at least {lowest:,}, what is left with {least} of the units of "
            f"{sorted(scores)}, got {max_macs:,}"
        )
    order = _lowest_first(scores, normalise, least)

    def macs_without(going: int) -> int:
        removed = Counter(label for label, _ in order[:going])
        return macs({label: n - removed[label] for label, n in widths.items()})

    going = bisect_left(range(len(order)), -max_macs, key=lambda n: -macs_without(n))
    keep = {label: torch.ones(len(score), dtype=torch.bool) for label, score in scores.items()}
    for label, unit in order[:going]:
        keep[label][unit] = False
    return keep


@checked
def prune_to_budget(
    network: Net,
    scores: Scores,
    max_macs: Count,
    example: Example = None,
    *,
    normalise: Normalise = by_mean,
    least: Count = 1,
) -> Net:
    """Return the network without its lowest units, really smaller, see `masks_to_budget`.

    References: Fang et al. (2023), DepGraph: towards any structural pruning, whose library
    Torch-Pruning finds by tracing the layers that belong together.

    >>> from reference_impl.models import LeNet300
    >>> prune_to_budget(LeNet300(), {"hidden1": torch.arange(1.0, 301)}, 100_000).widths
    {'hidden1': 111, 'hidden2': 100}
    """
    found = dependency_graph(network, example)
    masks = masks_to_budget(network, scores, max_macs, found, normalise=normalise, least=least)
    return remove_units(network, masks, found)


def _lowest_first(
    scores: Mapping[str, Tensor], normalise: Normalise, least: int
) -> list[tuple[str, int]]:
    """Return (label, unit) in the order in which they go, without the last ``least`` of a label."""
    value: dict[tuple[str, int], float] = {}
    for label, score in scores.items():
        found = normalise(score.detach().to(torch.float64, copy=True))  # means cannot overflow
        if found.shape != score.shape or not found.isfinite().all():
            raise ValueError(f"normalise must keep {label!r} finite and {score.shape}, got {found}")
        going = found.argsort(stable=True)[:-least].sort().values.tolist()
        listed = found.tolist()
        value |= {(label, unit): listed[unit] for unit in going}
    return sorted(value, key=value.__getitem__)  # equals in the order of the layers
