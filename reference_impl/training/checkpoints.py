"""Trained networks on disk: the weights as safetensors, and beside them where they come from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from reference_impl.checks import require_instance, require_int, require_real
from reference_impl.files import ROOT, file_error, folder_or, read_bytes, sha256, write_atomically
from reference_impl.models import MODELS, Network

CHECKPOINTS = ROOT / "data" / "checkpoints"
"""The folder of the shipped networks."""


@dataclass(frozen=True)
class Provenance:
    """Where a network comes from and what it is worth.

    Args:
        model: its name in `MODELS`.
        widths: label → number of units, as `Network.widths`.
        parameters: how many numbers were trained.
        command: rebuilds it, from the folder of the course.
        recipe: every choice of the training, the seed among them.
        epochs: passes over the training images.
        best_epoch: the one whose weights were kept, counted from 1.
        validation_accuracy: in percent, at that epoch; what the choice was made by.
        test_accuracy: in percent, measured once, at the end.
        seconds: wall time of the training.
        versions: program → version.
        date: when the training ended, year-month-day.
        sha256: of the weights' file.
    """

    model: str
    widths: Mapping[str, int]
    parameters: int
    command: str
    recipe: Mapping[str, Any]
    epochs: int
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    versions: Mapping[str, str]
    date: str
    sha256: str

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {sorted(MODELS)}, got {self.model!r}")
        require_int("parameters", self.parameters, 1)
        require_int("epochs", self.epochs, 1)
        require_int("best_epoch", self.best_epoch, 1, self.epochs)
        require_real("validation_accuracy", self.validation_accuracy, 0, 100)
        require_real("test_accuracy", self.test_accuracy, 0, 100)
        require_real("seconds", self.seconds, 0)
        for name in ("widths", "recipe", "versions"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(f"{name} must be a mapping, got {getattr(self, name)!r}")


def save_checkpoint(
    model: Network, name: str, *, folder: Path | str | None = None, **record: Any
) -> Provenance:
    """Write ``<name>.safetensors`` and its record ``<name>.json``, each whole or not at all.

    Args:
        model: what to save.
        name: of the two files.
        folder: None is the shipped one, `CHECKPOINTS`.
        record: the fields of `Provenance` but for the four that are taken from the model and its
            file: ``model``, ``widths``, ``parameters``, ``sha256``.

    Returns:
        The record as written.

    Raises:
        TypeError: if ``model`` is no network of `MODELS`, or a field is missing or unknown.
        ValueError: if a field is out of its range. Nothing is written then.
    """
    kinds = {kind: key for key, kind in MODELS.items()}
    if type(model) not in kinds:
        raise TypeError(f"model must be one of {sorted(MODELS)}, got {type(model).__name__}")
    weights, side = _files(name, folder)
    taken: dict[str, Any] = {
        "model": kinds[type(model)],
        "widths": dict(model.widths),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    _text(Provenance(**taken, **record, sha256=""))  # a bad field must fail before the first write
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    write_atomically(weights, lambda part: save_file(state, part))
    provenance = Provenance(**taken, **record, sha256=sha256(weights))
    write_atomically(side, lambda part: part.write_text(_text(provenance), encoding="utf-8"))
    return provenance


def provenance(name: str, *, folder: Path | str | None = None) -> Provenance:
    """Return the record of a checkpoint.

    Args:
        name: a key of `MODELS`, such as "teacher", in the shipped folder.
        folder: None is the shipped one, `CHECKPOINTS`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no record.
    """
    _, side = _files(name, folder)
    try:
        record = json.loads(read_bytes(side))
        if not isinstance(record, dict):
            raise TypeError(f"a {type(record).__name__}")
        return Provenance(**record)
    except (ValueError, TypeError) as error:
        raise file_error(side, f"no provenance record ({error})") from error


def load_checkpoint(name: str, *, folder: Path | str | None = None) -> Network:
    """Return a trained network in evaluation mode, its weights verified by their SHA-256.

    Args:
        name: a key of `MODELS`, such as "teacher", in the shipped folder.
        folder: None is the shipped one, `CHECKPOINTS`.

    Raises:
        FileNotFoundError: if the weights or their record are missing.
        ValueError: if the weights are not those of the record, or do not fit the network.
    """
    record = provenance(name, folder=folder)
    weights, side = _files(name, folder)
    read_bytes(weights)
    if (found := sha256(weights)) != record.sha256:
        raise file_error(weights, f"sha256 {found}, expected {record.sha256} of {side.name}")
    try:
        with torch.random.fork_rng(devices=()):  # initial weights are drawn, and replaced
            model = MODELS[record.model].from_widths(record.widths)
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise file_error(weights, f"no weights of {record.model} ({error})") from error
    return model.eval()


def _files(name: str, folder: Path | str | None) -> tuple[Path, Path]:
    """Return the paths of the weights and of their record."""
    require_instance("name", name, str)
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"name must be letters, digits, '-' and '_', got {name!r}")
    root = folder_or(folder, CHECKPOINTS)
    return root / f"{name}.safetensors", root / f"{name}.json"


def _text(record: Provenance) -> str:
    return json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
