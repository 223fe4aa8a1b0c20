"""All pairs of similarities against a double loop and scikit-learn, and merging against these."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from sklearn.metrics import pairwise
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmarks.harness import Case
from reference_impl.compress import nearest_map
from reference_impl.merging import cosine_similarity, map_axis
from reference_impl.pruning import keep_highest, row_norm

NEURONS, INPUTS, OUTPUTS = 4096, 1024, 1024
LOOPED = 32
"""Neurons whose pairs with all others the double loop takes: a second's work is enough."""

SHARE = LOOPED / NEURONS
"""The looped pairs of all: 1 in 128."""

A_THOUSAND_TIMES = 1 / (1000 * SHARE)
NO_SLOWER = 1.0
TEN_PRODUCTS = 10.0

Result = TypeVar("Result")


def neurons() -> tuple[Tensor, Tensor]:
    """Return incoming weights, a row each, and the next layer's, which read them."""
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(NEURONS, INPUTS, generator=draws)
    return rows, torch.randn(OUTPUTS, NEURONS, generator=draws)


def similarity(w1: Tensor, w2: Tensor) -> Tensor:
    """Return the cosine of one pair, as the article computes it."""
    cosine: Tensor = torch.sum(w1 * w2) / (torch.norm(w1) * torch.norm(w2))
    return cosine


def double_loop(rows: Tensor) -> dict[tuple[str, int, int], Tensor]:
    """Return the cosines of the first neurons with all, kept as the article keeps them."""
    found = {}
    for i, p in enumerate(rows[:LOOPED]):
        for j, q in enumerate(rows):
            found["fc1.weight", i, j] = similarity(p, q)
    return found


def merged(rows: Tensor, outgoing: Tensor) -> tuple[Tensor, Tensor]:
    """Return both layers without half of the neurons, each merged with the nearest that is kept."""
    width_map = nearest_map(rows, keep_highest(row_norm(rows), share=0.5))
    return map_axis(rows, 0, width_map.merge), map_axis(outgoing, 1, width_map.unmerge.T)


def on_one_thread(call: Callable[[], Result]) -> Callable[[], Result]:
    """Return the call with one thread for NumPy's products, as torch has for its own."""

    def limited() -> Result:
        with threadpool_limits(1):
            return call()

    return limited


def cases() -> Iterator[Case]:
    """Yield similarities against a loop and scikit-learn, then merging against similarities."""
    rows, outgoing = neurons()
    array = rows.numpy()
    ours = on_one_thread(lambda: cosine_similarity(rows))
    name = f"similarities of {NEURONS} neurons x {INPUTS} weights"
    yield Case(
        name,
        f"double loop over 1 in {NEURONS // LOOPED} of the pairs",
        A_THOUSAND_TIMES,
        ours,
        on_one_thread(lambda: double_loop(rows)),
        rounds=5,
    )
    yield Case(
        name,
        "sklearn cosine_similarity",
        NO_SLOWER,
        ours,
        on_one_thread(lambda: pairwise.cosine_similarity(array)),
        rounds=51,
    )
    yield Case(
        f"merging half of {NEURONS} neurons, both layers",
        "their similarities alone",
        TEN_PRODUCTS,
        on_one_thread(lambda: merged(rows, outgoing)),
        ours,
    )
