"""Global structured pruning: whole units go, the lowest of all layers first, to a MAC budget.

What a network multiplies is a polynomial in its widths, see `MacFormula`; so that a budget can be
met by counting, without building one network after another.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.compress.narrow import remove_units
from reference_impl.compress.quantized import WEIGHT_LAYERS
from reference_impl.models import IMAGE_SHAPE, Network

Normalise = Callable[[Float[Tensor, " units"]], Float[Tensor, " units"]]
"""Scores of one layer's units → scores that are compared with those of other layers."""


@dataclass(frozen=True)
class MacFormula:
    """MACs(n) = Σ_l c_l Π_{j of l} n_j, the multiply–accumulates of one image by the widths n.

    Args:
        terms: for each layer c_l and the labels j; c_l is the positions of its output · whatever
            of its weight's shape is fixed (kernel, pixels, classes).
    """

    terms: tuple[tuple[int, tuple[str, ...]], ...]

    def __call__(self, widths: Mapping[str, int]) -> int:
        """Return MACs(n).

        Raises:
            TypeError, ValueError: if ``widths`` is no mapping of integers ≥ 1, or misses a label.
        """
        require_instance("widths", widths, Mapping)
        missing = sorted({label for _, labels in self.terms for label in labels} - set(widths))
        if missing:
            raise ValueError(f"widths must hold every label, got none for {missing}")
        n = {label: require_int(f"widths[{label!r}]", width, 1) for label, width in widths.items()}
        return sum(c * math.prod(n[label] for label in labels) for c, labels in self.terms)


def mac_formula(network: Network) -> MacFormula:
    """Return a network's MACs as a function of its widths, from one forward pass.

    A layer's count: positions of its output · its weight's axes, each fixed or width · repeat.

    Args:
        network: left as it is; one black image passes through it, in evaluation mode.

    Raises:
        TypeError: if ``network`` is none.

    >>> from reference_impl.models import LeNet300
    >>> mac_formula(LeNet300())({"hidden1": 300, "hidden2": 100})  # 784·300 + 300·100 + 100·10
    266200

    Equation: eq-narrow-macs, chapter 14.
    """
    require_instance("network", network, Network)
    terms = []
    for name, count in _positions(network).items():
        weight = network.get_parameter(f"{name}.weight")
        constant, labels = count, []
        for length, axis in zip(weight.shape, network.axes[f"{name}.weight"], strict=True):
            constant *= length if axis.label is None else axis.repeat
            labels += [] if axis.label is None else [axis.label]
        terms.append((constant, tuple(labels)))
    return MacFormula(tuple(terms))


def unchanged(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return the scores as they are: layers with larger weights lose fewer units."""
    return scores


def by_mean(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return S_i / mean(S): how a unit compares with the mean of its own layer.

    Raises:
        ValueError: if the mean is not positive.
    """
    mean = scores.mean()
    if not mean > 0:
        raise ValueError(f"scores must have a positive mean to be divided by, got {mean.item()}")
    return scores / mean


def by_rank(scores: Float[Tensor, " units"]) -> Float[Tensor, " units"]:
    """Return (rank_i + ½) / n, in (0, 1), as float64: layers lose about the same share of units."""
    rank = torch.empty_like(scores, dtype=torch.float64)
    order = scores.argsort(stable=True)
    rank[order] = torch.arange(len(scores), dtype=torch.float64, device=scores.device)
    return (rank + 0.5) / len(scores)


NORMALISE: Mapping[str, Normalise] = MappingProxyType(
    {"unchanged": unchanged, "by mean": by_mean, "by rank": by_rank}
)


def masks_to_budget(
    network: Network,
    scores: Mapping[str, Float[Tensor, " units"]],
    max_macs: int,
    *,
    normalise: Normalise = by_mean,
    least: int = 1,
) -> dict[str, Bool[Tensor, " units"]]:
    """Return masks that keep the highest scores, as many as MACs(n) ≤ ``max_macs`` allows.

    All units stand in one line, lowest normalised score first, equals in the order of the layers;
    one after another goes until the budget holds. The last ``least`` of a layer never go.

    Args:
        network: left as it is.
        scores: label → a score per unit, the higher the more worth keeping. Widths that are not
            named stay whole.
        max_macs: multiply–accumulates of one image, at most.
        normalise: makes the scores of layers comparable: of a float64 copy as many numbers.
        least: units that every layer keeps (fewer if it has fewer).

    Returns:
        label → true for a unit that stays, for every label of ``scores``.

    Raises:
        TypeError: if an argument, or what ``normalise`` returns, is of the wrong kind.
        ValueError: if ``scores`` is empty, a label is no width, a score (given or normalised) has
            the wrong length or is not finite, or the budget cannot be met: the least is named.
    """
    _require_scores(network, scores)
    require_int("max_macs", max_macs, 1)
    require_int("least", least, 1)
    if not callable(normalise):
        raise TypeError(f"normalise must be callable, got {type(normalise).__name__}")
    macs = mac_formula(network)
    widths = dict(network.widths)
    floor = {label: min(least, widths[label]) for label in scores}
    if (lowest := macs({**widths, **floor})) > max_macs:
        raise ValueError(
            f"max_macs must be at least {lowest:,}, what is left with {least} of the units of "
            f"{sorted(scores)}, got {max_macs:,}"
        )
    going = _lowest_first(scores, normalise, floor)

    def left(n_gone: int) -> dict[str, int]:
        gone = Counter(label for label, _ in going[:n_gone])
        return {label: n - gone[label] for label, n in widths.items()}

    n_gone = bisect_left(range(len(going) + 1), -max_macs, key=lambda n: -macs(left(n)))
    keep = {label: torch.ones(len(score), dtype=torch.bool) for label, score in scores.items()}
    for label, unit in going[:n_gone]:
        keep[label][unit] = False
    return keep


def prune_to_budget(
    network: Network,
    scores: Mapping[str, Float[Tensor, " units"]],
    max_macs: int,
    *,
    normalise: Normalise = by_mean,
    least: int = 1,
) -> Network:
    """Return the network without its lowest units, really smaller, within ``max_macs``.

    Args and errors are those of `masks_to_budget`; the network is left as it is.

    References:
        Fang, Ma, Song, Mi & Wang (2023), DepGraph: towards any structural pruning, whose library
        Torch-Pruning finds by tracing the layers that belong together.

    >>> from reference_impl.models import LeNet300
    >>> prune_to_budget(LeNet300(), {"hidden1": torch.arange(1.0, 301)}, 100_000).widths
    {'hidden1': 111, 'hidden2': 100}

    Equation: eq-narrow-normalised, chapter 14.
    """
    masks = masks_to_budget(network, scores, max_macs, normalise=normalise, least=least)
    return remove_units(network, masks)


def _require_scores(network: Network, scores: Mapping[str, Tensor]) -> None:
    require_instance("network", network, Network)
    require_instance("scores", scores, Mapping)
    if not scores:
        raise ValueError("scores must hold a width or more, got none")
    for label, score in scores.items():
        if label not in network.widths:
            raise ValueError(f"scores must be of {sorted(network.widths)}, got {label!r}")
        require_float_tensor(f"scores[{label!r}]", score)
        if score.shape != (network.widths[label],):
            raise ValueError(
                f"scores[{label!r}] must be ({network.widths[label]},), one per unit, "
                f"got {tuple(score.shape)}"
            )


def _lowest_first(
    scores: Mapping[str, Tensor], normalise: Normalise, floor: Mapping[str, int]
) -> list[tuple[str, int]]:
    """Return (label, unit) in the order in which they go, but the last ``floor`` of each label."""
    comparable = []
    for label, score in scores.items():  # in float64: no mean overflows, no ranks coincide
        value = normalise(score.detach().to(torch.float64, copy=True))
        require_float_tensor(f"what normalise returns for {label!r}", value)
        if value.shape != score.shape:
            shapes = f"{tuple(score.shape)}, got {tuple(value.shape)}"
            raise ValueError(f"what normalise returns for {label!r} must be {shapes}")
        comparable.append(value)
    units = [(label, unit) for label, score in scores.items() for unit in range(len(score))]
    order = torch.cat(comparable).argsort(stable=True).tolist()
    spare = {label: len(score) - floor[label] for label, score in scores.items()}
    going = []
    for label, unit in (units[i] for i in order):
        if spare[label] > 0:
            spare[label] -= 1
            going.append((label, unit))
    return going


def _positions(network: Network) -> dict[str, int]:
    """Return, for each layer with a weight, at how many positions its output is computed."""
    found: dict[str, int] = {}

    def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            found[name] = output.shape[2:].numel()

        return hook

    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, WEIGHT_LAYERS)]
    handles = [module.register_forward_hook(note(name)) for name, module in layers]
    modes = {module: module.training for module in network.modules()}
    like = next(network.parameters())
    try:
        network.eval()
        with torch.no_grad():
            network(torch.zeros(1, *IMAGE_SHAPE, dtype=like.dtype, device=like.device))
    finally:
        for module, training in modes.items():
            module.training = training
        for handle in handles:
            handle.remove()
    return found
