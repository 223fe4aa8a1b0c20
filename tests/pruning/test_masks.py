"""Masks by count against sorting, torch's pruning and brute force; ties; bad input."""

import copy
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
import torch.nn.utils.prune as torch_prune
from draws import integers, normal
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl.pruning import (
    choose_highest,
    keep_highest,
    keep_highest_of_all,
    keep_highest_of_each,
    keep_n_of_m,
    n_dropped,
)


@given(st.integers(1, 60), st.integers(0, 99), st.integers(0, 1000))
def test_exactly_the_rounded_share_is_dropped_also_under_ties(n, percent, seed):
    """Oracle: round(), on scores with many equals, which are left as they were."""
    sparsity = percent / 100
    score = integers(0, 2, n, seed=seed).float().requires_grad_()
    before = score.detach().clone()
    kept = keep_highest(score, share=1 - sparsity)
    assert torch.equal(score.detach(), before)
    assert int((~kept).sum()) == min(round(sparsity * n), n - 1) == n_dropped(sparsity, n)
    if (~kept).any():
        assert score[~kept].max() <= score[kept].min()


def test_of_equals_the_first_are_dropped_by_every_choice():
    """Oracle: by hand; a whole layer may be dropped from all."""
    kept = keep_highest(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), share=0.5)
    assert kept.tolist() == [[False, False], [True, True]]
    assert choose_highest(torch.ones(5), 2).tolist() == [False, False, False, True, True]
    score = torch.tensor([[1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 3.0, 1.0]])
    assert keep_n_of_m(score, 2, 4).int().tolist() == [[0, 0, 1, 1, 1, 0, 1, 0]]
    assert keep_n_of_m(score, 3, 4).int().tolist() == [[0, 1, 1, 1, 1, 0, 1, 1]]
    all_layers = keep_highest_of_all({"low": torch.zeros(3), "high": torch.ones(3)}, share=0.5)
    assert not all_layers["low"].any()
    assert all_layers["high"].all()


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.92])
def test_masks_of_magnitudes_are_torchs(sparsity):
    """Oracle: torch.nn.utils.prune's l1_unstructured, layer by layer, and global_unstructured."""
    layers = {"a": nn.Linear(40, 30), "b": nn.Linear(30, 5), "c": nn.Conv2d(3, 5, 3)}
    scores = {name: layer.weight.detach().abs() for name, layer in layers.items()}
    each, over_all = (
        keep_highest_of_each(scores, share=1 - sparsity),
        keep_highest_of_all(scores, share=1 - sparsity),
    )
    alone = copy.deepcopy(layers)
    pairs = [(layer, "weight") for layer in layers.values()]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=sparsity)
    for name, layer in alone.items():
        torch_prune.l1_unstructured(layer, "weight", amount=sparsity)
        assert torch.equal(each[name], layer.weight_mask.bool())
        assert torch.equal(keep_highest(scores[name], share=1 - sparsity), each[name])
        assert torch.equal(over_all[name], layers[name].weight_mask.bool())


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 100))
def test_n_of_m_keeps_the_n_highest_of_every_group(n, more, seed):
    """Oracle: a loop over the groups with sorted()."""
    m = n + more
    score = normal(3, 4 * m, seed=seed)
    kept = keep_n_of_m(score, n, m)
    for group, mask in zip(score.view(-1, m), kept.view(-1, m), strict=True):
        assert sorted(group[mask].tolist()) == sorted(group.tolist())[m - n :]


def test_scores_of_several_precisions_are_compared_in_the_finest():
    """Oracle: by hand; the three that are near 1 are equal in half precision."""
    scores = {
        "half": torch.tensor([1.0, 3.0]).half(),
        "single": torch.tensor([1 - 1e-5, 1 + 1e-5]),
        "double": torch.tensor([1 + 1e-12, 0.5], dtype=torch.float64),
    }
    found = [mask.tolist() for mask in keep_highest_of_all(scores, share=0.5).values()]
    assert found == [[False, True], [False, True], [True, False]]


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_highest_are_chosen_in_each_sample(seed, q):
    """Oracle: NumPy's sorting."""
    scores = normal(4, 6, seed=seed)
    chosen = choose_highest(scores, q)
    assert (chosen.sum(dim=1) == q).all()
    highest = np.sort(scores, axis=1)[:, -q:]
    np.testing.assert_array_equal(highest, np.sort(scores[chosen].view(4, q), axis=1))


@pytest.mark.equation("eq-sparse-best")
@given(st.integers(0, 200), st.integers(0, 8))
def test_the_largest_weights_are_the_best_approximation(seed, n_dropped):
    """Oracle: brute force over all subsets of the places that are kept."""
    w = normal(3, 3, seed=seed, dtype=torch.float64)
    square = w.flatten() ** 2
    errors = [float(square[list(gone)].sum()) for gone in combinations(range(9), n_dropped)]
    kept = keep_highest(w.abs(), share=1 - n_dropped / 9)
    assert float(((w - w * kept) ** 2).sum()) == pytest.approx(min(errors), abs=1e-12)


@pytest.mark.equation("eq-sparse-scale")
def test_a_factor_between_layers_changes_global_masks_alone():
    """Oracle: ReLU(c x) = c ReLU(x), so that both pairs of layers are one network."""
    first, second, x, c = normal(8, 6), normal(3, 8, seed=1), normal(5, 6, seed=2), 64.0
    same = (x @ (c * first).T).relu() @ (second / c).T
    assert torch.equal(same, (x @ first.T).relu() @ second.T)  # c is a power of two
    one = {"first": first.abs(), "second": second.abs()}
    other = {"first": c * first.abs(), "second": second.abs() / c}
    each = keep_highest_of_each(one, share=0.7)
    assert all(torch.equal(each[n], m) for n, m in keep_highest_of_each(other, share=0.7).items())
    assert keep_highest_of_all(one, share=0.7)["second"].any()
    assert not keep_highest_of_all(other, share=0.66)["second"].any()


@pytest.mark.equation("eq-sparse-patterns")
@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (3, 6), (4, 8)])
def test_n_of_m_has_as_many_patterns_as_there_are_choices(n, m):
    """Oracle: the binomial coefficient."""
    assert len(keep_n_of_m(normal(4000, m), n, m).unique(dim=0)) == comb(m, n)
