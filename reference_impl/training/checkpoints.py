"""Trained networks on disk: the weights as safetensors, and beside them where they come from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from reference_impl.checked import Count, NonNegative, Where, Within, checked
from reference_impl.files import ROOT, file_error, read_bytes, write_atomically
from reference_impl.folders import data_folder, data_identity
from reference_impl.models import MODELS, Network
from reference_impl.training.recipe import ModelName

CHECKPOINTS = ROOT / "data" / "checkpoints"  #: the folder of the shipped networks
Percent = Annotated[float, Within(0, 100)]
CheckpointName = Annotated[
    str,
    Where("letters, digits, '-' and '_'", lambda s: s.replace("-", "").replace("_", "").isalnum()),
]
"""Name of the two files without their endings: in the shipped folder a key of `MODELS`."""


@checked
@dataclass(frozen=True)
class Provenance:
    """Where a network comes from and how accurate it is."""

    model: ModelName
    widths: Mapping[str, int]  #: label → number of units, as `Network.widths`
    parameters: Count  #: how many numbers were trained
    data: Mapping[str, str]  #: what it was trained on, as `data_identity` names it
    command: str  #: rebuilds it, from the folder of the course
    recipe: Mapping[str, Any]  #: every choice of the training, the seed among them
    epochs: Count
    best_epoch: Count  #: the one whose weights were kept, counted from 1
    validation_accuracy: Percent  #: at that epoch; it decided which epoch is kept
    test_accuracy: Percent  #: measured once, at the end
    seconds: NonNegative  #: wall time of the training
    versions: Mapping[str, str]  #: program → version
    date: str  #: when the training ended, year-month-day
    sha256: str  #: of the weights' file

    def __post_init__(self) -> None:
        if self.best_epoch > self.epochs:
            raise ValueError(f"best_epoch must be in [1, {self.epochs}], got {self.best_epoch}")


def save_checkpoint(
    model: Network, name: CheckpointName, *, folder: Path | str | None = None, **record: Any
) -> Provenance:
    """Write ``<name>.safetensors`` and its record ``<name>.json``, each whole or not at all.

    ``record`` has the fields of `Provenance`, except ``model``, ``widths``, ``parameters`` and
    ``sha256``, which are taken from the model and its file. If one is missing, unknown or out of
    range, or the model is not of `MODELS`, nothing is written. The folder is `CHECKPOINTS`.
    """
    kinds = {kind: key for key, kind in MODELS.items()}
    if type(model) not in kinds:
        raise TypeError(f"model must be one of {sorted(MODELS)}, got {type(model).__name__}")
    weights, side = _files(name, folder)
    content = save({key: value.contiguous() for key, value in model.state_dict().items()})
    provenance = Provenance(
        model=kinds[type(model)],
        widths=dict(model.widths),
        parameters=sum(p.numel() for p in model.parameters()),
        **record,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    text = json.dumps(asdict(provenance), indent=2, ensure_ascii=False) + "\n"
    write_atomically(weights, lambda part: part.write_bytes(content))
    write_atomically(side, lambda part: part.write_text(text, encoding="utf-8"))
    return provenance


@checked
def provenance(name: CheckpointName, *, folder: Path | str | None = None) -> Provenance:
    """Return the record of a checkpoint; ``folder`` is `CHECKPOINTS` by default."""
    _, side = _files(name, folder)
    if not side.parent.is_dir():
        raise FileNotFoundError(
            f"{side.parent}: no such folder; the course's repository has the trained networks, "
            "the package does not: folder must name where they are"
        )
    try:
        return Provenance(**json.loads(read_bytes(side)))
    except (ValueError, TypeError) as error:
        raise file_error(side, f"something other than a provenance record ({error})") from error


@checked
def load_checkpoint(
    name: CheckpointName,
    data: str | Path | None = None,
    *,
    folder: Path | str | None = None,
) -> Network:
    """Return a trained network in evaluation mode, its weights verified by their SHA-256.

    Args:
        name: of its files, such as "teacher".
        data: the data set on which it is to be used, as `load_dataset` takes it. Its networks are
            in its folder, in ``checkpoints``; None takes a shipped network and asks nothing.
        folder: where the network is, if it is elsewhere.

    Raises:
        FileNotFoundError: if the folder, the weights or their record are missing.
        ValueError: if the weights are not those of the record, do not fit the network, or were
            trained on other data.
    """
    if data is not None and folder is None:
        folder = _folder_of(name, data)
    record = provenance(name, folder=folder)
    if data is not None and record.data["sha256"] != (here := data_identity(data))["sha256"]:
        other = "other files of it" if here["name"] == record.data["name"] else record.data["name"]
        raise ValueError(
            f"{name} was not trained on {data}, but on {other}: "
            f"`make retrain DATA={data}` makes one for it"
        )
    weights, side = _files(name, folder)
    content = read_bytes(weights)
    if (found := hashlib.sha256(content).hexdigest()) != record.sha256:
        raise file_error(weights, f"sha256 {found}, expected {record.sha256} of {side.name}")
    try:
        with torch.random.fork_rng(devices=()):  # initial weights are drawn, and replaced
            model = MODELS[record.model].from_widths(record.widths)
        model.load_state_dict(load(content))
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise file_error(weights, f"weights that do not fit {record.model} ({error})") from error
    return model.eval()


def _folder_of(name: str, data: str | Path) -> Path:
    """Return the folder of a data set's own networks, or the shipped ones' where it has none."""
    own = data_folder(data) / "checkpoints"
    return own if (own / f"{name}.json").is_file() else CHECKPOINTS


@checked
def _files(name: CheckpointName, folder: Path | str | None) -> tuple[Path, Path]:
    """Return the paths of the weights and of their record."""
    root = CHECKPOINTS if folder is None else Path(folder)
    return root / f"{name}.safetensors", root / f"{name}.json"
