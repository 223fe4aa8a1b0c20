"""reference_impl.training.checkpoints: the shipped networks, a round trip, every kind of damage."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reference_impl.files import sha256, write_atomically
from reference_impl.models import MODELS, LeNet300
from reference_impl.training import (
    CHECKPOINTS,
    checkpoints,
    load_checkpoint,
    provenance,
    save_checkpoint,
)

RECORD = {
    "command": "make it",
    "recipe": {"seed": 7},
    "epochs": 3,
    "best_epoch": 2,
    "validation_accuracy": 80.5,
    "test_accuracy": 79.25,
    "seconds": 1.5,
    "versions": {"torch": "2"},
    "date": "2026-01-31",
}
TARGETS = {
    "lenet300": 89.5,
    "lenet5": 91.0,
    "teacher": 93.5,
    "student": 85.0,
    "separable": 90.5,
    "residual": 91.0,
}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = LeNet300(hidden=(4, 3))
    save_checkpoint(model, "small", folder=tmp_path, **RECORD)
    return model, tmp_path / "small.safetensors", tmp_path / "small.json"


def edit(record_file: Path, **changes) -> None:
    """Change fields of a record on disk; None removes one."""
    record = {**json.loads(record_file.read_text()), **changes}
    record_file.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


@pytest.mark.parametrize("name", MODELS)
def test_every_shipped_network_is_intact_and_good_enough(name):
    """Oracle: the targets of the course; the sum of the file; the count of its numbers."""
    record = provenance(name)
    assert record.test_accuracy >= TARGETS[name]
    assert record.sha256 == sha256(CHECKPOINTS / f"{name}.safetensors")
    model = load_checkpoint(name)
    assert type(model) is MODELS[name]
    assert not model.training
    assert record.parameters == sum(p.numel() for p in model.parameters())
    assert record.command == f"python -m experiments.retrain {name}"
    assert record.recipe["epochs"] == record.epochs


def test_no_other_file_is_shipped():
    """Oracle: the listing of the folder."""
    expected = {f"{name}.{end}" for name in MODELS for end in ("safetensors", "json")}
    assert {path.name for path in CHECKPOINTS.iterdir()} == expected


@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())
def test_what_is_saved_is_loaded_bit_by_bit(kind, tmp_path):
    """Oracle: torch.equal on every entry, in torch's order of memory and in channels-last."""
    model = kind().to(memory_format=torch.channels_last)
    written = save_checkpoint(model, "copy-1", folder=tmp_path, **RECORD)
    loaded = load_checkpoint("copy-1", folder=tmp_path)
    assert provenance("copy-1", folder=str(tmp_path)) == written
    assert loaded.widths == model.widths
    for name, entry in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], entry)


def test_a_narrower_network_comes_back_narrow(saved):
    """Oracle: its widths; torch's global generator, which loading must not move."""
    model, weights, _ = saved
    state = torch.get_rng_state()
    loaded = load_checkpoint("small", folder=weights.parent)
    assert loaded.widths == {"hidden1": 4, "hidden2": 3} == model.widths
    assert torch.equal(torch.get_rng_state(), state)


def test_the_record_says_what_was_given_and_what_was_saved(saved):
    """Oracle: hand count and the sum of the file."""
    _, weights, record_file = saved
    record = asdict(provenance("small", folder=weights.parent))
    taken = {
        "model": "lenet300",
        "widths": {"hidden1": 4, "hidden2": 3},
        "parameters": 785 * 4 + 5 * 3 + 4 * 10,
        "sha256": sha256(weights),
    }
    assert record == RECORD | taken == json.loads(record_file.read_text())


@pytest.mark.parametrize("damage", ["a bit", "cut", "empty", "foreign"])
def test_weights_that_are_not_those_of_the_record_are_refused(saved, damage):
    """Oracle: SHA-256 of the damaged bytes."""
    _, weights, _ = saved
    whole = weights.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    content = {"a bit": flipped, "cut": whole[:-4], "empty": b"", "foreign": b"hello"}[damage]
    weights.write_bytes(content)
    expected = rf"small\.safetensors: found sha256 {sha256(weights)}, expected .*; to repair: "
    with pytest.raises(ValueError, match=expected):
        load_checkpoint("small", folder=weights.parent)


@pytest.mark.parametrize("ending", ["json", "safetensors"])
def test_a_missing_file_is_named(saved, ending):
    """Oracle: the words of the message."""
    _, weights, _ = saved
    weights.with_suffix(f".{ending}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"small\.{ending}: no such file; to repair: "):
        load_checkpoint("small", folder=weights.parent)


@pytest.mark.parametrize("ask", [provenance, load_checkpoint])
def test_a_missing_folder_is_named_and_that_another_can_be_given(ask, tmp_path, monkeypatch):
    """Oracle: the words of the message, as after an installation without the repository."""
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "data" / "checkpoints")
    with pytest.raises(FileNotFoundError, match=r"data/checkpoints: no such folder; .*folder must"):
        ask("teacher")


def test_the_repair_of_a_shipped_network_is_git_or_retraining():
    """Oracle: the words of the message."""
    with pytest.raises(FileNotFoundError, match="git checkout -- data/checkpoints or make retrain"):
        load_checkpoint("absent")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"model": "lenet300"}', "\x00", "null"], ids=repr
)
def test_a_file_that_is_not_a_record_is_refused(saved, content):
    """Oracle: hand-made files."""
    _, weights, record_file = saved
    record_file.write_text(content)
    with pytest.raises(ValueError, match=r"small\.json: found something .* \(.*to repair"):
        load_checkpoint("small", folder=weights.parent)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "lenet9000"}, r"small\.json: found something .*model must .*'lenet9000'"),
        ({"seconds": None}, r"small\.json: found something .*missing .*'seconds'"),
        ({"test_accuracy": 101}, r"small\.json: found something .*test_accuracy .*101"),
        ({"best_epoch": 4}, r"small\.json: found something .*best_epoch must .*4"),
        ({"elephants": 3}, r"small\.json: found something .*elephants"),
        ({"model": "lenet5"}, r"small\.safetensors: found weights that do not fit lenet5"),
        ({"widths": {"hidden1": 4, "hidden2": 4}}, "not fit lenet300 .*size mismatch"),
        ({"widths": {"hidden1": 4}}, r"small\.safetensors: found weights that do not fit"),
        ({"widths": {"hidden1": 4, "hidden2": "3"}}, r"widths\['hidden2'\] must be an integer"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(saved, changes, message):
    """Oracle: one field of a good record changed."""
    _, weights, record_file = saved
    edit(record_file, **changes)
    with pytest.raises(ValueError, match=message):
        load_checkpoint("small", folder=weights.parent)


def test_foreign_weights_with_a_fitting_sum_are_refused(saved):
    """Oracle: a safetensors file of other tensors, and a text file, recorded as right."""
    _, weights, record_file = saved
    save_file({"w": torch.zeros(3)}, weights)
    edit(record_file, sha256=sha256(weights))
    with pytest.raises(ValueError, match=r"not fit lenet300 .*Missing key"):
        load_checkpoint("small", folder=weights.parent)
    weights.write_bytes(b"hello")
    edit(record_file, sha256=sha256(weights))
    with pytest.raises(ValueError, match="found weights that do not fit lenet300"):
        load_checkpoint("small", folder=weights.parent)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"test_accuracy": float("nan")}, ValueError, "test_accuracy must be finite"),
        ({"seconds": -1}, ValueError, "seconds must be at least 0, got -1"),
        ({"recipe": "seed 7"}, TypeError, "recipe must be Mapping, got str 'seed 7'"),
        ({"recipe": {"seed": {2, 3}}}, TypeError, "not JSON serializable"),
        ({"elephants": 3}, TypeError, "elephants"),
    ],
)
def test_a_bad_record_writes_nothing(tmp_path, changes, error, message):
    """Oracle: the listing of the folder."""
    with pytest.raises(error, match=message):
        save_checkpoint(LeNet300((2, 2)), "small", folder=tmp_path, **(RECORD | changes))
    assert list(tmp_path.iterdir()) == []


def test_only_the_courses_networks_are_saved(tmp_path):
    """Oracle: a bare layer."""
    with pytest.raises(TypeError, match=r"model must be one of .*, got Linear"):
        save_checkpoint(torch.nn.Linear(2, 2), "small", folder=tmp_path, **RECORD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error"), [("../teacher", ValueError), ("", ValueError), (3, TypeError)]
)
def test_a_name_with_other_characters_is_refused(tmp_path, name, error):
    """Oracle: the words of the message."""
    with pytest.raises(error, match="name must be"):
        load_checkpoint(name)
    with pytest.raises(error, match="name must be"):
        save_checkpoint(LeNet300((2, 2)), name, folder=tmp_path, **RECORD)


def test_a_save_broken_off_between_the_two_files_is_noticed_when_loading(saved, monkeypatch):
    """Oracle: an interruption after the weights are written; their sum is not the recorded one."""
    _, weights, record_file = saved
    before = record_file.read_bytes()

    def interrupted(path, write):
        if path == record_file:
            raise KeyboardInterrupt
        write_atomically(path, write)

    monkeypatch.setattr(checkpoints, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(LeNet300((4, 3)), "small", folder=weights.parent, **RECORD)
    monkeypatch.undo()
    assert record_file.read_bytes() == before
    with pytest.raises(ValueError, match=r"expected .* of small\.json; to repair"):
        load_checkpoint("small", folder=weights.parent)
