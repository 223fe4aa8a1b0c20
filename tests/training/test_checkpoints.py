"""reference_impl.training.checkpoints: the shipped networks, a round trip, every kind of damage."""

import json
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch
from idx_files import write_folder
from safetensors.torch import save

from reference_impl import folders, training
from reference_impl.files import sha256, write_atomically
from reference_impl.folders import data_identity
from reference_impl.models import MODELS, LeNet300

# fmt: off
RECORD = {
    "command": "make it", "recipe": {"seed": 7}, "epochs": 3, "best_epoch": 2,
    "validation_accuracy": 80.5, "test_accuracy": 79.25, "seconds": 1.5,
    "versions": {"torch": "2"}, "date": "2026-01-31",
    "data": {"name": "made up", "sha256": "0"},
}
TARGETS = {
    "lenet300": 89.5, "lenet5": 91.0, "teacher": 93.5,
    "student": 85.0, "separable": 90.5, "residual": 91.0,
}
# fmt: on


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = LeNet300(hidden=(4, 3))
    training.save_checkpoint(model, "small", folder=tmp_path, **RECORD)
    return model, tmp_path / "small.safetensors", tmp_path / "small.json"


def edit(side: Path, **changes) -> None:
    """Change fields of a record on disk; None removes one."""
    record = {**json.loads(side.read_text()), **changes}
    side.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


@pytest.mark.usefixtures("unmoved")
@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_network_is_intact_and_good_enough(name):
    """Oracle: the targets of the course; the sum of the file; the count of its numbers."""
    record = training.provenance(name)
    assert record.test_accuracy >= TARGETS[name]
    assert record.sha256 == sha256(training.CHECKPOINTS / f"{name}.safetensors")
    model = training.load_checkpoint(name)
    assert type(model) is MODELS[name]
    assert not model.training
    assert record.parameters == sum(p.numel() for p in model.parameters())
    assert record.command == f"python -m experiments.retrain {name}"
    assert record.recipe["epochs"] == record.epochs
    expected = {f"{name}.{end}" for name in MODELS for end in ("safetensors", "json")}
    assert {path.name for path in training.CHECKPOINTS.iterdir()} == expected


@pytest.mark.parametrize("kind", [*MODELS.values(), partial(LeNet300, (4, 3))])
def test_what_is_saved_is_loaded_bit_by_bit_with_its_record(kind, tmp_path):
    """Oracle: torch.equal on every entry, in both orders of memory; counts; the sum of the file."""
    model = kind().to(memory_format=torch.channels_last)
    written = training.save_checkpoint(model, "copy-1", folder=tmp_path, **RECORD)
    loaded = training.load_checkpoint("copy-1", folder=tmp_path)
    assert type(loaded) is type(model)
    for name, entry in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], entry)
    assert training.provenance("copy-1", folder=str(tmp_path)) == written
    taken = {
        "model": next(name for name, known in MODELS.items() if known is type(model)),
        "widths": loaded.widths,
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": sha256(tmp_path / "copy-1.safetensors"),
    }
    assert loaded.widths == model.widths
    assert asdict(written) == RECORD | taken == json.loads((tmp_path / "copy-1.json").read_text())


FOREIGN = (b"", b"hello", save({"w": torch.zeros(3)}))


@pytest.mark.parametrize("content", [lambda w: w[:-1] + b"?", lambda w: w[:-4], *FOREIGN])
def test_weights_that_are_damaged_or_foreign_are_refused(saved, content):
    """Oracle: SHA-256 of the damaged bytes; foreign ones even where their sum is the recorded."""
    _, weights, side = saved
    weights.write_bytes(content(weights.read_bytes()) if callable(content) else content)
    with pytest.raises(ValueError, match=f"found sha256 {sha256(weights)}, .*repair"):
        training.load_checkpoint("small", folder=weights.parent)
    edit(side, sha256=sha256(weights))
    if content in FOREIGN:
        with pytest.raises(ValueError, match="found weights that do not fit lenet300"):
            training.load_checkpoint("small", folder=weights.parent)


def test_what_is_missing_is_named_and_how_to_repair_it(saved, tmp_path, monkeypatch):
    """Oracle: the words; the repository's files come back by git, a missing folder is another's."""
    _, weights, side = saved
    for path in (side, weights):
        path.rename(tmp_path / "away")
        with pytest.raises(FileNotFoundError, match=rf"{path.name}: no such file; to repair: "):
            training.load_checkpoint("small", folder=weights.parent)
        (tmp_path / "away").rename(path)
    with pytest.raises(FileNotFoundError, match="git checkout -- data/checkpoints or make retrain"):
        training.load_checkpoint("absent")
    monkeypatch.setattr(training.checkpoints, "CHECKPOINTS", tmp_path / "data" / "checkpoints")
    for ask in (training.provenance, training.load_checkpoint):
        with pytest.raises(FileNotFoundError, match=r"checkpoints: no such folder; .*folder must"):
            ask("teacher")


NOT_RECORDS = ("", "{", "[]", "3", '{"model": "lenet300"}', "\x00", "null")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        *((text, r"json: found something .* \(.*to repair") for text in NOT_RECORDS),
        ({"model": "lenet9000"}, r"json: found something .*model must .*'lenet9000'"),
        ({"seconds": None}, r"json: found something .*missing .*'seconds'"),
        ({"best_epoch": 4}, r"json: found something .*best_epoch must .*4"),
        ({"elephants": 3}, r"json: found something .*elephants"),
        ({"model": "lenet5"}, r"safetensors: found weights that do not fit lenet5"),
        ({"widths": {"hidden1": 4, "hidden2": 4}}, "not fit lenet300 .*size mismatch"),
        ({"widths": {"hidden1": 4}}, r"safetensors: found weights that do not fit"),
        ({"widths": {"hidden1": 4, "hidden2": "3"}}, r"widths\['hidden2'\] must be an integer"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(saved, record, message):
    """Oracle: hand-made files, or one field of a good record changed."""
    _, weights, side = saved
    side.write_text(record) if isinstance(record, str) else edit(side, **record)
    with pytest.raises(ValueError, match=message):
        training.load_checkpoint("small", folder=weights.parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_accuracy": float("nan")}, "test_accuracy must be finite"),
        ({"seconds": -1}, "seconds must be at least 0, got -1"),
        ({"recipe": {"seed": {2, 3}}}, "not JSON serializable"),
        ({"elephants": 3}, "elephants"),
        ({"name": "../teacher"}, "name must be"),
        ({"model": torch.nn.Linear(2, 2)}, r"model must be one of .*, got Linear"),
    ],
)
def test_what_cannot_be_saved_writes_nothing(tmp_path, changes, message):
    """Oracle: the listing of the folder."""
    given = {"model": LeNet300((2, 2)), "name": "small", "folder": tmp_path} | RECORD | changes
    with pytest.raises((TypeError, ValueError), match=message):
        training.save_checkpoint(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_save_broken_off_between_the_two_files_is_noticed_when_loading(saved, monkeypatch):
    """Oracle: an interruption after the weights are written; their sum is not the recorded one."""
    _, weights, side = saved
    before = side.read_bytes()

    def interrupted(path, write):
        if path == side:
            raise KeyboardInterrupt
        write_atomically(path, write)

    monkeypatch.setattr(training.checkpoints, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.save_checkpoint(LeNet300((4, 3)), "small", folder=weights.parent, **RECORD)
    assert side.read_bytes() == before
    with pytest.raises(ValueError, match=r"expected .* of small\.json; to repair"):
        training.load_checkpoint("small", folder=weights.parent)


def test_a_network_refuses_other_data_than_its_own(tmp_path, monkeypatch):
    """Oracle: two data sets, a network saved for one of them, and a copy under another name."""
    monkeypatch.setattr(folders, "ROOT", tmp_path)
    mine, yours = tmp_path / "data" / "mine", tmp_path / "data" / "yours"
    for seed, folder in enumerate((mine, yours)):
        write_folder(folder, n_train=6, n_test=2, seed=seed)
    record = RECORD | {"data": data_identity("mine")}
    training.save_checkpoint(LeNet300((4, 3)), "lenet300", folder=mine / "checkpoints", **record)
    assert training.load_checkpoint("lenet300", "mine").widths["hidden1"] == 4
    assert training.load_checkpoint("lenet300", folders.FASHION_MNIST).widths["hidden1"] == 300
    shutil.copytree(mine, tmp_path / "copy")
    assert training.load_checkpoint("lenet300", tmp_path / "copy").widths["hidden1"] == 4
    with pytest.raises(ValueError, match="lenet300 was not trained on yours, but on FashionMNIST"):
        training.load_checkpoint("lenet300", "yours")
    with pytest.raises(ValueError, match="but on mine: `make retrain DATA=yours` makes one"):
        training.load_checkpoint("lenet300", "yours", folder=mine / "checkpoints")
    write_folder(mine, n_train=6, n_test=2, seed=2)
    with pytest.raises(ValueError, match="not trained on mine, but on other files of it"):
        training.load_checkpoint("lenet300", "mine")
