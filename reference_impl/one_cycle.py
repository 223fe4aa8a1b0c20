"""AdamW under one cycle of the learning rate: the training loop that several trainings share."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int
from reference_impl.recipes import Recipe
from reference_impl.training import Targets, train_steps


def one_cycle_steps(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Targets]],
    objective: Callable[[Tensor, Targets], Tensor],
    recipe: Recipe,
    n_steps: int,
) -> Iterator[float]:
    """Train in place and yield each step's loss; the rate follows ``recipe.rate`` over all steps.

    Args:
        network: left in evaluation mode at the end.
        batches: of all epochs, ``n_steps`` of them.
        objective: (outputs, targets) → scalar loss, mean over the batch.
        recipe: learning rate and weight decay; its epochs and seed are the caller's business.
        n_steps: over which the cycle goes.

    Yields:
        The loss before the step.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``n_steps`` is below 1, or as `reference_impl.training.train_steps`.
    """
    require_instance("network", network, nn.Module)
    require_instance("recipe", recipe, Recipe)
    require_int("n_steps", n_steps, 1)
    optimizer = torch.optim.AdamW(
        network.parameters(), weight_decay=recipe.weight_decay, fused=True
    )

    def set_rate(step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(min(1.0, (step + 0.5) / n_steps))  # the middle of the step

    set_rate(0)
    for step, loss in enumerate(train_steps(network, batches, objective, optimizer), start=1):
        yield loss
        set_rate(step)
    network.eval()
