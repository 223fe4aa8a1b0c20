"""Training under masks: a dropped weight is exactly 0 whenever the caller looks at the network."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from jaxtyping import Bool
from torch import Tensor, nn

from reference_impl.checked import Count, Share, Within, checked
from reference_impl.compress import apply_masks, prunable_weights
from reference_impl.data import Examples
from reference_impl.pruning import cubic_sparsity, keep_highest_of_all
from reference_impl.training.loop import example_steps
from reference_impl.training.recipe import Recipe

Masks = Mapping[str, Bool[Tensor, "..."]]  # name of a weight → true where it is kept
Choose = Callable[..., dict[str, Tensor]]
"""(scores, share=kept) → masks: `keep_highest_of_all` weights, or `keep_highest_of_each` layer."""


@checked
@dataclass(frozen=True)
class Growth:
    """How sparsity grows during a training: ζ_t of `cubic_sparsity` between two of its moments.

    >>> growth = Growth(0.8, begin=0.2, end=0.6)
    >>> [round(growth.at(step, 100), 3) for step in (0, 20, 40, 60, 99)]
    [0.0, 0.0, 0.7, 0.8, 0.8]
    """

    final: Annotated[float, Within(0, 1, below=True)]  #: ζ_end
    begin: Share = 0.1  #: share of all steps before the first weight is dropped
    end: Share = 0.6  #: share of all steps when ζ_end is reached; ``begin`` itself: one shot
    every: Count = 50  #: steps between two choices of masks
    choose: Choose = keep_highest_of_all

    def __post_init__(self) -> None:
        if self.end < self.begin:
            raise ValueError(f"end must be at least begin = {self.begin}, got {self.end}")

    def at(self, step: int, n_steps: int) -> float:
        """Return the sparsity after ``step`` of ``n_steps`` steps."""
        first, last = round(self.begin * n_steps), round(self.end * n_steps)
        if first < step < last:
            return cubic_sparsity(step - first, last - first, final=self.final)
        return self.final if step >= last else 0.0

    def is_due(self, step: int, n_steps: int) -> bool:
        """Return whether masks are chosen after ``step`` steps; once ζ_end is reached, never."""
        last = round(self.end * n_steps)
        return step == last or (step < last and step % self.every == 0)


@checked
def magnitude_masks(
    network: nn.Module, sparsity: float, choose: Choose = keep_highest_of_all
) -> dict[str, Bool[Tensor, "..."]]:
    """Return masks that drop the share ``sparsity`` of all prunable weights whose |w| is least."""
    scores = {name: weight.detach().abs() for name, weight in prunable_weights(network).items()}
    return choose(scores, share=1 - sparsity)


@checked
def masked_steps(
    network: nn.Module,
    steps: Iterator[float],
    n_steps: Count,
    *,
    masks: Masks | None = None,
    growth: Growth | None = None,
) -> Iterator[float]:
    """Yield the losses of ``n_steps`` training steps, the network being masked after each.

    A dropped weight still has a gradient, and the optimizer moves it; it is set back to 0 before
    anyone sees it. With a growth instead of masks, those are chosen by magnitude whenever
    it is due, before the first step too; a dropped weight has magnitude 0, and is dropped again.
    """
    if masks is not None and growth is not None:
        raise ValueError("masks and growth must not both be given: each of them decides the masks")
    now: Masks = masks or {}
    for step, loss in enumerate(chain([None], steps)):  # None: before the first step
        apply_masks(network, now)
        if growth is not None and growth.is_due(step, n_steps):
            now = magnitude_masks(network, growth.at(step, n_steps), growth.choose)
            apply_masks(network, now)
        if loss is not None:
            yield loss


@checked
def pruned_steps(
    network: nn.Module,
    examples: Examples,
    recipe: Recipe,
    *,
    masks: Masks | None = None,
    growth: Growth | None = None,
) -> Iterator[float]:
    """Take `example_steps`, masked as in `masked_steps`."""
    steps, n_steps = example_steps(network, examples, recipe), recipe.n_steps(len(examples))
    return masked_steps(network, steps, n_steps, masks=masks, growth=growth)


@checked
def tickets(
    network: nn.Module,
    train: Callable[[nn.Module, Mapping[str, Tensor]], None],
    *,
    share: Annotated[float, Within(0, 1, above=True, below=True)],
    rounds: Count,
    choose: Choose = keep_highest_of_all,
) -> Iterator[dict[str, Bool[Tensor, "..."]]]:
    """Train, drop, rewind; yield each round's masks, the network being the ticket: m ⊙ w₀.

    Each round drops this share of the remaining weights: after r rounds, (1 − share)^r are left.
    The network, which holds w₀, is changed in place: ``train`` trains it under the given masks.

    References: Frankle & Carbin (2019), The lottery ticket hypothesis.
    """
    start = {name: value.clone() for name, value in network.state_dict().items()}
    masks = magnitude_masks(network, 0.0)
    for r in range(1, rounds + 1):
        train(network, masks)
        apply_masks(network, masks)  # the training may have moved dropped weights
        masks = magnitude_masks(network, 1 - (1 - share) ** r, choose)
        network.load_state_dict(start)
        apply_masks(network, masks)
        yield masks
