"""experiments.sparsity: ways to drop weights, the order of runs, a record that continues."""

import copy
from dataclasses import replace

import pytest
import torch

from experiments import sparse_targets
from experiments import sparsity as recorder
from experiments.sparsity import CHOICES, WAYS, Run, shuffled
from reference_impl.compress import density, masks_of, prunable_weights
from reference_impl.data import Dataset, load_dataset
from reference_impl.training import (
    Growth,
    Recipe,
    accuracy,
    load_checkpoint,
    new_student,
    student_steps,
    view,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = Recipe("lenet300", epochs=1, learning_rate=2e-3)


@pytest.fixture(scope="module")
def small() -> Dataset:
    whole = load_dataset()
    return Dataset(whole.train[:640], whole.validation[:100], whole.test[:100])


@pytest.fixture
def quick(monkeypatch):
    for name in ("WHOLE", "TUNE", "TICKET"):
        monkeypatch.setattr(recorder, name, SHORT)
    short = {name: replace(way, epochs=2) for name, way in sparse_targets.PRUNED.items()}
    monkeypatch.setattr(sparse_targets, "PRUNED", short)
    others = {
        name: {kind: replace(way, epochs=2) for kind, way in ways.items()}
        for name, ways in sparse_targets.COMPARED.items()
    }
    monkeypatch.setattr(sparse_targets, "COMPARED", others)
    monkeypatch.setattr(recorder, "N_IMAGES", 600)
    monkeypatch.setattr(recorder, "SPARSITIES", (0.5, 0.9))
    monkeypatch.setattr(recorder, "ROUNDS", 2)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_ends_at_its_sparsity_and_leaves_the_whole(way, choice, small):
    """Oracle: counting; a copy of the state. Only one shot keeps the values of what is left."""
    whole = new_student(SHORT)
    before = copy.deepcopy(whole.state_dict())
    found = WAYS[way](whole, 0.9, CHOICES[choice], small.train, SHORT)
    assert density(found) == pytest.approx(0.1, abs=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    left = masks_of(found)["fc1.weight"]
    same = torch.equal(found.fc1.weight[left], whole.fc1.weight[left])
    assert same == (way == "one shot")


@pytest.mark.usefixtures("quick")
def test_a_target_is_chosen_at_full_sparsity_alone(monkeypatch, small):
    """Oracle: validation accuracies that fall: the best of all epochs is not the one kept."""
    falling = iter([90.0, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0])
    monkeypatch.setattr(sparse_targets, "accuracy", lambda *_: next(falling))
    recipe = replace(SHORT, epochs=3)
    growth = Growth(0.92, begin=0, end=0.6)
    network = new_student(recipe)
    steps = sparse_targets.by_labels(network, small, recipe, growth)
    found = sparse_targets.best_of(network, steps, small, growth)
    assert (found["epoch"], found["validation"]) == (2, 90.0)  # full sparsity after 60 % of 3
    assert found["density"] == pytest.approx(0.08, abs=1e-4)
    assert sum(found["kept"].values()) == 266_200 - round(0.92 * 266_200)
    network = new_student(recipe)
    whole = sparse_targets.best_of(network, sparse_targets.by_labels(network, small, recipe), small)
    assert (whole["epoch"], whole["density"]) == (1, 1.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("seed", "kinds"),
    [(0, ["whole", "pruned", *sparse_targets.COMPARED["lenet300"]]), (4, ["whole", "pruned"])],
)
def test_a_target_starts_from_the_shipped_network(small, seed, kinds):
    """Oracle: accuracy of the checkpoint; counting."""
    rows = sparse_targets.target("lenet300", seed, "FashionMNIST", small)["rows"]
    assert [row["kind"] for row in rows] == kinds
    assert rows[0]["validation"] == accuracy(load_checkpoint("lenet300"), small.validation)
    assert [round(row["density"], 3) for row in rows] == [
        1.0 if "longer" in kind or kind == "whole" else 0.08 for kind in kinds
    ]


def test_what_is_told_is_distillation_under_masks(small):
    """Oracle: chapter 09's training, until the first weights go; zeros after every step."""
    whole = new_student(SHORT)
    growth = Growth(0.9, begin=0.4, end=0.8, every=1)
    pruned, alone = copy.deepcopy(whole), copy.deepcopy(whole)

    def objective(logits, to):
        return sparse_targets.distillation_objective(
            logits, to.logits, to.labels, temperature=4.0, alpha=0.9
        )

    steps, n = sparse_targets.told(pruned, [view(whole, small.train)], SHORT, growth)
    theirs = list(student_steps(alone, [view(whole, small.train)], objective, SHORT))
    ours, left = [], []
    for loss in steps:
        ours.append(loss)
        left.append(density(pruned))
    assert (n, len(ours)) == (5, 5)
    assert ours[:3] == theirs[:3]
    assert ours[3:] != theirs[3:]
    assert left == pytest.approx([1 - growth.at(step, 5) for step in range(1, 6)], abs=1e-4)


@pytest.mark.usefixtures("quick")
def test_mnist_trains_its_whole_network(small):
    """Oracle: the checkpoint of Fashion-MNIST, which is another network."""
    rows = sparse_targets.target("lenet300", 0, "MNIST", small)["rows"]
    assert [row["kind"] for row in rows] == ["whole", "pruned"]
    assert rows[0]["validation"] < accuracy(load_checkpoint("lenet300"), small.validation)


@pytest.mark.usefixtures("quick")
def test_reinitialised_and_shuffled_share_the_tickets_densities(small):
    """Oracle: counts of every layer, kind by kind; 1, ½ and ¼ of all."""
    rows = recorder.lottery(Run("tickets", "lenet300", 3), small)["rows"]
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in dict.fromkeys(
        row["kind"] for row in rows)}  # fmt: skip
    assert [row["density"] for row in kinds["ticket"]] == [1.0, 0.5, 0.25]
    for kind in ("reinitialised", "shuffled"):
        assert [r["kept"] for r in kinds[kind]] == [r["kept"] for r in kinds["ticket"]][1:]


def test_shuffled_masks_have_other_places():
    """Oracle: counts, and the mask before."""
    masks = {"a": torch.arange(60).view(6, 10) < 15}
    found = shuffled(masks, torch.Generator().manual_seed(0))["a"]
    assert found.shape == (6, 10)
    assert found.sum() == 15
    assert not torch.equal(found, masks["a"])


@pytest.mark.usefixtures("quick")
def test_curves_have_a_row_for_each_choice_sparsity_and_way(small):
    """Oracle: by hand; counts of the weights that are left."""
    run = recorder.measured(Run("curves", "lenet300", 1), small)
    assert [(r["choice"], r["sparsity"], r["way"]) for r in run["rows"]] == [
        (choice, s, way) for choice in CHOICES for s in (0.5, 0.9) for way in WAYS
    ]
    n = sum(w.numel() for w in prunable_weights(new_student(SHORT)).values())
    for row in run["rows"]:
        if row["choice"] == "all":
            assert sum(row["kept"].values()) == n - round(row["sparsity"] * n)
