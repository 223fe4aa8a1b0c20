"""experiments.narrowing: what methods leave, and what is measured of it."""

import copy

import pytest
import torch

from benchmarks import pruning
from experiments import narrowing as recorder
from experiments.narrowing import METHODS, Run, Timing, forms, torch_pruned
from reference_impl.measuring import model_cost
from reference_impl.models import ConvTeacher, LeNet5
from reference_impl.training import load_checkpoint


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_the_budget_and_leaves_the_teacher(method, small):
    """Oracle: model_cost, which traces the network; a copy of the teacher's state.

    Filters that are left are the teacher's own; a new network has none of them.
    """
    teacher = load_checkpoint("teacher")
    before = copy.deepcopy(teacher.state_dict())
    found = METHODS[method](teacher, 3_000_000, small.train[:300])
    assert 2_850_000 < model_cost(found, (1, 28, 28)).macs <= 3_000_000
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    rows, known = (one.conv1.weight.detach().flatten(1) for one in (found, teacher))
    same = (rows[:, None] == known[None]).all(dim=2).any(dim=1)
    assert bool(same.all()) == (method != "anew")


def test_what_torch_pruning_leaves_computes_the_same_in_our_network():
    """Oracle: Torch-Pruning's own network, of which the state was taken."""
    torch.manual_seed(0)
    network = ConvTeacher((4, 6, 8, 10)).eval()
    ours, theirs = torch_pruned(network, 0.4), pruning.torch_pruned(network, 0.4)
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("method", ["Taylor", "output change", "Torch-Pruning"])
def test_lenet5_keeps_to_the_budget_too(method, small):
    """Oracle: model_cost, which traces the network."""
    found = METHODS[method](LeNet5().eval(), 1_100_000, small.train[:100])
    assert 1_000_000 < model_cost(found, (1, 28, 28)).macs <= 1_100_000


def test_the_forms_that_are_timed_compute_what_their_masks_do():
    """Oracle: each form's masked twin."""
    made, x = forms("lenet300"), torch.rand(4, 1, 28, 28)
    twins = {f"sparse rows {s}": f"zeros {s}" for s in recorder.SPARSITIES}
    for form, twin in {"narrow": "masked", **twins}.items():
        torch.testing.assert_close(made[form](x), made[twin](x))
    assert made["narrow, multiples of 16"].widths == {"hidden1": 144, "hidden2": 48}


def test_a_timing_names_its_machine_and_has_a_time_for_each_form(monkeypatch, small):
    """Oracle: the forms; times are positive."""
    monkeypatch.setattr(recorder, "ROUNDS", 1)
    row = Timing("lenet5", 1, 0).measured(small)
    assert row["milliseconds"].keys() == forms("lenet5").keys()
    assert min(row["milliseconds"].values()) > 0
    assert row["device"]
    assert row["threads"] >= 1


def test_a_run_measures_what_is_left_before_and_after_its_training(monkeypatch, small):
    """Oracle: model_cost of a network of those widths."""
    monkeypatch.setattr(recorder, "N_TUNED", 256)
    monkeypatch.setattr(recorder, "N_SCORED", 100)
    row = Run("teacher", "norm", 0.25, 1).measured(small)
    found = ConvTeacher.from_widths(row["widths"]).eval()
    assert row["macs"] == model_cost(found, (1, 28, 28)).macs
    assert row["before"] != row["after"]
