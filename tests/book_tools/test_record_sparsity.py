"""book_tools.record_sparsity: ways to drop weights, the order of runs, a record that goes on."""

import copy
import json
from dataclasses import replace

import pytest
import torch

from book_tools import record_sparsity as recorder
from book_tools.record_sparsity import CHOICES, WAYS, Run, record, shuffled
from reference_impl.data import Dataset, load_dataset
from reference_impl.distilled_training import new_student
from reference_impl.pruned_training import Growth
from reference_impl.recipes import Recipe
from reference_impl.surgery.masking import density, masks_of, prunable_weights

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
    short = {name: replace(r, epochs=2) for name, r in recorder.FIRST.items()}
    monkeypatch.setattr(recorder, "FIRST", short)
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
    monkeypatch.setattr(recorder, "accuracy", lambda *_: next(falling))
    recipe = replace(SHORT, epochs=3)
    growth = Growth(0.92, begin=0, end=0.6)
    found = recorder.best_of(new_student(recipe), recipe, small, growth)
    assert (found["epoch"], found["validation"]) == (2, 90.0)  # full sparsity after 60 % of 3
    assert found["density"] == pytest.approx(0.08, abs=1e-4)
    assert sum(found["kept"].values()) == 266_200 - round(0.92 * 266_200)
    whole = recorder.best_of(new_student(recipe), recipe, small)
    assert (whole["epoch"], whole["density"]) == (1, 1.0)


@pytest.mark.usefixtures("quick")
def test_the_whole_network_of_a_target_has_more_to_choose_from(small):
    """Oracle: the list of decays; the pruned network has the first."""
    rows = recorder.target(Run("target", "lenet300", 0), small)["rows"]
    kinds = [(row["kind"], row["decay"], round(row["density"], 3)) for row in rows]
    assert kinds == [
        ("whole", 0.05, 1.0),
        ("longer", 0.2, 1.0),
        ("pruned", 0.2, 0.08),
        ("longer", 0.05, 1.0),
    ]


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


def test_mnist_is_run_only_when_its_folder_is_given(monkeypatch, tmp_path, small):
    """Oracle: the runs that a stand-in for the trainings was asked for."""
    asked = []

    def measured(run, **_):
        asked.append(run)
        return {"validation": 90.0}

    monkeypatch.setattr(recorder, "measured", measured)
    monkeypatch.setattr(recorder, "load_dataset", lambda folder: small)
    path = tmp_path / "sparsity.json"
    record(path, small)
    assert {run.data for run in asked} == {"FashionMNIST"}
    assert json.loads(path.read_text(encoding="utf-8"))["MNIST"].startswith("not run")
    before = len(asked)
    record(path, small, mnist=tmp_path)
    assert {(run.data, run.part) for run in asked[before:]} == {("MNIST", "target")}
    assert json.loads(path.read_text(encoding="utf-8"))["MNIST"] == "run"


@pytest.mark.usefixtures("quick")
def test_a_record_skips_the_runs_that_it_holds(monkeypatch, tmp_path, small):
    """Oracle: a list of runs that grows only when something is measured."""
    made, real = [], recorder.measured
    one = Run("curves", "lenet300", 1)
    monkeypatch.setattr(recorder, "planned", lambda *_: [one])

    def noted(run, dataset):
        made.append(run)
        return real(run, dataset)

    monkeypatch.setattr(recorder, "measured", noted)
    path = tmp_path / "sparsity.json"
    record(path, small)
    record(path, small)
    assert made == [one]
    (run,) = json.loads(path.read_text(encoding="utf-8"))["runs"]
    assert [(r["choice"], r["sparsity"], r["way"]) for r in run["rows"]] == [
        (choice, s, way) for choice in CHOICES for s in (0.5, 0.9) for way in WAYS
    ]
    n = sum(w.numel() for w in prunable_weights(new_student(SHORT)).values())
    assert all(sum(r["kept"].values()) == n - round(r["sparsity"] * n) for r in run["rows"]
               if r["choice"] == "all")  # fmt: skip


def test_a_folder_without_mnist_is_one_line(tmp_path, capsys, monkeypatch):
    """Oracle: exit code 1 and the program's name before the message."""
    monkeypatch.setattr(recorder, "measured", lambda *_, **__: {"validation": 90.0})
    path = tmp_path / "sparsity.json"
    assert recorder.main(["--path", str(path), "--mnist", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("record_sparsity: ")
