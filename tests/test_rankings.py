"""What ranks numbers does not depend on their order, nor on their last digit.

An exact tie is decided by rounding, and rounding differs between processors. Where no two numbers
are close, a choice must be the same for permuted inputs and for inputs moved by one ulp.
"""

import math

import pytest
import torch
from draws import generator, normal

from reference_impl import merging, pruning
from reference_impl.quantization import optimal_codebook

N = 12
IMAGES = normal(40, 5, seed=9, dtype=torch.float64)


def moved(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Return x with each number one ulp up, one down, or as it is."""
    step = torch.randint(-1, 2, x.shape, generator=generator(seed))
    towards = torch.where(step > 0, math.inf, torch.where(step < 0, -math.inf, x))
    return torch.nextafter(x, towards)


def kept_units(x: torch.Tensor) -> torch.Tensor:
    """Return for each unit whether a choice by several scores keeps it."""
    rows = x.norm(dim=1)
    hessian = torch.diag(1 + torch.linspace(0, 1, x.shape[1], dtype=x.dtype))
    wanda = pruning.wanda(x, hessian.diagonal())
    scores = [
        pruning.keep_highest(rows, share=0.5),
        pruning.keep_highest_of_all({"w": wanda.sum(dim=1)}, share=0.6)["w"],
        pruning.choose_highest(rows[None], 3)[0],
        pruning.keep_highest(
            pruning.optimal_brain_surgeon(x, hessian.inverse()).sum(dim=1), share=0.3
        ),
        merging.greedy_keep((IMAGES @ x.T).relu(), x, 4, ridge=0.1),
    ]
    return torch.stack(scores)


def partners(x: torch.Tensor) -> torch.Tensor:
    """Return for each pair of units whether they are put together."""
    similarity = merging.cosine_similarity(x)
    keep = pruning.keep_highest(x.norm(dim=1), share=0.5)
    labels = [
        merging.nearest_kept(similarity, keep),
        merging.complete_linkage(similarity, 0.3),
        merging.connected_components(similarity, 0.6),
    ]
    return torch.stack([one[:, None] == one for one in labels])


@pytest.mark.parametrize("seed", range(8))
def test_choices_follow_their_units(seed):
    """Oracle: masks, partners, the least pair and the codebook of the inputs as they were."""
    x, order = (
        normal(N, 5, seed=seed, dtype=torch.float64),
        torch.randperm(N, generator=generator(seed)),
    )
    near, permuted = moved(x, seed), x[order]
    assert torch.equal(kept_units(near), kept_units(x))
    assert torch.equal(kept_units(permuted), kept_units(x)[:, order])
    assert torch.equal(partners(near), partners(x))
    assert torch.equal(partners(permuted), partners(x)[:, order][:, :, order])
    pair = set(merging.least_pair(merging.pair_saliency(x, x)))
    assert set(merging.least_pair(merging.pair_saliency(near, near))) == pair
    assert {
        int(order[i]) for i in merging.least_pair(merging.pair_saliency(permuted, permuted))
    } == pair
    values = torch.tensor(optimal_codebook(x, 4).values)
    for other in (near, permuted):
        again = torch.tensor(optimal_codebook(other, 4).values)
        torch.testing.assert_close(again, values, rtol=1e-12, atol=1e-12)
