"""experiments.retrain: the shipped networks measured anew, a whole run, an interrupted one."""

import json
import runpy
import signal
import sys
from dataclasses import asdict

import pytest

from experiments import retrain
from reference_impl import training
from reference_impl.files import ROOT
from reference_impl.models import MODELS
from reference_impl.training import Recipe, accuracy, load_checkpoint, provenance


@pytest.fixture
def command(monkeypatch, tmp_path, small):
    """Return the command on a part of the data, with short recipes and folders of its own."""
    recipes = {name: Recipe(name, epochs=2) for name in ("lenet300", "student")}
    monkeypatch.setattr(retrain, "RECIPES", recipes)
    monkeypatch.setattr(retrain, "load_dataset", lambda: small)
    monkeypatch.setattr(retrain, "FINISHED", tmp_path / "finished")
    return lambda *arguments: retrain.main([*arguments, "--folder", str(tmp_path / "made")])


def test_the_shipped_networks_are_as_good_as_their_records_say_and_of_todays_recipes(capsys):
    """Oracle: every accuracy measured anew on the whole validation and test sets."""
    assert retrain.main(["--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == sorted(MODELS, key=list(retrain.RECIPES).index)
    assert all(line.endswith(": as recorded") for line in lines)
    assert all(provenance(name).recipe == asdict(retrain.RECIPES[name]) for name in MODELS)


def test_a_run_writes_networks_that_load_and_measure_as_recorded(command, tmp_path, capsys, small):
    """Oracle: the accuracies measured by hand on the loaded network; the sum of a second run."""
    assert command() == 0
    printed = capsys.readouterr().out
    for name in ("lenet300", "student"):
        model = load_checkpoint(name, folder=tmp_path / "made")
        record = provenance(name, folder=tmp_path / "made")
        assert record.test_accuracy == accuracy(model, small.test)
        assert record.validation_accuracy == accuracy(model, small.validation)
        assert f"{record.test_accuracy:.2f} %" in printed
    assert record.recipe == asdict(Recipe("student", epochs=2))
    assert list((tmp_path / "finished").iterdir()) == []
    assert command("student") == 0
    assert provenance("student", folder=tmp_path / "made").sha256 == record.sha256
    assert command("--check") == 0


def test_an_interrupted_run_keeps_its_finished_networks(command, monkeypatch, capsys, tmp_path):
    """Oracle: the epochs printed by the second call; the folders after each."""
    whole = training.fit

    def interrupted(recipe, dataset):
        yield next(steps := whole(recipe, dataset))
        if recipe.model == "student":
            raise KeyboardInterrupt
        yield from steps

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", interrupted)
        assert command() == 130
    first = capsys.readouterr()
    begun = ["lenet300 1/2", "lenet300 2/2", "lenet300", "student 1/2"]
    assert [line.split(":")[0] for line in first.out.splitlines()] == begun
    assert first.err == "\ninterrupted; the same command keeps the finished networks\n"
    assert not (tmp_path / "made").exists()  # all networks or none are replaced
    assert command() == 0
    second = capsys.readouterr().out
    assert "lenet300: kept as it was finished before" in second
    assert "lenet300 2/2" not in second
    assert second.count("student 1/2: loss") == second.count("student 2/2: loss") == 1
    assert len(list((tmp_path / "made").iterdir())) == 4
    assert command("--check") == 0


def test_make_clean_leaves_finished_networks():
    """Oracle: the folder that it removes."""
    assert ROOT / "_build" not in retrain.FINISHED.parents


def edited(**changes):
    return lambda text: json.dumps(json.loads(text) | changes).encode()


@pytest.mark.parametrize(
    ("end", "damage"),
    [
        ("safetensors", lambda _: b"half"),
        ("json", lambda _: b"{"),
        ("json", edited(recipe=asdict(Recipe("lenet300", epochs=2, seed=1)))),
        ("json", edited(versions={"sources": "of yesterday"})),
    ],
)
def test_a_network_that_cannot_be_kept_is_trained_again(command, capsys, tmp_path, end, damage):
    """Oracle: the epochs printed, with a network that waits damaged, by another recipe or code."""
    assert command("lenet300") == 0
    for path in (tmp_path / "made").iterdir():
        path.rename(tmp_path / "finished" / path.name)
    path = tmp_path / "finished" / f"lenet300.{end}"
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    assert command("lenet300") == 0
    assert capsys.readouterr().out.count("lenet300 2/2: loss") == 1


def test_the_check_finds_an_accuracy_or_weights_that_are_not_as_recorded(command, tmp_path, capsys):
    """Oracle: a record changed by one point; a byte added to the weights, said in one line."""
    assert command("lenet300") == 0
    side = tmp_path / "made" / "lenet300.json"
    accuracy_then = provenance("lenet300", folder=side.parent).test_accuracy
    side.write_bytes(edited(test_accuracy=accuracy_then - 1)(side.read_text()))
    assert command("--check", "lenet300") == 1
    assert capsys.readouterr().out.endswith(": DIFFERS\n")
    with side.with_suffix(".safetensors").open("ab") as file:
        file.write(b"x")
    assert command("--check", "lenet300") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("retrain: ")
    assert "found sha256" in error


def test_a_full_disk_is_one_line(command, monkeypatch, capsys):
    """Oracle: the error of the operating system."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_checkpoint", full)
    assert command("lenet300") == 1
    assert capsys.readouterr().err == "retrain: [Errno 28] No space left on device\n"


def test_an_unknown_network_is_refused_before_anything_is_read(command, monkeypatch, capsys):
    """Oracle: the exit code of argparse."""
    monkeypatch.setattr(retrain, "load_dataset", lambda: pytest.fail("data was read"))
    with pytest.raises(SystemExit, match="2"):
        command("lenet9000")
    assert "lenet9000" in capsys.readouterr().err


def test_a_kill_ends_it_as_ctrl_c_does(monkeypatch, capsys):
    """Oracle: the exit code and the one line of an interruption, after the first network."""
    monkeypatch.setattr(sys, "argv", ["retrain", "--check", "lenet300", "lenet5"])
    monkeypatch.setattr(training, "accuracy", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the signal is not handled"))
    try:
        with pytest.raises(SystemExit, match="130"):
            runpy.run_path(retrain.__file__, run_name="__main__")
    finally:
        signal.signal(signal.SIGTERM, before)
    error = capsys.readouterr().err
    assert error == "\ninterrupted; the same command keeps the finished networks\n"
