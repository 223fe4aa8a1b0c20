"""Pruning to a budget of MACs: against model_cost, brute force, Torch-Pruning, and bad input."""

import copy

import pytest
import torch
import torch_pruning as tp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_impl.compress import (
    NORMALISE,
    by_mean,
    by_rank,
    mac_formula,
    masks_to_budget,
    prune_to_budget,
    unchanged,
)
from reference_impl.compress.budget import MacFormula
from reference_impl.measuring import model_cost
from reference_impl.models import MODELS, ConvTeacher, LeNet5, LeNet300, Network

kinds = pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())


def drawn(kind: type[Network]) -> Network:
    torch.manual_seed(0)
    return kind().eval()


def scores_of(network: Network, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {label: torch.rand(n, generator=generator) + 0.01 for label, n in network.widths.items()}


@kinds
def test_the_formula_counts_what_the_layers_multiply(kind):
    """Oracle: model_cost, which traces the network, at two sets of widths.

    Equation: eq-narrow-macs.
    """
    network = drawn(kind)
    macs = mac_formula(network)
    assert macs(network.widths) == model_cost(network, (1, 28, 28)).macs
    other = {label: max(1, n // (2 + i)) for i, (label, n) in enumerate(network.widths.items())}
    assert macs(other) == model_cost(kind.from_widths(other).eval(), (1, 28, 28)).macs


def test_the_formula_of_lenet_300_by_hand():
    """Oracle: 784 a + a b + 10 b."""
    assert mac_formula(LeNet300()) == MacFormula(
        ((784, ("hidden1",)), (1, ("hidden2", "hidden1")), (10, ("hidden2",)))
    )


def test_after_the_flatten_a_channel_owns_sixteen_columns():
    """Oracle: LeNet-5's layers: 24²·25 a, 8²·25 a b, 16 b c, 10 c."""
    assert mac_formula(LeNet5()).terms == (
        (24 * 24 * 25, ("conv1",)),
        (8 * 8 * 25, ("conv2", "conv1")),
        (16, ("hidden", "conv2")),
        (10, ("hidden",)),
    )


@kinds
@pytest.mark.parametrize("normalise", NORMALISE.values(), ids=NORMALISE.keys())
def test_the_budget_holds_and_would_not_with_the_last_unit_back(kind, normalise):
    """Oracle: model_cost of the small network, and of one with the last removed unit restored."""
    network = drawn(kind)
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


def test_a_budget_that_holds_already_removes_nothing():
    """Oracle: the widths before."""
    network = drawn(ConvTeacher)
    full = mac_formula(network)(network.widths)
    assert prune_to_budget(network, scores_of(network), full).widths == network.widths
    assert prune_to_budget(network, scores_of(network), full - 1).widths != network.widths


def test_widths_without_scores_stay_whole():
    """Oracle: the widths before."""
    network = drawn(LeNet300)
    small = prune_to_budget(network, {"hidden2": torch.rand(100)}, 784 * 300 + 10 * 310)
    assert small.widths == {"hidden1": 300, "hidden2": 10}


def test_ranks_take_the_same_share_of_every_layer():
    """Oracle: shares counted; the scores of one layer are a thousand times those of the other."""
    network = drawn(LeNet300)
    scores = scores_of(network)
    scores["hidden1"] = scores["hidden1"] * 1000
    widths = prune_to_budget(network, scores, 100_000, normalise=by_rank).widths
    assert abs(widths["hidden1"] / 300 - widths["hidden2"] / 100) < 0.01
    assert prune_to_budget(network, scores, 235_000, normalise=unchanged).widths["hidden2"] == 1
    assert prune_to_budget(network, scores, 235_000).widths["hidden2"] > 50


def test_scores_are_compared_as_said():
    """Oracle: by hand."""
    score = torch.tensor([1.0, 4.0, 1.0, 2.0])
    assert torch.equal(unchanged(score), score)
    assert torch.equal(by_mean(score), score / 2)
    assert torch.equal(by_rank(score), torch.tensor([0.125, 0.875, 0.375, 0.625]))


def test_scores_of_one_layer_and_their_multiples_choose_the_same():
    """Oracle: the masks of the scores as they are; a mean and a rank know no unit."""
    network = drawn(ConvTeacher)
    scores = scores_of(network)
    scaled = {label: 4**i * score for i, (label, score) in enumerate(scores.items())}
    budget = mac_formula(network)(network.widths) // 2
    for normalise in (by_mean, by_rank):
        one = masks_to_budget(network, scores, budget, normalise=normalise)
        two = masks_to_budget(network, scaled, budget, normalise=normalise)
        assert all(torch.equal(one[label], two[label]) for label in scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("normalise", [by_mean, by_rank, unchanged])
def test_scores_of_any_precision_are_compared_in_float64(normalise, dtype):
    """Oracle: the same numbers as float64; the largest would overflow the sum of their dtype."""
    network = drawn(LeNet300)
    top = torch.finfo(dtype).max
    scores = {"hidden1": torch.rand(300).double() * top, "hidden2": torch.rand(100).double() * top}
    given = {label: score.to(dtype) for label, score in scores.items()}
    wide = {label: score.double() for label, score in given.items()}
    for budget in (200_000, 100_000, 30_000):
        found = masks_to_budget(network, given, budget, normalise=normalise)
        expected = masks_to_budget(network, wide, budget, normalise=normalise)
        assert all(torch.equal(found[label], expected[label]) for label in scores)


def test_every_rank_is_another_number_in_16_bits_too():
    """Oracle: counted; bfloat16 has 8 bits for numbers of 300 ranks."""
    assert len(by_rank(torch.rand(300).bfloat16()).unique()) == 300


def test_scores_that_differ_in_the_last_bits_of_float64_are_told_apart():
    """Oracle: the one lowest score, below the others by less than float32 can hold."""
    scores = torch.ones(300, dtype=torch.float64)
    scores[7] -= 1e-12
    one_less = mac_formula(LeNet300())({"hidden1": 299, "hidden2": 100})
    keep = masks_to_budget(drawn(LeNet300), {"hidden1": scores}, one_less)["hidden1"]
    assert (~keep).nonzero().flatten().tolist() == [7]


def test_the_least_that_is_named_leaves_other_widths_whole():
    """Oracle: 784 · 1 + 1 · 100 + 100 · 10, by hand."""
    with pytest.raises(ValueError, match="max_macs must be at least 1,884"):
        masks_to_budget(drawn(LeNet300), {"hidden1": torch.ones(300)}, 1_883)
    keep = masks_to_budget(drawn(LeNet300), {"hidden1": torch.ones(300)}, 1_884)
    assert int(keep["hidden1"].sum()) == 1


def test_the_scores_are_left_as_they_are():
    """Oracle: a copy; the way to compare them writes into what it is given."""
    scores = {"hidden1": torch.rand(300, dtype=torch.float64)}
    before = scores["hidden1"].clone()
    masks_to_budget(drawn(LeNet300), scores, 200_000, normalise=torch.Tensor.neg_)
    assert torch.equal(scores["hidden1"], before)


@pytest.mark.parametrize(
    ("normalise", "error"),
    [
        (None, TypeError),
        ("by mean", TypeError),
        (lambda score: score.mean(), ValueError),
        (lambda score: score[:5], ValueError),
        (lambda score: torch.cat([score, score]), ValueError),
        (lambda score: score[:, None], ValueError),
        (lambda score: score / 0, ValueError),
    ],
)
def test_what_does_not_compare_scores_is_refused(normalise, error):
    """Oracle: the documented errors."""
    network = drawn(LeNet300)
    with pytest.raises(error, match="normalise"):
        masks_to_budget(network, scores_of(network), 100_000, normalise=normalise)


def test_the_same_scores_choose_the_same_units_as_torch_pruning():
    """Oracle: torch_pruning's global pruning, by its own scores divided by each layer's mean.

    Equation: eq-narrow-normalised.
    """
    network = drawn(ConvTeacher)
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
    for label, conv in zip(network.widths, theirs.convs, strict=True):
        group = pruner.DG.get_pruning_group(
            conv, tp.prune_conv_out_channels, idxs=list(range(conv.out_channels))
        )
        scores[label] = importance(group)
    pruner.step()
    budget = model_cost(theirs, (1, 28, 28)).macs
    ours = prune_to_budget(network, scores, budget, normalise=by_mean)
    assert ours.widths == {
        label: conv.out_channels for label, conv in zip(ours.widths, theirs.convs, strict=True)
    }
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=0)


def test_the_network_is_left_as_it_is():
    """Oracle: copies of its state, its modes and its hooks."""
    network = drawn(ConvTeacher).train()
    network.norms[0].eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    prune_to_budget(network, scores_of(network), 1_000_000)
    for bad in (1, 10**4):
        with pytest.raises(ValueError, match="max_macs"):
            prune_to_budget(network, scores_of(network), bad, least=30)
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_budget_that_cannot_be_met_names_the_least():
    """Oracle: 784 + 1 + 10 with one unit in each layer."""
    with pytest.raises(ValueError, match=r"max_macs must be at least 795, .* got 794"):
        prune_to_budget(drawn(LeNet300), scores_of(LeNet300()), 794)
    assert prune_to_budget(drawn(LeNet300), scores_of(LeNet300()), 795).widths == {
        "hidden1": 1,
        "hidden2": 1,
    }


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "scores must be one or more"),
        ({"fc1": torch.ones(300)}, r"label must be one of \['hidden1', 'hidden2'\], got 'fc1'"),
        ({"hidden1": torch.ones(299)}, r"scores\['hidden1'\] must be \(300,\)"),
        ({"hidden1": torch.ones(300, 1)}, r"scores\['hidden1'\] must be .*, got shape \(300, 1\)"),
        ({"hidden1": torch.full((300,), torch.nan)}, "must be finite"),
        ({"hidden1": torch.zeros(300)}, "scores must have a positive mean"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, message):
    """Oracle: the documented errors."""
    with pytest.raises(ValueError, match=message):
        masks_to_budget(drawn(LeNet300), scores, 200_000)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"network": nn.Linear(2, 2)}, TypeError),
        ({"scores": {"hidden1": torch.arange(300)}}, TypeError),
        ({"max_macs": 0}, ValueError),
        ({"max_macs": 1e6}, TypeError),
        ({"least": 0}, ValueError),
    ],
)
def test_other_bad_arguments_are_refused(changed, error):
    """Oracle: the documented errors."""
    arguments = {"network": drawn(LeNet300), "scores": scores_of(LeNet300()), "max_macs": 10**5}
    with pytest.raises(error, match=next(iter(changed))):
        prune_to_budget(**{**arguments, **changed})


def test_a_formula_asks_for_every_width():
    """Oracle: the documented errors."""
    with pytest.raises(ValueError, match=r"widths must hold every label, got none for \['hidden2'"):
        mac_formula(LeNet300())({"hidden1": 3})
    with pytest.raises(ValueError, match=r"widths\['hidden2'\] must be at least 1, got 0"):
        mac_formula(LeNet300())({"hidden1": 3, "hidden2": 0})
