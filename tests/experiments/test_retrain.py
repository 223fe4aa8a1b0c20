"""experiments.retrain: the shipped networks measured anew, a whole run, an interrupted one."""

import json
import runpy
import signal
import sys
from dataclasses import asdict

import pytest
import torch
from idx_files import write_folder

from experiments import retrain
from reference_impl import training
from reference_impl.data import load_dataset
from reference_impl.folders import data_identity
from reference_impl.models import MODELS
from reference_impl.training import Recipe, accuracy, load_checkpoint, provenance

NAMES = ("lenet300", "student")


@pytest.fixture
def mine(tmp_path):
    """Return a folder with a small data set: 300 images to train on, 60 to validate."""
    write_folder(tmp_path / "mine", n_train=360, n_test=50)
    return tmp_path / "mine"


@pytest.fixture
def command(monkeypatch, mine):
    """Return the command on the small data set, with short recipes."""
    monkeypatch.setattr(retrain, "FEWEST_IMAGES", (360, 50))
    monkeypatch.setattr(retrain, "RECIPES", {name: Recipe(name, epochs=2) for name in NAMES})
    return lambda *arguments: retrain.main([*arguments, "--data", str(mine)])


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_network_is_as_good_as_its_record_says_and_of_todays_recipe(name):
    """Oracle: both accuracies measured anew; rounding moves five answers in 10,000 at most."""
    record, dataset = provenance(name), load_dataset()
    model = load_checkpoint(name).to(memory_format=torch.channels_last)  # twice as fast
    right = [accuracy(model, examples) for examples in (dataset.validation, dataset.test)]
    assert right == pytest.approx([record.validation_accuracy, record.test_accuracy], abs=0.05)
    assert record.recipe == asdict(retrain.RECIPES[name])


def test_a_run_writes_networks_that_load_and_measure_as_recorded(command, mine, capsys):
    """Oracle: the accuracies measured by hand on the loaded network; the sum of a second run."""
    assert command() == 0
    printed, dataset = capsys.readouterr().out, load_dataset(mine)
    folder = mine / "checkpoints"
    for name in NAMES:
        model, record = load_checkpoint(name, mine), provenance(name, folder=folder)
        assert record.test_accuracy == accuracy(model, dataset.test)
        assert record.validation_accuracy == accuracy(model, dataset.validation)
        assert f"{record.test_accuracy:.2f} %" in printed
    assert record.recipe == asdict(Recipe("student", epochs=2))
    (folder / "student.json").unlink()
    assert command("student") == 0
    assert provenance("student", folder=folder).sha256 == record.sha256


def test_an_interrupted_run_keeps_its_finished_networks(command, monkeypatch, capsys, mine):
    """Oracle: the epochs printed by the second call; the folder after each."""
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
    begun = ["to train", "lenet300 1/2", "lenet300 2/2", "lenet300", "student 1/2"]
    assert [line.split(":")[0] for line in first.out.splitlines()] == begun
    assert first.err == "\ninterrupted; the same command keeps the finished networks\n"
    assert {path.stem for path in (mine / "checkpoints").iterdir()} == {"lenet300"}
    assert command() == 0
    second = capsys.readouterr().out
    assert "lenet300: finished before" in second
    assert "lenet300 2/2" not in second
    assert second.count("student 1/2: loss") == second.count("student 2/2: loss") == 1
    assert {path.stem for path in (mine / "checkpoints").iterdir()} == {*NAMES}


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
def test_a_network_that_cannot_be_kept_is_trained_again(command, capsys, mine, end, damage):
    """Oracle: the epochs printed, with a network that is damaged, by another recipe or code."""
    assert command("lenet300") == 0
    path = mine / "checkpoints" / f"lenet300.{end}"
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    assert command("lenet300") == 0
    assert capsys.readouterr().out.count("lenet300 2/2: loss") == 1


def test_a_full_disk_is_one_line(command, monkeypatch, capsys):
    """Oracle: the error of the operating system."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_checkpoint", full)
    assert command("lenet300") == 1
    assert capsys.readouterr().err == "retrain: [Errno 28] No space left on device\n"


def test_an_unknown_network_is_refused_before_anything_is_read(command, monkeypatch, capsys):
    """Oracle: the exit code of argparse."""
    monkeypatch.setattr(retrain, "load_dataset", lambda _: pytest.fail("data was read"))
    with pytest.raises(SystemExit, match="2"):
        command("lenet9000")
    assert "lenet9000" in capsys.readouterr().err


@pytest.mark.parametrize(("n_train", "n_test"), [(1800, 299), (1799, 300)])
def test_too_few_images_are_refused_before_anything_is_trained(
    monkeypatch, capsys, tmp_path, n_train, n_test
):
    """Oracle: the exit code, and the four numbers in one line."""
    write_folder(tmp_path, n_train=n_train, n_test=n_test)
    monkeypatch.setattr(training, "fit", lambda *_: pytest.fail("it trains"))
    assert retrain.main(["--data", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"retrain: found {n_train:,} images to train and {n_test} to test; "
        "the chapters need 1,800 and 300\n"
    )


def test_a_kill_ends_it_as_ctrl_c_does(monkeypatch, capsys, mine):
    """Oracle: the exit code and the one line of an interruption."""
    write_folder(mine, n_train=1800, n_test=300)
    monkeypatch.setattr(sys, "argv", ["retrain", "lenet300", "--data", str(mine)])
    monkeypatch.setattr(training, "fit", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the signal is not handled"))
    try:
        with pytest.raises(SystemExit, match="130"):
            runpy.run_path(retrain.__file__, run_name="__main__")
    finally:
        signal.signal(signal.SIGTERM, before)
    error = capsys.readouterr().err
    assert error == "\ninterrupted; the same command keeps the finished networks\n"


def test_other_data_get_networks_of_their_own(command, mine, capsys):
    """Oracle: the folder, the record, the accuracy measured by hand; a second call, other data."""
    assert command("lenet300") == 0
    assert "to train: lenet300; about 0 minutes" in capsys.readouterr().out
    folder = mine / "checkpoints"
    assert {path.stem for path in folder.iterdir()} == {"lenet300"}
    record = provenance("lenet300", folder=folder)
    assert record.data == data_identity(mine)
    assert record.command == f"python -m experiments.retrain lenet300 --data {mine}"
    test = load_dataset(mine).test
    assert record.test_accuracy == accuracy(load_checkpoint("lenet300", mine), test)
    assert command("lenet300") == 0
    assert "to train: nothing" in capsys.readouterr().out
    write_folder(mine, n_train=360, n_test=50, seed=1)
    assert command("lenet300") == 0
    assert "lenet300 2/2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("chapter", "names"),
    [
        ("01", ["lenet300", "lenet5", "student", "teacher"]),
        ("2", ["lenet300", "lenet5"]),
        ("08", ["lenet5", "separable", "teacher"]),
        ("10", ["student", "teacher"]),
        ("16", [*retrain.RECIPES]),
    ],
)
def test_a_chapter_needs_the_networks_that_it_loads(chapter, names):
    """Oracle: the chapter's tables."""
    assert retrain.needed(chapter) == names


def test_the_time_to_expect_is_that_of_the_records():
    """Oracle: the seconds in the shipped records, for 55,000 images; twice for twice as many."""
    seconds = sum(provenance(name).seconds for name in ("lenet300", "lenet5"))
    assert retrain.expected(["lenet300", "lenet5"], 110_000).endswith(
        f"about {2 * seconds / 60:.0f} minutes on one core"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--chapter", "99"], "there is no chapter 99; there are 01 to 22"),
        (["--data", "nowhere"], "nowhere: neither a folder below"),
    ],
)
def test_what_does_not_exist_is_one_line(capsys, arguments, told):
    """Oracle: the exit code and the line."""
    assert retrain.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"retrain: {told}")
    assert error.count("\n") == 1
