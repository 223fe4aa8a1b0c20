"""Training under masks: a dropped weight is exactly 0 whenever the caller looks at the network.

Masks are chosen once, or again and again while the sparsity grows, or round after round from the
same initial weights.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int, require_real
from reference_impl.compress import apply_masks, prunable_weights
from reference_impl.data import Examples, batches
from reference_impl.pruning import cubic_sparsity, keep_highest_of_all
from reference_impl.training.loop import one_cycle_steps
from reference_impl.training.recipe import Recipe

Choose = Callable[[Mapping[str, Tensor], float], dict[str, Tensor]]
"""(scores, sparsity) → masks: `keep_highest_of_all`, or `keep_highest_of_each`."""


@dataclass(frozen=True)
class Growth:
    """How sparsity grows during a training: s_t of `cubic_sparsity` between two of its moments.

    Args:
        final: s_f, in [0, 1).
        begin: share of all steps before the first weight goes, in [0, 1].
        end: share of all steps when s_f is reached, in [begin, 1]; ``begin`` itself: one shot.
        every: steps between two choices of masks.
        choose: which weights go: of all layers together, or of each.

    >>> growth = Growth(0.8, begin=0.2, end=0.6)
    >>> [round(growth.at(step, 100), 3) for step in (0, 20, 40, 60, 99)]
    [0.0, 0.0, 0.7, 0.8, 0.8]
    """

    final: float
    begin: float = 0.1
    end: float = 0.6
    every: int = 50
    choose: Choose = keep_highest_of_all

    def __post_init__(self) -> None:
        cubic_sparsity(0, 1, final=self.final)  # checks it
        require_real("begin", self.begin, 0, 1)
        require_real("end", self.end, self.begin, 1)
        require_int("every", self.every, 1)
        _require_callable("choose", self.choose)

    def at(self, step: int, n_steps: int) -> float:
        """Return the sparsity after ``step`` of ``n_steps`` steps."""
        first, last = round(self.begin * n_steps), round(self.end * n_steps)
        if step >= last:
            return self.final
        if step <= first:
            return 0.0
        return cubic_sparsity(step - first, last - first, final=self.final)

    def is_due(self, step: int, n_steps: int) -> bool:
        """Return whether masks are chosen after ``step`` steps, 0 being before the first.

        None is once s_f was reached.
        """
        last = round(self.end * n_steps)
        return step == last or (step < last and step % self.every == 0)


def magnitude_masks(
    network: nn.Module, sparsity: float, choose: Choose = keep_highest_of_all
) -> dict[str, Bool[Tensor, "..."]]:
    """Return masks that keep the weights of the largest |w|.

    Args:
        network: left as it is.
        sparsity: share of its prunable weights to drop, in [0, 1).
        choose: which go: of all layers together, or of each.

    Raises:
        TypeError: if ``choose`` is not callable.
        TypeError, ValueError: as `prunable_weights` and `keep_highest`.
    """
    _require_callable("choose", choose)
    return choose({n: w.detach().abs() for n, w in prunable_weights(network).items()}, sparsity)


def pruned_steps(
    network: nn.Module,
    examples: Examples,
    recipe: Recipe,
    *,
    masks: Mapping[str, Bool[Tensor, "..."]] | None = None,
    growth: Growth | None = None,
    objective: Callable[[Float[Tensor, "n classes"], Tensor], Tensor] = F.cross_entropy,
) -> Iterator[float]:
    """Train in place by AdamW, masking after each step, and yield each step's loss.

    AdamW's averages of past gradients go on moving a dropped weight; it is set back to 0 before
    anyone sees it.

    Args:
        network: left in evaluation mode at the end.
        examples: to fit; a new order each epoch, drawn from (seed, epoch).
        recipe: epochs, learning rate, decay and seed; it must not augment or erase.
        masks: kept all the time; none by default.
        growth: if given, masks are chosen by magnitude as the sparsity grows, before the first
            step if it is due by then; what is dropped stays dropped.
        objective: (logits, labels) → scalar.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if masks and a growth are both given, the masks do not fit, or the recipe
            augments.
    """
    require_instance("recipe", recipe, Recipe)
    require_instance("examples", examples, Examples)
    if masks is not None and growth is not None:
        raise ValueError("masks and growth must not both be given: one chooses what the other has")
    if growth is not None:
        require_instance("growth", growth, Growth)
    if recipe.augment or recipe.erase:
        raise ValueError("recipe must not augment or erase: images are met as they are")
    now: Mapping[str, Tensor] = {} if masks is None else masks
    n_steps = recipe.epochs * len(batches(examples, recipe.batch_size))
    if growth is not None and growth.is_due(0, n_steps):
        now = magnitude_masks(network, growth.at(0, n_steps), growth.choose)
    apply_masks(network, now)
    steps = one_cycle_steps(network, _batches(examples, recipe), objective, recipe, n_steps)
    for step, loss in enumerate(steps, start=1):
        apply_masks(network, now)
        if growth is not None and growth.is_due(step, n_steps):
            now = magnitude_masks(network, growth.at(step, n_steps), growth.choose)
            apply_masks(network, now)
        yield loss


def tickets(
    network: nn.Module,
    train: Callable[[nn.Module, Mapping[str, Tensor]], None],
    *,
    share: float,
    rounds: int,
    choose: Choose = keep_highest_of_all,
) -> Iterator[dict[str, Bool[Tensor, "..."]]]:
    """Train, drop, rewind; yield each round's masks, the network being the ticket: m ⊙ w₀.

    Round r ends with 1 − (1 − p)^r of the weights dropped.

    Args:
        network: holds w₀; changed in place, and rewound before each yield.
        train: (network, masks) → None: trains in place under the masks.
        share: p of the weights still there that each round drops, in (0, 1).
        rounds: how many.
        choose: which go: of all layers together, or of each.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is out of range, or so many rounds would leave nothing.

    References:
        Frankle & Carbin (2019), The lottery ticket hypothesis.
    """
    require_int("rounds", rounds, 1)
    p = require_real("share", share, 0, 0.999999, open_low=True)
    _require_callable("train", train)
    require_instance("network", network, nn.Module)
    if 1 - (1 - p) ** rounds == 1:
        raise ValueError(f"rounds must leave a weight, got {rounds} of a share of {p}")
    start = {name: value.clone() for name, value in network.state_dict().items()}
    masks = magnitude_masks(network, 0.0)
    for r in range(1, rounds + 1):
        train(network, masks)
        apply_masks(network, masks)  # whatever the training did to them
        masks = magnitude_masks(network, 1 - (1 - p) ** r, choose)
        network.load_state_dict(start)
        apply_masks(network, masks)
        yield masks


def _require_callable(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {type(value).__name__}")


def _batches(examples: Examples, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in range(recipe.epochs):
        drawn = np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)
        yield from batches(examples, recipe.batch_size, seed=int(drawn[0]))
