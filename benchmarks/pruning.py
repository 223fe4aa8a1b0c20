"""Narrow networks against their masked twins, and pruning itself against Torch-Pruning."""

import copy
from collections.abc import Callable, Iterator

import torch
import torch_pruning as tp  # type: ignore[import-untyped]
from torch import Tensor

from benchmarks.harness import Case
from reference_impl.compress import (
    incoming_rows,
    mac_formula,
    prune_to_budget,
    remove_units,
    silence_units,
)
from reference_impl.models import IMAGE_SHAPE, Network
from reference_impl.pruning import keep_highest, row_norm
from reference_impl.training import load_checkpoint

BATCH = 64
TWICE_AS_FAST = 0.5
NO_SLOWER = 1.0

NETWORKS = ("teacher", "residual", "lenet5", "separable", "lenet300")
"""The last two may miss twice as fast. Depthwise filters, pooling, BatchNorm and ReLU cost by the
unit, so that half of the units is half of the time. Most weights of LeNet-300-100 read pixels,
which are not halved, 47 % of its operations are left; and 150 units fill their last block of 16 in
part: with 144 and 48 units it took 0.47 of the time where it took 0.54 with 150 and 50."""


def scores(network: Network) -> dict[str, Tensor]:
    """Return the norm of every unit's row."""
    return {label: row_norm(incoming_rows(network, label)) for label in network.widths}


def answering(network: Network) -> Callable[[], Tensor]:
    """Return the forward pass of a batch, without gradients."""
    images = torch.rand(BATCH, *IMAGE_SHAPE, generator=torch.Generator().manual_seed(0))

    def answer() -> Tensor:
        with torch.no_grad():
            logits: Tensor = network(images)
        return logits

    return answer


def narrow_case(name: str) -> Case:
    """Return a network of half its units against the one in which the other units are masked."""
    network = load_checkpoint(name).eval()
    keep = {label: keep_highest(score, share=0.5) for label, score in scores(network).items()}
    return Case(
        f"{name} without half of its units, batch {BATCH}",
        "its masked twin",
        TWICE_AS_FAST,
        answering(remove_units(network, keep)),
        answering(silence_units(network, keep)),
        rounds=51,
    )


def torch_pruned(network: Network, ratio: float = 0.5) -> torch.nn.Module:
    """Return a copy whose layers Torch-Pruning has made smaller, all together, by its magnitude."""
    theirs = copy.deepcopy(network)
    tp.pruner.BasePruner(
        theirs,
        torch.zeros(1, *IMAGE_SHAPE),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=[m for m in theirs.modules() if isinstance(m, torch.nn.Linear)][-1:],
    ).step()
    return theirs.eval()


def pruning_case() -> Case:
    """Return scores, masks and a smaller teacher, by both; ours to theirs' operations."""
    teacher = load_checkpoint("teacher").eval()
    state = torch_pruned(teacher).state_dict()
    left = {label: len(state[f"{label}.weight"]) for label in teacher.widths}
    budget = mac_formula(teacher)(left)
    return Case(
        "structured pruning of the teacher, scores to smaller network",
        "torch_pruning",
        NO_SLOWER,
        lambda: prune_to_budget(teacher, scores(teacher), budget),
        lambda: torch_pruned(teacher),
        rounds=51,
    )


def cases() -> Iterator[Case]:
    """Yield the networks, then pruning itself."""
    for name in NETWORKS:
        yield narrow_case(name)
    yield pruning_case()
