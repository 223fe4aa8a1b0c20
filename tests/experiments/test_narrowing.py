"""experiments.narrowing: what methods leave, and a record that continues."""

import copy

import pytest
import torch

from experiments import narrowing as recorder
from experiments.narrowing import METHODS, Run, torch_pruned
from reference_impl.data import Dataset, load_dataset
from reference_impl.measuring import model_cost
from reference_impl.models import ConvTeacher
from reference_impl.training import load_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small() -> Dataset:
    whole = load_dataset()
    return Dataset(whole.train[:300], whole.validation[:100], whole.test[:100])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_the_budget_and_leaves_the_teacher(method, small):
    """Oracle: model_cost, which traces the network; a copy of the teacher's state."""
    teacher = load_checkpoint("teacher").eval()
    before = copy.deepcopy(teacher.state_dict())
    found = METHODS[method](teacher, 3_000_000, small.train)
    macs = model_cost(found, (1, 28, 28)).macs
    assert 2_850_000 < macs <= 3_000_000
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_methods_that_choose_units_share_their_filters_with_the_teacher(small):
    """Oracle: the teacher's first filters; a new network has none of them."""
    teacher = load_checkpoint("teacher").eval()
    known = teacher.convs[0].weight.detach().flatten(1)
    for method, prune in METHODS.items():
        rows = prune(teacher, 3_000_000, small.train).convs[0].weight.detach().flatten(1)
        same = (rows[:, None] == known[None]).all(dim=2).any(dim=1)
        assert bool(same.all()) == (method != "anew")


def test_what_torch_pruning_leaves_computes_the_same_in_our_network():
    """Oracle: torch_pruning's own network, of which the state was taken."""
    import torch_pruning as tp

    torch.manual_seed(0)
    network = ConvTeacher((4, 6, 8, 10)).eval()
    ours = torch_pruned(network, 0.4)
    theirs = copy.deepcopy(network)
    tp.pruner.BasePruner(
        theirs,
        torch.zeros(1, 1, 28, 28),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=0.4,
        ignored_layers=[theirs.head],
    ).step()
    x = torch.rand(4, 1, 28, 28)
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    torch.testing.assert_close(ours(x), theirs.eval()(x))


def test_a_run_measures_what_is_left_before_and_after_its_training(monkeypatch, small):
    """Oracle: model_cost of a network of those widths."""
    monkeypatch.setattr(recorder, "N_TUNED", 256)
    monkeypatch.setattr(recorder, "N_SCORED", 100)
    row = recorder.measured(Run("norm", 0.25, 1), small)
    found = ConvTeacher.from_widths(row["widths"]).eval()
    assert row["macs"] == model_cost(found, (1, 28, 28)).macs
    assert row["before"] != row["after"]
