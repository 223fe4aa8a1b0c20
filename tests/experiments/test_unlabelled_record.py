"""experiments.unlabelled: what images are given to whom, and what the record shows."""

import pytest
import shipped
import torch

from experiments import unlabelled as recorder
from experiments.merging import FEW, MORE, by_norm
from experiments.unlabelled import PLAN, SHOES, Run, images_of, trained, ways, with_means
from reference_impl import compress
from reference_impl.data import load_dataset
from reference_impl.distillation import soft_target_loss
from reference_impl.training import load_checkpoint

RUNS = shipped.record("unlabelled")["runs"]


def test_each_seed_has_its_own_images_and_shoes_are_shoes():
    """Oracle: the labels, and slices of the training images."""
    dataset = load_dataset()
    images, shoes = images_of(Run("shipped", 1), dataset)
    start = 2 * MORE
    assert torch.equal(images, dataset.train.images[start : start + 2 * FEW])
    labels = dataset.train.labels[start : 2 * start].tolist()
    wanted = [start + place for place, label in enumerate(labels) if label in SHOES]
    assert torch.equal(shoes, dataset.train.images[wanted[: 2 * FEW]])
    assert len(shoes) == 2 * FEW


def test_restored_means_are_the_next_layers_own(small):
    """Oracle: one layer pruned; the mean of the next layer's sums is that of the whole network."""
    network, images = load_checkpoint("lenet300").eval(), small.train.images
    keep = {"hidden1": by_norm(network, 0.5, 2)["hidden1"]}

    def sums(net):
        return net.fc2(net.fc1(images.flatten(1)).relu()).mean(dim=0)

    assert torch.allclose(sums(with_means(network, keep, images)), sums(network), atol=1e-4)
    assert not torch.allclose(sums(compress.remove_units(network, keep)), sums(network), atol=0.1)


def test_a_training_comes_closer_to_the_outputs_and_leaves_its_start(monkeypatch, small):
    """Oracle: the loss before and after five steps; a second training gives the same network."""
    monkeypatch.setattr(recorder, "STEPS", 5)
    network, images = load_checkpoint("lenet300").eval(), small.train.images
    start = compress.remove_units(network, by_norm(network, 0.8, 2))
    before = start(images)
    after, again = (trained(network, start, images, 0.001)(images) for _ in range(2))
    loss, less = (soft_target_loss(x, network(images), temperature=1.0) for x in (before, after))
    assert less < loss
    assert torch.equal(after, again)
    assert torch.equal(start(images), before)


def test_no_image_chooses_the_rate_that_is_trained_with(monkeypatch):
    """Oracle: what the training and the judge are given, noted."""
    seen = {}

    def noted(_network, _start, images, rate):
        seen[rate] = images
        return rate

    def judge(_network, candidates, images):
        seen["judge"] = images
        return max(candidates)

    monkeypatch.setattr(recorder, "trained", noted)
    monkeypatch.setattr(recorder.compress, "closest_outputs", judge)
    images = torch.arange(2.0 * FEW)
    assert recorder.by_training(None, None, images) == (0.01, 0.01)
    assert torch.equal(seen[0.01], images[:FEW])
    assert torch.equal(seen["judge"], images[FEW:])


def test_every_way_leaves_as_many_units(monkeypatch):
    """Oracle: a fifth of both layers; the ways of the record."""
    monkeypatch.setattr(recorder, "STEPS", 1)
    images, shoes = images_of(Run("shipped", 0), load_dataset())
    found = list(ways(load_checkpoint("lenet300").eval(), 0.8, images, shoes))
    assert all(list(left.widths.values()) == [60, 20] for _, left, _ in found)
    for run in RUNS:
        assert [*run["test"]["0.8"]] == [name for name, *_ in found]
        assert [*run["chosen"]["0.8"]] == [name for name, _, chosen in found if chosen]


def test_the_record_agrees_with_that_of_merging():
    """Oracle: the other record's accuracies of the same networks, units and images."""
    same = {"prune": "prune, L2", "merge kappa": "merge kappa, L2"}
    same["least squares"] = "least squares 256, L2"
    others = {(r["recipe"], r["seed"]): r["test"] for r in shipped.record("merging")["runs"]}
    assert [(run["recipe"], run["seed"]) for run in RUNS] == [(r.recipe, r.seed) for r in PLAN]
    for run in RUNS:
        for level, found in run["test"].items():
            other = others[run["recipe"], run["seed"]][level]
            for way, name in same.items():
                assert found[way] == pytest.approx(other[name], abs=1.0)
