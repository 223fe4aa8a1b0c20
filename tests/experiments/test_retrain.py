"""experiments.retrain: the shipped networks measured anew, a whole run, an interrupted one."""

import json
from dataclasses import asdict

import pytest

from experiments import retrain
from reference_impl.data import Dataset, load_dataset
from reference_impl.models import MODELS
from reference_impl.training import Recipe, accuracy, load_checkpoint, provenance

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small():
    whole = load_dataset()
    return Dataset(whole.train[:2000], whole.validation[:500], whole.test[:500])


@pytest.fixture
def command(monkeypatch, tmp_path, small):
    """Return the command on a part of the data, with short recipes and folders of its own."""
    recipes = {name: Recipe(name, epochs=2) for name in ("lenet300", "student")}
    monkeypatch.setattr(retrain, "RECIPES", recipes)
    monkeypatch.setattr(retrain, "load_dataset", lambda: small)
    monkeypatch.setattr(retrain, "FINISHED", tmp_path / "finished")
    return lambda *arguments: retrain.main([*arguments, "--folder", str(tmp_path / "made")])


def test_the_shipped_networks_are_as_good_as_their_records_say(capsys):
    """Oracle: every accuracy measured anew on the whole validation and test sets."""
    assert retrain.main(["--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == sorted(MODELS, key=list(retrain.RECIPES).index)
    assert all(line.endswith(": as recorded") for line in lines)


@pytest.mark.parametrize("name", MODELS)
def test_the_shipped_networks_were_made_by_todays_recipes(name):
    """Oracle: the recipe in the record."""
    assert provenance(name).recipe == asdict(retrain.RECIPES[name])


def test_a_run_writes_networks_that_load_and_measure_as_recorded(command, tmp_path, capsys, small):
    """Oracle: the accuracies measured by hand on the loaded network."""
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
    assert command("--check") == 0


def test_the_same_command_makes_the_same_weights(command, tmp_path):
    """Oracle: the sums of two runs."""
    sums = []
    for _ in range(2):
        assert command("lenet300") == 0
        sums.append(provenance("lenet300", folder=tmp_path / "made").sha256)
    assert sums[0] == sums[1]


def test_an_interrupted_run_keeps_its_finished_networks(command, monkeypatch, capsys, tmp_path):
    """Oracle: the epochs printed by the second call; the folders after each."""
    whole = retrain.fit

    def interrupted(recipe, dataset):
        yield next(steps := whole(recipe, dataset))
        if recipe.model == "student":
            raise KeyboardInterrupt
        yield from steps

    monkeypatch.setattr(retrain, "fit", interrupted)
    assert command() == 130
    first = capsys.readouterr()
    assert [line.split(":")[0] for line in first.out.splitlines()] == [
        *("lenet300 1/2", "lenet300 2/2", "lenet300", "student 1/2")
    ]
    assert first.err == "\ninterrupted; the same command keeps the finished networks\n"
    assert list((tmp_path / "made").iterdir()) == []  # all networks or none are replaced
    monkeypatch.setattr(retrain, "fit", whole)
    assert command() == 0
    second = capsys.readouterr().out
    assert "lenet300: kept as it was finished before" in second
    assert second.count("student 1/2: loss") == second.count("student 2/2: loss") == 1
    assert len(list((tmp_path / "made").iterdir())) == 4
    assert command("--check") == 0


@pytest.mark.parametrize("damage", ["weights", "record", "recipe"])
def test_a_network_that_cannot_be_kept_is_trained_again(command, capsys, tmp_path, damage):
    """Oracle: the epochs printed, with a network that waits damaged or by another recipe."""
    assert command("lenet300") == 0
    for path in (tmp_path / "made").iterdir():
        (tmp_path / "finished" / path.name).write_bytes(path.read_bytes())
    weights, side = (tmp_path / "finished" / f"lenet300.{e}" for e in ("safetensors", "json"))
    record = json.loads(side.read_text())
    other = record | {"recipe": record["recipe"] | {"seed": 1}}
    {
        "weights": lambda: weights.write_bytes(b"half"),
        "record": lambda: side.write_text("{"),
        "recipe": lambda: side.write_text(json.dumps(other)),
    }[damage]()
    capsys.readouterr()
    assert command("lenet300") == 0
    assert "lenet300 2/2: loss" in capsys.readouterr().out
    assert command("--check", "lenet300") == 0


def test_the_check_finds_an_accuracy_that_is_not_as_recorded(command, tmp_path, capsys):
    """Oracle: a record changed by one point."""
    assert command("lenet300") == 0
    side = tmp_path / "made" / "lenet300.json"
    record = json.loads(side.read_text())
    side.write_text(json.dumps(record | {"test_accuracy": record["test_accuracy"] - 1}))
    capsys.readouterr()
    assert command("--check", "lenet300") == 1
    assert capsys.readouterr().out.endswith(": DIFFERS\n")


def test_the_check_finds_changed_weights_in_one_line(command, tmp_path, capsys):
    """Oracle: one byte added to the weights."""
    assert command("lenet300") == 0
    with (tmp_path / "made" / "lenet300.safetensors").open("ab") as file:
        file.write(b"x")
    capsys.readouterr()
    assert command("--check", "lenet300") == 1
    error = capsys.readouterr().err
    assert error.startswith("retrain: ")
    assert "found sha256" in error
    assert error.count("\n") == 1


def test_a_full_disk_is_one_line(command, monkeypatch, capsys):
    """Oracle: the error of the operating system."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retrain, "save_checkpoint", full)
    assert command("lenet300") == 1
    assert capsys.readouterr().err == "retrain: [Errno 28] No space left on device\n"


def test_an_unknown_network_is_refused_before_anything_is_read(command, monkeypatch, capsys):
    """Oracle: the exit code of argparse."""
    monkeypatch.setattr(retrain, "load_dataset", lambda: pytest.fail("data was read"))
    with pytest.raises(SystemExit, match="2"):
        command("lenet9000")
    assert "lenet9000" in capsys.readouterr().err
