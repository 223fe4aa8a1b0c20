"""experiments.sparsity: ways to drop weights, targets, curves and tickets."""

import copy
from dataclasses import replace

import pytest
import torch

from experiments import sparsity as recorder
from experiments.sparsity import CHOICES, WAYS, Run, shuffled
from reference_impl import training
from reference_impl.compress import density, masks_of
from reference_impl.distillation import distillation_objective
from reference_impl.training import Growth, Recipe, new_student, view

SHORT = Recipe("lenet300", epochs=1, learning_rate=2e-3)


def shorter(ways):
    return {name: replace(way, epochs=2) for name, way in ways.items()}


@pytest.fixture
def quick(monkeypatch):
    others = {name: shorter(ways) for name, ways in recorder.COMPARED.items()}
    settings = {"WHOLE": SHORT, "TUNE": SHORT, "TICKET": SHORT, "N_IMAGES": 600, "ROUNDS": 2}
    settings |= {"PRUNED": shorter(recorder.PRUNED), "COMPARED": others, "SPARSITIES": (0.5, 0.9)}
    for name, value in settings.items():
        monkeypatch.setattr(recorder, name, value)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_ends_at_its_sparsity_and_leaves_the_whole(way, choice, small):
    """Oracle: counting; a copy of the state. Only one shot keeps the values of what is left."""
    whole = new_student(SHORT)
    before = copy.deepcopy(whole.state_dict())
    found = recorder.pruned(whole, way, 0.9, CHOICES[choice], small.train, SHORT)
    assert density(found) == pytest.approx(0.1, abs=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    left = masks_of(found)["fc1.weight"]
    same = torch.equal(found.fc1.weight[left], whole.fc1.weight[left])
    assert same == (way == "one shot")


def test_a_target_is_chosen_at_full_sparsity_alone(monkeypatch, small):
    """Oracle: validation accuracies that fall: the best of all epochs is not the one kept."""
    falling = iter([90.0, 80.0, 70.0, 60.0, 50.0])
    monkeypatch.setattr(training, "accuracy", lambda *_: next(falling))
    recipe = replace(SHORT, epochs=3)
    growth = Growth(0.92, begin=0, end=0.6)
    found = recorder.best_of(new_student(recipe), recipe, small, growth=growth)
    assert found["epoch"] == 2  # full sparsity after 60 % of 3
    assert found["density"] == pytest.approx(0.08, abs=1e-4)
    assert sum(found["kept"].values()) == 266_200 - round(0.92 * 266_200)
    whole = recorder.best_of(new_student(recipe), recipe, small)
    assert (whole["epoch"], whole["density"]) == (1, 1.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("seed", "data", "kinds"),
    [
        (0, "FashionMNIST", ["whole", "pruned", *recorder.COMPARED["lenet300"]]),
        (4, "FashionMNIST", ["whole", "pruned"]),
        (0, "MNIST", ["whole", "pruned"]),
    ],
)
def test_a_target_starts_from_the_shipped_network_except_on_mnist(small, seed, data, kinds):
    """Oracle: accuracy of the checkpoint; counting. MNIST's whole network is trained here."""
    rows = recorder.target(Run("target", "lenet300", seed, data), small)["rows"]
    assert [row["kind"] for row in rows] == kinds
    known = training.accuracy(training.load_checkpoint("lenet300"), small.validation)
    assert rows[0]["validation"] == known if data == "FashionMNIST" else rows[0]["test"] < known
    assert [round(row["density"], 3) for row in rows] == [
        1.0 if "longer" in kind or kind == "whole" else 0.08 for kind in kinds
    ]


def test_what_is_told_is_distillation_under_masks(small):
    """Oracle: chapter 11's training, until the first weights go; zeros after every step."""
    whole = new_student(SHORT)
    growth = Growth(0.9, begin=0.4, end=0.8, every=1)
    pruned, alone, views = copy.deepcopy(whole), copy.deepcopy(whole), [view(whole, small.train)]

    def objective(logits, to):
        return distillation_objective(logits, to.logits, to.labels, temperature=4.0, alpha=0.9)

    theirs = list(training.student_steps(alone, views, objective, SHORT))
    steps = recorder.steps_of(pruned, SHORT, small.train, views, growth)
    ours, left = zip(*((loss, density(pruned)) for loss in steps), strict=True)
    assert len(ours) == 5
    assert list(ours[:3]) == theirs[:3]
    assert list(ours[3:]) != theirs[3:]
    assert left == pytest.approx([1 - growth.at(step, 5) for step in range(1, 6)], abs=1e-4)


@pytest.mark.usefixtures("quick")
def test_reinitialised_and_shuffled_share_the_tickets_densities(small):
    """Oracle: counts of every layer, kind by kind; 1, ½ and ¼ of all."""
    rows = recorder.lottery(Run("tickets", "lenet300", 3), small)["rows"]
    ticket, reinitialised, shuffled_ones = (
        [row for row in rows if row["kind"] == kind]
        for kind in ("ticket", "reinitialised", "shuffled")
    )
    assert [row["density"] for row in ticket] == [1.0, 0.5, 0.25]
    for found in (reinitialised, shuffled_ones):
        assert [row["kept"] for row in found] == [row["kept"] for row in ticket[1:]]


def test_shuffled_masks_have_other_places():
    """Oracle: counts, and the mask before."""
    masks = {"a": torch.arange(60).view(6, 10) < 15}
    found = shuffled(masks, torch.Generator().manual_seed(0))["a"]
    assert (found.shape, found.sum()) == ((6, 10), 15)
    assert not torch.equal(found, masks["a"])


@pytest.mark.usefixtures("quick")
def test_curves_have_a_row_for_each_choice_sparsity_and_way(small):
    """Oracle: by hand; counts of the weights that are left."""
    run = Run("curves", "lenet300", 1).measured(small)
    assert [(r["choice"], r["sparsity"], r["way"]) for r in run["rows"]] == [
        (choice, s, way) for choice in CHOICES for s in (0.5, 0.9) for way in WAYS
    ]
    for row in run["rows"]:
        if row["choice"] == "all":
            assert sum(row["kept"].values()) == 266_200 - round(row["sparsity"] * 266_200)
