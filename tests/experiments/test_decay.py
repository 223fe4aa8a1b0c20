"""experiments.decay: one thing at a time differs between its recipes."""

import statistics

import pytest
import shipped

from experiments import decay as recorder
from experiments.decay import PLAN, Run
from reference_impl.data import load_dataset
from reference_impl.training import load_checkpoint

RUNS = shipped.record("decay")["runs"]
MAIN = shipped.record("merging")["runs"]
SPARSITIES = [str(sparsity) for sparsity in recorder.SPARSITIES]
FIELDS = ("epochs", "learning_rate", "weight_decay")


def test_the_plan_varies_rate_and_decay_and_leaves_the_rest():
    """Oracle: counting; the fifth recipe is the shipped one except for its decay."""
    recipes = {tuple(getattr(run, field) for field in FIELDS) for run in PLAN}
    short = {(12, rate, decay) for rate in (0.001, 0.002) for decay in (0, 0.05)}
    assert recipes == short | {(30, 0.002, 0)}
    assert len(PLAN) == 5 * len(recipes)


def test_a_network_is_trained_as_its_run_says(small):
    """Oracle: one epoch; what a run changes changes the accuracies; the ways of every sparsity."""
    changes = [(2, 0.001, 0.0, 0), (1, 0.002, 0.0, 0), (1, 0.001, 50.0, 0), (1, 0.001, 0.0, 1)]
    runs = [Run(1, 0.001, 0.0, 0), *(Run(*change) for change in changes)]
    first, *others = (recorder.measured(run, small)["test"] for run in runs)
    assert first not in others
    assert set(first) == {"whole", *SPARSITIES}
    assert all(set(first[at]) == set(recorder.WAYS) for at in SPARSITIES)


def test_the_shipped_network_is_measured_as_in_the_main_record():
    """Oracle: the other record, by its own code, with units kept by their L2 norms."""
    found = recorder.accuracies_of(load_checkpoint("lenet300"), load_dataset())
    expected = MAIN[0]["test"]
    assert found["whole"] == pytest.approx(expected["whole"], abs=0.1)
    for at in SPARSITIES:
        for way, right in found[at].items():
            assert right == pytest.approx(expected[at][f"{way}, L2"], abs=0.3)


def test_the_record_agrees_with_the_main_one():
    """Oracle: the short recipe's networks were trained there too."""
    short = [run["test"] for run in MAIN if run["recipe"] == "short"]
    again = [run["test"] for run in RUNS if [run[name] for name in FIELDS] == [12, 0.001, 0]]
    for before, now in zip(short, again, strict=True):
        for at in SPARSITIES:
            assert now[at]["prune"] == pytest.approx(before[at]["prune, L2"], abs=0.5)


def test_the_rate_and_not_the_decay_makes_pruning_cheap():
    """Oracle: mean accuracies with half of the units pruned, as the chapter says."""

    def pruned(*recipe: float) -> float:
        runs = [run for run in RUNS if [run[name] for name in FIELDS] == [*recipe]]
        return statistics.mean(run["test"]["0.5"]["prune"] for run in runs)

    for decay in (0, 0.05):
        assert pruned(12, 0.002, decay) > pruned(12, 0.001, decay) + 10
    for rate in (0.001, 0.002):
        assert abs(pruned(12, rate, 0.05) - pruned(12, rate, 0)) < 5
    assert pruned(30, 0.002, 0) > pruned(12, 0.002, 0)
