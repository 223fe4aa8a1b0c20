"""Pruning to a budget of MACs: against model_cost, brute force, Torch-Pruning, and bad input."""

import copy

import pytest
import torch
import torch_pruning as tp
from chains import SMALL, drawn, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_impl.compress import (
    NORMALISE,
    by_mean,
    by_rank,
    mac_formula,
    masks_to_budget,
    prune_to_budget,
    unchanged,
)
from reference_impl.measuring import model_cost
from reference_impl.models import MODELS, ConvTeacher, LeNet300, Network

LENET300 = LeNet300().eval()


def scores_of(network: Network) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(1)
    return {label: torch.rand(n, generator=draws) + 0.01 for label, n in network.widths.items()}


@pytest.mark.equation("eq-narrow-macs")
@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())
def test_the_formula_counts_what_the_layers_multiply(kind):
    """Oracle: model_cost, which traces the network, at two sets of widths."""
    network = kind().eval()
    macs = mac_formula(network)
    assert macs(network.widths) == model_cost(network, (1, 28, 28)).macs
    other = {label: max(1, n // (2 + i)) for i, (label, n) in enumerate(network.widths.items())}
    assert macs(other) == model_cost(kind.from_widths(other).eval(), (1, 28, 28)).macs


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("normalise", NORMALISE.values(), ids=NORMALISE.keys())
def test_the_budget_holds_and_would_not_with_the_last_unit_back(name, normalise):
    """Oracle: model_cost of the small network, and of one with the last removed unit restored."""
    network = drawn(name)
    macs = mac_formula(network)
    budget = macs(network.widths) // 3
    scores = scores_of(network)
    small = prune_to_budget(network, scores, budget, normalise=normalise)
    assert model_cost(small, (1, 28, 28)).macs <= budget
    masks = masks_to_budget(network, scores, budget, normalise=normalise)
    assert small.widths == {label: int(mask.sum()) for label, mask in masks.items()}
    gone = [(normalise(scores[k])[~mask].max(), k) for k, mask in masks.items() if not mask.all()]
    last = max(gone)[1]
    assert macs({**small.widths, last: small.widths[last] + 1}) > budget


@settings(max_examples=60, deadline=None)
@given(
    score=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=7, max_size=7),
    budget=st.integers(795, 784 * 4 + 12 + 30),
    least=st.integers(1, 2),
)
def test_units_go_one_after_another_lowest_first(score, budget, least):
    """Oracle: brute force, one unit removed at a time and the layers' MACs written out."""
    network = LeNet300((4, 3))
    scores = {"hidden1": torch.tensor(score[:4]), "hidden2": torch.tensor(score[4:])}
    alive = [(s, i) for i, s in enumerate(score)]

    def macs() -> int:
        a = sum(i < 4 for _, i in alive)
        b = len(alive) - a
        return 784 * a + a * b + 10 * b

    for unit in sorted(alive):  # stable: equals in their order
        same_layer = [u for u in alive if (u[1] < 4) == (unit[1] < 4)]
        if macs() > budget and len(same_layer) > least:
            alive.remove(unit)
    if macs() > budget:
        with pytest.raises(ValueError, match="max_macs must be at least"):
            masks_to_budget(network, scores, budget, normalise=unchanged, least=least)
        return
    masks = masks_to_budget(network, scores, budget, normalise=unchanged, least=least)
    kept = torch.cat([masks["hidden1"], masks["hidden2"]]).nonzero().flatten().tolist()
    assert kept == sorted(i for _, i in alive)


def test_widths_without_scores_stay_whole_and_the_least_is_named():
    """Oracle: the widths before; the least, 784 + 100 + 1000 and 784 + 1 + 10, by hand."""
    small = prune_to_budget(LENET300, {"hidden2": torch.rand(100)}, 784 * 300 + 10 * 310)
    assert small.widths == {"hidden1": 300, "hidden2": 10}
    with pytest.raises(ValueError, match="max_macs must be at least 1,884"):
        masks_to_budget(LENET300, {"hidden1": torch.ones(300)}, 1_883)
    keep = masks_to_budget(LENET300, {"hidden1": torch.ones(300)}, 1_884)
    assert int(keep["hidden1"].sum()) == 1
    with pytest.raises(ValueError, match=r"max_macs must be at least 795, .* got 794"):
        prune_to_budget(LENET300, scores_of(LENET300), 794)
    widths = prune_to_budget(LENET300, scores_of(LENET300), 795).widths
    assert widths == {"hidden1": 1, "hidden2": 1}


def test_ranks_take_the_same_share_of_every_layer():
    """Oracle: shares counted; the scores of one layer are a thousand times those of the other."""
    scores = scores_of(LENET300)
    scores["hidden1"] = scores["hidden1"] * 1000
    widths = prune_to_budget(LENET300, scores, 100_000, normalise=by_rank).widths
    assert abs(widths["hidden1"] / 300 - widths["hidden2"] / 100) < 0.01
    assert prune_to_budget(LENET300, scores, 235_000, normalise=unchanged).widths["hidden2"] == 1
    assert prune_to_budget(LENET300, scores, 235_000).widths["hidden2"] > 50
    before = scores["hidden1"].clone()
    masks_to_budget(LENET300, scores, 200_000, normalise=torch.Tensor.neg_)  # writes into them
    assert torch.equal(scores["hidden1"], before)


def test_scores_are_compared_as_said():
    """Oracle: by hand; bfloat16 has 8 bits for numbers of 300 ranks."""
    score = torch.tensor([1.0, 4.0, 1.0, 2.0])
    assert torch.equal(unchanged(score), score)
    assert torch.equal(by_mean(score), score / 2)
    assert torch.equal(by_rank(score), torch.tensor([0.125, 0.875, 0.375, 0.625]))
    assert len(by_rank(torch.rand(300).bfloat16()).unique()) == 300


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("normalise", [by_mean, by_rank, unchanged])
def test_scores_of_any_precision_are_compared_in_float64(normalise, dtype):
    """Oracle: the same numbers as float64; the largest would overflow the sum of their dtype."""
    top = torch.finfo(dtype).max
    scores = {"hidden1": torch.rand(300).double() * top, "hidden2": torch.rand(100).double() * top}
    given = {label: score.to(dtype) for label, score in scores.items()}
    wide = {label: score.double() for label, score in given.items()}
    for budget in (200_000, 100_000, 30_000):
        found = masks_to_budget(LENET300, given, budget, normalise=normalise)
        expected = masks_to_budget(LENET300, wide, budget, normalise=normalise)
        assert all(torch.equal(found[label], expected[label]) for label in scores)
    scores = {"hidden1": torch.ones(300, dtype=torch.float64)}
    scores["hidden1"][7] -= 1e-12  # less than float32 can tell
    one_less = mac_formula(LENET300)({"hidden1": 299, "hidden2": 100})
    keep = masks_to_budget(LENET300, scores, one_less, normalise=normalise)["hidden1"]
    assert (~keep).nonzero().flatten().tolist() == [7]


@pytest.mark.equation("eq-narrow-normalised")
def test_the_same_scores_choose_the_same_units_as_torch_pruning():
    """Oracle: torch_pruning's global pruning, by its own scores divided by each layer's mean."""
    torch.manual_seed(0)
    network = ConvTeacher().eval()
    theirs = copy.deepcopy(network)
    importance = tp.importance.GroupMagnitudeImportance(p=2)
    pruner = tp.pruner.MagnitudePruner(
        theirs,
        torch.zeros(1, 1, 28, 28),
        importance,
        global_pruning=True,
        pruning_ratio=0.5,
        ignored_layers=[theirs.head],
    )
    scores = {}
    convs = [theirs.get_submodule(label) for label in network.widths]
    for label, conv in zip(network.widths, convs, strict=True):
        every = list(range(conv.out_channels))
        group = pruner.DG.get_pruning_group(conv, tp.prune_conv_out_channels, idxs=every)
        scores[label] = importance(group)
    pruner.step()
    budget = model_cost(theirs, (1, 28, 28)).macs
    ours = prune_to_budget(network, scores, budget, normalise=by_mean)
    assert list(ours.widths.values()) == [conv.out_channels for conv in convs]
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=0)


def masks(normalise=by_mean, **scores: Tensor) -> None:
    masks_to_budget(LENET300, scores or scores_of(LENET300), 200_000, normalise=normalise)


ONES = torch.ones(300)

test_scores_that_do_not_fit_are_refused = refused(
    (ValueError, "scores must be one or more", lambda: prune_to_budget(LENET300, {}, 200_000)),
    (ValueError, r"one of \['hidden1', 'hidden2'\], got 'fc1'", lambda: masks(fc1=ONES)),
    (ValueError, r"scores\['hidden1'\] must be \(300,\)", lambda: masks(hidden1=ONES[1:])),
    (ValueError, "scores must have a positive mean", lambda: masks(hidden1=0 * ONES)),
    (ValueError, "normalise", lambda: masks(lambda score: score[:5])),
    (ValueError, "normalise", lambda: masks(lambda score: score[:, None])),
    (ValueError, "normalise", lambda: masks(lambda score: score / 0)),
    (ValueError, r"got none for \['hidden2'", lambda: mac_formula(LENET300)({"hidden1": 3})),
)
