"""Recorded results: one file, written whole after each run, so that a command can go on."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch

from reference_impl.data import Dataset, load_dataset
from reference_impl.files import write_atomically

Found = dict[str, Any]
"""A record: its provenance, its runs, and whatever else a command keeps."""

Run = TypeVar("Run")


def run_recorder(
    command: str,
    description: str | None,
    path: Path,
    record: Callable[[Path, Dataset], None],
    arguments: Sequence[str] | None = None,
    *,
    own: argparse.ArgumentParser | None = None,
) -> int:
    """Run a command that makes a record, with one thread; return its exit code.

    Args:
        command: as it is typed, ``python -m experiments.NAME``.
        description: for its help.
        path: of the record, unless the arguments name another.
        record: (path, data) → None.
        arguments: those of the command line by default.
        own: options of this command alone, without a help of their own.
    """
    parents = [] if own is None else [own]
    parser = argparse.ArgumentParser(prog=command, description=description, parents=parents)
    parser.add_argument("--path", type=Path, default=path, help="of the record")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        record(options.path, load_dataset())
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues with the unfinished run", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"{command.rsplit('.', 1)[-1]}: {error}", file=sys.stderr)
        return 1
    return 0


def read_record(path: Path, **lists: list[Any]) -> Found:
    """Return the record, or one without runs if the file does not exist.

    Args:
        path: of the file.
        lists: what an empty record holds besides its runs.
    """
    if not path.exists():
        return {"provenance": {}, "runs": [], **lists}
    found: Found = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_record(
    path: Path, found: Found, command: str, seeds: Iterable[int] | None = None, **versions: str
) -> None:
    """Write the record with its provenance, whole or not at all.

    Args:
        path: of the file.
        found: its provenance is made anew.
        command: that made it.
        seeds: of its runs, in any order; without them, every ``"seed"`` of a run that has one.
        versions: of packages other than Python and torch.

    Raises:
        OSError: if the file cannot be written.
    """
    if seeds is None:
        seeds = (run["seed"] for run in found["runs"] if run.get("seed") is not None)
    found["provenance"] = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": sorted(set(seeds)),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            **versions,
        },
    }
    text = json.dumps(found, indent=1) + "\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def open_record(path: Path, command: str, **versions: str) -> tuple[Found, Callable[[], None]]:
    """Return the record as it stands, and what writes it as it then is.

    Args:
        path: of the file.
        command: that makes it.
        versions: of packages other than Python and torch.
    """
    found = read_record(path)

    def write() -> None:
        write_record(path, found, command, None, **versions)

    return found, write


def make_missing(
    found: Found,
    runs: Iterable[Run],
    measured: Callable[[Run], Mapping[str, Any]],
    write: Callable[[], None],
) -> None:
    """Make each run that the record does not hold yet, and write it at once.

    Args:
        found: its runs grow; ``runs`` may look at them.
        runs: frozen values whose fields, together with the results, are a row.
        measured: run → its results.
        write: the record as it is now. Called first of all, so that a path that cannot be written
            fails before the first training.
    """
    write()
    for run in runs:
        key = asdict(run)  # type: ignore[call-overload]
        if not any(key.items() <= done.items() for done in found["runs"]):
            found["runs"].append(key | measured(run))
            write()
