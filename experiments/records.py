"""A record: what finished runs measured and where that comes from, in a file written whole."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reference_impl.files import write_atomically

Found = dict[str, Any]
"""An object as JSON has it: a row, a record."""

Place = str | tuple[str, ...]
"""A list of rows, by its name; or the way to an object of its own, `()` for the record itself."""

ANEW = "made by other code? Without this file, --anew makes the record from nothing"


def place(run: Any) -> Place:
    """Return where a run's results stand: what its class names as ``place``, or "runs"."""
    where: Place = getattr(run, "place", "runs")
    return where


def fields_of(run: Any) -> Found:
    """Return the fields of a run as JSON has them."""
    fields: Found = plain(asdict(run))
    return fields


def plain(value: Any) -> Any:
    """Return the value as JSON has it: a tuple is a list.

    Raises:
        TypeError: if JSON does not have it.
    """
    return json.loads(json.dumps(value))


class Record:
    """The results of runs in a file, found by their runs."""

    def __init__(self, path: Path, command: str, about: Mapping[str, Any]) -> None:
        """Read the file, if there is one.

        Args:
            path: of the file.
            command: that makes it.
            about: what the record holds besides rows, such as recipes, and in its provenance.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it is not a record, or was made with another ``about``.
        """
        self.path, self.command, self.about = path, command, plain(about)
        self.found: Found = {"provenance": {}}
        if path.exists():
            self.found = _read(path)
            for name, expected, stored in _pairs(self.about, self.found):
                if expected != stored:
                    raise ValueError(f"{path}: {name!r} is not as it is now; {ANEW}")

    @property
    def rows(self) -> list[Found]:
        """Return the list "runs"."""
        rows: list[Found] = self.found.get("runs", [])
        return rows

    def refuse_other_shape(self, plan: Iterable[Any]) -> None:
        """Raise a ValueError if the results of a plan could not stand in this record."""
        for run in plan:
            where, names = place(run), set(asdict(run))
            if isinstance(where, str):
                rows = self.found.get(where, [])
                if not isinstance(rows, list) or not all(
                    isinstance(row, dict) and names <= set(row) for row in rows
                ):
                    raise ValueError(
                        f"{self.path}: {where!r} must be rows with {sorted(names)}; {ANEW}"
                    )
                continue
            there = self.found
            for name in where:
                there = there.get(name, {})
                if not isinstance(there, dict):
                    raise ValueError(f"{self.path}: {name!r} must be an object; {ANEW}")

    def row(self, run: Any) -> Found | None:
        """Return what the record holds of a run; None if nothing."""
        where = place(run)
        if isinstance(where, str):
            given = fields_of(run).items()
            return next((row for row in self.found.get(where, []) if given <= row.items()), None)
        there = self.found
        for name in where:
            there = there.get(name, {})
        held = {k: v for k, v in there.items() if where or k not in {"provenance", *self.about}}
        return held or None

    def put(self, run: Any, results: Found, machine: Mapping[str, str]) -> None:
        """Add the results of a run, and the machine on which it was made."""
        _store(self.found, run, results)
        before = self.found["provenance"]
        known = {name: before[name] for name in ("device", "instruction_sets") if name in before}
        known |= before.get("versions", {})
        versions = {
            name: _joined(known.get(name), machine.get(name)) for name in {**known, **machine}
        }
        self.found["provenance"] = {
            "command": self.command,
            "date": datetime.now(UTC).date().isoformat(),
            "device": versions.pop("device"),
            "instruction_sets": versions.pop("instruction_sets"),
            "threads": 1,
            "versions": versions,
        }

    def write(self, plan: Iterable[Any]) -> None:
        """Write the rows of a plan in its order, and after them those of other runs.

        Raises:
            OSError: if the file cannot be written; it is then as it was.
        """
        seeds: set[int] = set()
        whole: Found = {"provenance": {}}
        for run in plan:
            if (row := self.row(run)) is not None:
                _store(whole, run, row)
                seeds |= _seeds(fields_of(run))
        for section, value in (self.found | self.about).items():
            if isinstance(value, list):
                ours = whole.setdefault(section, [])
                ours += [row for row in value if row not in ours]
            elif isinstance(value, dict):
                whole[section] = whole.get(section, {}) | value
            else:
                whole.setdefault(section, value)
        whole["provenance"] = {
            **self.found["provenance"],
            "seed": sorted(seeds) or None,
            **self.about.get("provenance", {}),
        }
        text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.path, lambda part: part.write_text(text, encoding="utf-8"))

    def refuse_unwritable(self) -> None:
        """Raise an OSError if the file cannot be written, before anything is measured."""
        if self.path.exists():
            content = self.path.read_bytes()
            write_atomically(self.path, lambda part: part.write_bytes(content))
        else:
            self.write(())


def _read(path: Path) -> Found:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # neither UTF-8 nor JSON
        raise ValueError(f"{path}: not a record ({error})") from None
    if not isinstance(found, dict) or not isinstance(found.get("provenance"), dict):
        raise ValueError(f"{path}: not a record: it has no provenance")
    return found


def _pairs(about: Found, found: Found) -> Iterable[tuple[str, Any, Any]]:
    """Yield (name, what should stand there, what stands there), also of the provenance."""
    for name, value in about.items():
        if name == "provenance":
            yield from _pairs(value, found[name])
        else:
            yield name, value, found.get(name)


def _store(found: Found, run: Any, results: Found) -> None:
    where = place(run)
    if isinstance(where, str):
        found.setdefault(where, []).append(fields_of(run) | results)
        return
    for name in where:
        found = found.setdefault(name, {})
    found |= results


def _joined(*values: str | None) -> str:
    """Return all of the values, each once; each may be several already."""
    return "; ".join(sorted({part for value in values if value for part in value.split("; ")}))


def _seeds(fields: Found) -> set[int]:
    inner = [_seeds(value) for value in fields.values() if isinstance(value, dict)]
    own = {fields["seed"]} if fields.get("seed") is not None else set()
    return own.union(*inner)
