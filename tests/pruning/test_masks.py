"""Masks by count against sorting, torch's pruning and brute force; ties; bad input."""

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl.pruning import keep_highest, keep_highest_of_all, keep_n_of_m, n_dropped


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


def test_of_equals_in_a_group_the_first_go():
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


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_a_sparsity_outside_0_to_1_is_refused(sparsity):
    """Oracle: the documented range."""
    with pytest.raises(ValueError, match=r"sparsity must be"):
        keep_highest(torch.ones(3), sparsity)


@pytest.mark.parametrize("sparsity", [None, "0.5", True])
def test_a_sparsity_that_is_no_number_is_refused(sparsity):
    """Oracle: the documented type."""
    with pytest.raises(TypeError, match="sparsity must be a real number"):
        keep_highest(torch.ones(3), sparsity)


@pytest.mark.parametrize("score", [torch.tensor([1.0, float("nan")]), torch.ones(0)])
def test_scores_that_are_empty_or_not_finite_are_refused(score):
    """Oracle: the documented error."""
    with pytest.raises(ValueError, match="score must"):
        keep_highest(score, 0.5)
    with pytest.raises(ValueError, match=r"scores\['fc1'\] must"):
        keep_highest_of_all({"fc1": score}, 0.5)


def test_no_scores_at_all_are_refused():
    """Oracle: the documented error."""
    with pytest.raises(ValueError, match="scores must hold a tensor or more"):
        keep_highest_of_all({}, 0.5)
    with pytest.raises(TypeError, match="scores must be Mapping, got list"):
        keep_highest_of_all([torch.ones(3)], 0.5)


@pytest.mark.parametrize(("n", "m"), [(0, 4), (5, 4), (2, 3)])
def test_groups_that_do_not_fit_are_refused(n, m):
    """Oracle: the documented errors; 3 does not divide 4."""
    with pytest.raises(ValueError, match=r"n must|score must"):
        keep_n_of_m(torch.ones(2, 4), n, m)
