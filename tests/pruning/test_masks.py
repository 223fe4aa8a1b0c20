"""Masks by count against sorting, torch's pruning and brute force; ties; bad input."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
import torch.nn.utils.prune as torch_prune
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


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 60), st.floats(0, 0.999), st.integers(0, 1000))
def test_exactly_the_rounded_share_is_dropped_also_under_ties(n, sparsity, seed):
    """Oracle: round(), on scores with many equals."""
    score = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed)).float()
    kept = keep_highest(score, sparsity)
    assert int((~kept).sum()) == min(round(sparsity * n), n - 1) == n_dropped(sparsity, n)
    if (~kept).any():
        assert score[~kept].max() <= score[kept].min()


def test_of_equals_the_first_are_dropped():
    """Oracle: by hand."""
    kept = keep_highest(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), 0.5)
    assert kept.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.92])
def test_the_mask_of_magnitudes_is_torchs(sparsity):
    """Oracle: torch.nn.utils.prune.l1_unstructured, on weights without ties."""
    layer = nn.Linear(40, 30)
    with torch.no_grad():
        layer.weight.copy_(drawn(30, 40))
    kept = keep_highest(layer.weight.abs(), sparsity)
    torch_prune.l1_unstructured(layer, "weight", amount=sparsity)
    assert torch.equal(kept, layer.weight_mask.bool())


def test_the_mask_over_all_layers_is_torchs():
    """Oracle: torch.nn.utils.prune.global_unstructured."""
    layers = {"a": nn.Linear(40, 30), "b": nn.Linear(30, 5)}
    kept = keep_highest_of_all({name: layer.weight.abs() for name, layer in layers.items()}, 0.8)
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()],
        pruning_method=torch_prune.L1Unstructured,
        amount=0.8,
    )
    for name, layer in layers.items():
        assert torch.equal(kept[name], layer.weight_mask.bool())


def test_a_whole_layer_may_be_dropped_from_all():
    """Oracle: by hand."""
    kept = keep_highest_of_all({"low": torch.zeros(3), "high": torch.ones(3)}, 0.5)
    assert not kept["low"].any()
    assert kept["high"].all()


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 100))
def test_n_of_m_keeps_the_n_highest_of_every_group(n, more, seed):
    """Oracle: a loop over the groups with sorted()."""
    m = n + more
    score = drawn(3, 4 * m, seed=seed)
    kept = keep_n_of_m(score, n, m)
    for row, mask in zip(score.tolist(), kept.tolist(), strict=True):
        for start in range(0, len(row), m):
            group, chosen = row[start : start + m], mask[start : start + m]
            best = sorted(group)[m - n :]
            assert sorted(v for v, c in zip(group, chosen, strict=True) if c) == best


def test_of_equals_in_a_group_the_first_are_dropped():
    """Oracle: by hand."""
    score = torch.tensor([[1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 3.0, 1.0]])
    assert keep_n_of_m(score, 2, 4).int().tolist() == [[0, 0, 1, 1, 1, 0, 1, 0]]
    assert keep_n_of_m(score, 3, 4).int().tolist() == [[0, 1, 1, 1, 1, 0, 1, 1]]


def test_scores_of_several_precisions_are_compared_in_the_finest():
    """Oracle: by hand; the three that are near 1 are equal in half precision."""
    scores = {
        "half": torch.tensor([1.0, 3.0]).half(),
        "single": torch.tensor([1 - 1e-5, 1 + 1e-5]),
        "double": torch.tensor([1 + 1e-12, 0.5], dtype=torch.float64),
    }
    masks = keep_highest_of_all(scores, 0.5)
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "half": [False, True],
        "single": [False, True],
        "double": [True, False],
    }


def test_the_score_is_left_as_it_is_and_its_gradient_is_not_asked_for():
    """Oracle: equality with a copy."""
    score = drawn(4, 4).requires_grad_()
    before = score.detach().clone()
    assert not keep_highest(score, 0.5).requires_grad
    keep_n_of_m(score, 2, 4)
    assert torch.equal(score.detach(), before)


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_highest_are_chosen_in_each_sample(seed, q):
    """Oracle: NumPy's sorting."""
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    chosen = choose_highest(scores, q)
    assert (chosen.sum(dim=1) == q).all()
    for row, mask in zip(scores, chosen, strict=True):
        np.testing.assert_array_equal(np.sort(row)[-q:], np.sort(row[mask]))


def test_equal_scores_give_an_exact_number():
    """Oracle: the rule that the last of equals are kept, which `keep_highest` has too."""
    assert choose_highest(torch.ones(5), 2).tolist() == [False, False, False, True, True]


@given(st.integers(0, 200), st.integers(0, 8))
def test_the_largest_weights_are_the_best_approximation(seed, n_dropped):
    """Oracle: brute force over all subsets of the places that are kept.

    Equation: eq-sparse-best.
    """
    w = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    square = w.flatten() ** 2
    errors = [float(square[list(gone)].sum()) for gone in combinations(range(9), n_dropped)]
    kept = keep_highest(w.abs(), n_dropped / 9)
    assert float(((w - w * kept) ** 2).sum()) == pytest.approx(min(errors), abs=1e-12)


def test_a_factor_between_layers_changes_global_masks_alone():
    """Oracle: ReLU(c x) = c ReLU(x), so that both pairs of layers are one network.

    Equation: eq-sparse-scale.
    """
    draws = torch.Generator().manual_seed(0)
    first, second = torch.randn(8, 6, generator=draws), torch.randn(3, 8, generator=draws)
    x = torch.randn(5, 6, generator=draws)
    c = 64.0
    same = (x @ (c * first).T).relu() @ (second / c).T
    assert torch.equal(same, (x @ first.T).relu() @ second.T)  # c is a power of two
    one = {"first": first.abs(), "second": second.abs()}
    other = {"first": c * first.abs(), "second": second.abs() / c}
    each = keep_highest_of_each(one, 0.3)
    assert all(torch.equal(each[n], m) for n, m in keep_highest_of_each(other, 0.3).items())
    assert keep_highest_of_all(one, 0.3)["second"].any()
    assert not keep_highest_of_all(other, 0.34)["second"].any()


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (3, 6), (4, 8)])
def test_n_of_m_has_as_many_patterns_as_there_are_choices(n, m):
    """Oracle: the binomial coefficient.

    Equation: eq-sparse-patterns.
    """
    score = torch.randn(4000, m, generator=torch.Generator().manual_seed(0))
    assert len(keep_n_of_m(score, n, m).unique(dim=0)) == comb(m, n)


def test_layerwise_pruning_is_torchs_layer_by_layer():
    """Oracle: torch.nn.utils.prune.l1_unstructured on each layer."""
    layers = {"a": nn.Linear(30, 20), "b": nn.Conv2d(3, 5, 3)}
    masks = keep_highest_of_each({name: x.weight.abs() for name, x in layers.items()}, 0.7)
    for name, layer in layers.items():
        torch_prune.l1_unstructured(layer, "weight", amount=0.7)
        assert torch.equal(masks[name], layer.weight_mask.bool())


NAN = torch.tensor([torch.nan])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: keep_highest([1.0], 0.5), TypeError, "score must be a torch.Tensor, got list"),
        (lambda: keep_highest(NAN, 0.5), ValueError, "score must be finite"),
        (
            lambda: keep_highest(torch.ones(3), 1.0),
            ValueError,
            r"sparsity must be in \[0, 1\), got",
        ),
        (lambda: keep_highest(torch.ones(3), "0.5"), TypeError, "sparsity must be a real number"),
        (lambda: keep_highest_of_all({}, 0.5), ValueError, "scores must be of one tensor or more"),
        (lambda: keep_highest_of_all([NAN], 0.5), TypeError, "scores must be Mapping, got list"),
        (
            lambda: keep_highest_of_each({"a": NAN}, 0.5),
            ValueError,
            r"scores\['a'\] must be finite",
        ),
        (lambda: keep_n_of_m(torch.ones(2, 4), 5, 4), ValueError, "m must be at least n = 5"),
        (lambda: keep_n_of_m(torch.ones(2, 4), 2, 3), ValueError, "m must .* divide 4, got 3"),
        (lambda: choose_highest(torch.ones(3), 4), ValueError, r"q must be in \[1, 3\].*, got 4"),
        (
            lambda: choose_highest(torch.tensor(1.0), 1),
            ValueError,
            r"scores must be \(\*samples, uni",
        ),
    ],
)
def test_bad_scores_are_refused(call, error, text):
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call()
