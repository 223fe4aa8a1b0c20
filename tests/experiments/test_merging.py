"""experiments.merging and decay: fair pairs, unseen images, and what the records show."""

import statistics

import pytest
import shipped
import torch

from experiments import decay
from experiments import merging as recorder
from experiments.measures import accuracies
from experiments.merging import FEW, MORE, Run, by_least_squares, images_of
from reference_impl.data import Dataset, load_dataset
from reference_impl.pruning import n_dropped
from reference_impl.training import Recipe, load_checkpoint

RUNS, DECAYED = (shipped.record(name)["runs"] for name in ("merging", "decay"))
SPARSITIES = [str(sparsity) for sparsity in recorder.SPARSITIES]
FIELDS = ("epochs", "learning_rate", "weight_decay")  #: of a recipe of decay


def test_no_image_chooses_the_ridge_that_is_chosen(monkeypatch):
    """Oracle: what the solver and the judge are given, noted; each seed has its own images."""
    seen = {}

    def solve(_network, _keep, images, *, ridge):
        seen[ridge] = images
        return ridge

    def judge(_network, candidates, images):
        seen["judge"] = images
        return max(candidates)

    monkeypatch.setattr(recorder.compress, "merge_least_squares", solve)
    monkeypatch.setattr(recorder.compress, "closest_outputs", judge)
    dataset = load_dataset()
    images = images_of(Run("short", 1), dataset)
    assert torch.equal(images, dataset.train.images[2 * MORE : 4 * MORE])
    assert by_least_squares(None, None, images, FEW, {}) == (0.3, 0.3)
    assert torch.equal(seen[0.001], images[:FEW])
    assert torch.equal(seen["judge"], images[FEW : 2 * FEW])


def test_networks_of_a_seed_are_trained_by_its_recipe(monkeypatch, small):
    """Oracle: a recipe of one epoch; two seeds differ, the shipped network is the shipped one."""
    monkeypatch.setattr(recorder, "RECIPES", {"short": Recipe("lenet300", epochs=1)})
    first, second = (recorder.made(Run("short", seed), small) for seed in (0, 1))
    assert not torch.equal(first.fc1.weight, second.fc1.weight)
    shipped_one = recorder.made(Run("shipped", 0), small)
    assert torch.equal(shipped_one.fc1.weight, load_checkpoint("lenet300").fc1.weight)


def test_every_way_of_a_run_leaves_as_many_units_and_has_both_accuracies(monkeypatch, small):
    """Oracle: round(sparsity · n) of both layers are gone; the record's ways; the one ridge."""
    more = Dataset(load_dataset().train[:4096], small.validation, small.test)
    monkeypatch.setattr(recorder, "SPARSITIES", (0.8,))
    monkeypatch.setattr(recorder, "RIDGES", (0.1,))
    left = []

    def noted(network, dataset):
        left.append(network.widths)
        return accuracies(network, dataset)

    monkeypatch.setattr(recorder, "accuracies", noted)
    found = Run("shipped", 0).measured(more)
    whole, *widths = left
    assert len(widths) == 3 * (1 + 9 + 4) + 2
    assert all(one == {key: n - n_dropped(0.8, n) for key, n in whole.items()} for one in widths)
    for name in ("validation", "test"):
        assert set(found[name]) == {"whole", "0.8"}
        assert all(0 <= right <= 100 for right in found[name]["0.8"].values())
        for run in RUNS:
            assert all(set(run[name][at]) == set(found[name]["0.8"]) for at in SPARSITIES)
    assert set(found["ridges"]["0.8"].values()) == {0.1}


def means(way: str, recipe: str, part: str = "test") -> list[float]:
    """Return the mean accuracy over the networks of a recipe, at each sparsity."""
    runs = [run[part] for run in RUNS if run["recipe"] == recipe]
    return [statistics.mean(run[at][way] for run in runs) for at in SPARSITIES]


def least_gain(way: str, criterion: str, recipe: str) -> float:
    """Return the least mean paired gain over pruning, which is the difference of the means."""
    merged, pruned = (means(f"{one}, {criterion}", recipe) for one in (way, "prune"))
    return min(ours - theirs for ours, theirs in zip(merged, pruned, strict=True))


def test_the_way_that_is_best_on_validation_images_meets_the_targets_on_test_images():
    """Oracle: the course's targets; of all ways that look at 256 images. So do L1 and L2 alone."""
    found = [way for way in RUNS[0]["test"]["0.5"] if "least squares 256" in way]
    best = max(found, key=lambda way: sum(means(way, "shipped", "validation")))
    for way in (best, "least squares 256, L1", "least squares 256, L2"):
        for reached, target in zip(means(way, "shipped"), (88.5, 87.5, 85, 80), strict=True):
            assert reached >= target


@pytest.mark.parametrize("recipe", recorder.RECIPES)
@pytest.mark.parametrize("criterion", ["L1", "L2"])
@pytest.mark.parametrize("scale", recorder.SCALES)
def test_merging_without_a_threshold_gains_over_pruning_at_every_level(recipe, criterion, scale):
    """Oracle: the mean over the networks of the paired differences."""
    assert least_gain(f"merge {scale}", criterion, recipe) > 0


def test_a_threshold_can_undo_the_gain():
    """Oracle: as above, for 0.45 on networks trained with weight decay."""
    assert least_gain("merge norm ratio over 0.45", "L1", "shipped") < 0


def test_the_plan_varies_rate_and_decay_and_leaves_the_rest():
    """Oracle: counting; the fifth recipe is the shipped one except for its decay."""
    recipes = {tuple(getattr(run, field) for field in FIELDS) for run in decay.PLAN}
    short = {(12, rate, decay) for rate in (0.001, 0.002) for decay in (0, 0.05)}
    assert recipes == short | {(30, 0.002, 0)}
    assert len(decay.PLAN) == 5 * len(recipes)


def test_a_network_is_trained_as_its_run_says(small):
    """Oracle: one epoch; what a run changes changes the accuracies; the ways of every sparsity."""
    changes = [(2, 0.001, 0.0, 0), (1, 0.002, 0.0, 0), (1, 0.001, 50.0, 0), (1, 0.001, 0.0, 1)]
    runs = [decay.Run(1, 0.001, 0.0, 0), *(decay.Run(*change) for change in changes)]
    first, *others = (run.measured(small)["test"] for run in runs)
    assert first not in others
    assert set(first) == {"whole", *SPARSITIES}
    assert all(set(first[at]) == set(decay.WAYS) for at in SPARSITIES)


def test_the_shipped_network_is_measured_as_in_the_main_record():
    """Oracle: the other record, by its own code, with units kept by their L2 norms."""
    found = decay.accuracies_of(load_checkpoint("lenet300"), load_dataset())
    expected = RUNS[0]["test"]
    assert found["whole"] == pytest.approx(expected["whole"], abs=0.1)
    for at in SPARSITIES:
        for way, right in found[at].items():
            assert right == pytest.approx(expected[at][f"{way}, L2"], abs=0.3)


def test_the_record_agrees_with_the_main_one():
    """Oracle: the short recipe's networks were trained there too."""
    short = [run["test"] for run in RUNS if run["recipe"] == "short"]
    again = [run["test"] for run in DECAYED if [run[name] for name in FIELDS] == [12, 0.001, 0]]
    for before, now in zip(short, again, strict=True):
        for at in SPARSITIES:
            assert now[at]["prune"] == pytest.approx(before[at]["prune, L2"], abs=0.5)


def test_the_rate_and_not_the_decay_makes_pruning_cheap():
    """Oracle: mean accuracies with half of the units pruned, as the chapter says."""

    def pruned(*recipe: float) -> float:
        runs = [run for run in DECAYED if [run[name] for name in FIELDS] == [*recipe]]
        return statistics.mean(run["test"]["0.5"]["prune"] for run in runs)

    for weight_decay in (0, 0.05):
        assert pruned(12, 0.002, weight_decay) > pruned(12, 0.001, weight_decay) + 10
    for rate in (0.001, 0.002):
        assert abs(pruned(12, rate, 0.05) - pruned(12, rate, 0)) < 5
    assert pruned(30, 0.002, 0) > pruned(12, 0.002, 0)
