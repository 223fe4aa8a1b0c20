"""experiments.qat: whole runs on some of the data, one interrupted, the shipped record."""

import json
from dataclasses import asdict, replace

import pytest

from experiments import qat as record_qat
from experiments import records
from reference_impl.compress import deploy
from reference_impl.data import Dataset, load_dataset
from reference_impl.training import QatRecipe, accuracy, fine_tune, load_checkpoint, prepare

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = QatRecipe(bits=4, epochs=1)


@pytest.fixture(scope="module")
def small():
    whole = load_dataset()
    return Dataset(whole.train[:640], whole.validation[:200], whole.test[:200])


@pytest.fixture
def command(monkeypatch, tmp_path, small):
    """Return the command on a part of the data, with two short runs and a file of its own."""
    runs = [("lenet300", QUICK), ("lenet300", replace(QUICK, bits=None))]
    monkeypatch.setattr(record_qat, "planned", lambda: iter(runs))
    monkeypatch.setattr(records, "load_dataset", lambda: small)
    monkeypatch.setattr(record_qat, "WIDTHS", (4,))
    return lambda: record_qat.main(["--path", str(tmp_path / "qat.json")])


def test_a_run_is_recorded_as_it_is_when_made_by_hand(command, tmp_path, small):
    """Oracle: the same training, deployed and measured by hand."""
    assert command() == 0
    found = json.loads((tmp_path / "qat.json").read_text(encoding="utf-8"))
    quantized, control = found["runs"]
    chain = prepare(load_checkpoint("lenet300").chain(), QUICK, small.train)
    assert quantized["start_validation"] == accuracy(chain, small.validation)
    losses = list(fine_tune(chain, QUICK, small.train))
    assert quantized["loss"] == pytest.approx(sum(losses) / len(losses))
    final = deploy(chain)
    assert quantized["test"] == accuracy(final, small.test)
    assert quantized["validation"] == accuracy(final, small.validation)
    assert quantized["recipe"] == asdict(QUICK)
    assert control["recipe"]["bits"] is None
    assert found["provenance"]["seed"] == [0]
    watched = found["watched"]
    assert len(watched["before"]) == len(watched["after"]) == 100
    for density in (watched["before"], watched["after"]):
        assert 0.9 < sum(density) * 0.04 <= 1.0001
    assert len(watched["changed"]) == 3 * 5 // 20
    (rounded,) = found["post_training"]
    assert (rounded["network"], rounded["bits"]) == ("lenet300", 4)
    assert 80 < rounded["nearest"] <= 100
    assert 80 < rounded["adaround"] <= 100


def test_an_interrupted_command_continues_with_the_unfinished_run(
    command, monkeypatch, tmp_path, capsys
):
    """Oracle: the first run is made once, the second twice: it was interrupted."""
    made = []
    trained = record_qat.trained

    def interrupted(network, recipe, dataset):
        made.append(recipe.bits)
        if len(made) == 2:
            raise KeyboardInterrupt
        return trained(network, recipe, dataset)

    monkeypatch.setattr(record_qat, "trained", interrupted)
    assert command() == 130
    assert "continues" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "qat.json").read_text(encoding="utf-8"))["runs"]) == 1
    assert command() == 0
    assert made == [4, None, None]


def test_a_path_that_cannot_be_written_fails_before_the_first_training(
    monkeypatch, tmp_path, capsys, small
):
    """Oracle: no run is made."""
    monkeypatch.setattr(records, "load_dataset", lambda: small)
    monkeypatch.setattr(record_qat, "trained", lambda *_: pytest.fail("a training began"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert record_qat.main(["--path", str(tmp_path / "file" / "qat.json")]) == 1
    assert "qat:" in capsys.readouterr().err


def test_the_shipped_record_holds_all_planned_runs_and_no_other():
    """Oracle: the plan."""
    found = json.loads(record_qat.RESULT.read_text(encoding="utf-8"))
    runs = [(run["network"], run["recipe"]) for run in found["runs"]]
    plan = [(network, asdict(recipe)) for network, recipe in record_qat.planned()]
    assert sorted(runs, key=str) == sorted(plan, key=str)
    pairs = {(one["network"], one["bits"]) for one in found["post_training"]}
    assert pairs == {(name, bits) for name in record_qat.RECIPES for bits in record_qat.WIDTHS}


def test_the_shipped_record_reaches_what_the_chapter_promises():
    """Oracle: the accuracy of the network in full precision, from its own record."""
    found = json.loads(record_qat.RESULT.read_text(encoding="utf-8"))
    for name in ("lenet300", "teacher"):
        full = accuracy_of_checkpoint(name)
        for bits, allowed in ((4, 0.5), (2, 3.0)):
            tests = [
                run["test"]
                for run in found["runs"]
                if run["network"] == name
                and (run["recipe"]["bits"], run["recipe"]["edges"]) == (bits, 8)
            ]
            assert tests
            assert sum(tests) / len(tests) >= full - allowed


def accuracy_of_checkpoint(name: str) -> float:
    text = (record_qat.ROOT / "data" / "checkpoints" / f"{name}.json").read_text(encoding="utf-8")
    return float(json.loads(text)["test_accuracy"])
