"""A record: what finished runs measured and where that comes from, in a file written whole."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from reference_impl.files import write_atomically

Found = dict[str, Any]  #: an object as JSON has it: a row, a record
ANEW = "made by other code? Without this file, --anew makes the record from nothing"


def place(run: Any) -> str | tuple[str, ...]:
    """Return where a run's results stand: what its class names as ``place``, or "runs".

    It is a list of rows, by its name; or the way to an object of its own, `()` for the record,
    where ``{field}`` stands for a field of the run.
    """
    where: str | tuple[str, ...] = getattr(run, "place", "runs")
    return where if isinstance(where, str) else tuple(name.format(**vars(run)) for name in where)


def plain(value: Any) -> Any:
    """Return the value as JSON has it, where a tuple is a list."""
    return json.loads(json.dumps(value))


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other commands from writing a file, as long as the block lasts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    with lock.open("w") as file:
        try:
            with suppress(ImportError):  # where there is no fcntl, nothing is locked
                import fcntl  # noqa: PLC0415

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{path}: another command is writing it") from None
        try:
            yield
        finally:
            lock.unlink()


class Record:
    """The results of runs in a file, found by their runs."""

    def __init__(self, path: Path, command: str, about: Mapping[str, Any]) -> None:
        """Read what a command has written; ``about`` is what stands there besides results."""
        self.path, self.command, self.about = path, command, plain(about)
        self.read()

    def read(self) -> None:
        """Read the file, if there is one; it must be a record, made with the same ``about``."""
        self.found: Found = {"provenance": {}}
        if not self.path.exists():
            return
        try:
            self.found = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as error:  # neither UTF-8 nor JSON
            raise ValueError(f"{self.path}: not a record ({error})") from None
        if not isinstance(self.found, dict) or not isinstance(self.found.get("provenance"), dict):
            raise ValueError(f"{self.path}: not a record: it has no provenance")
        stored = self.found | self.found["provenance"]
        for name, value in (self.about | self.about.get("provenance", {})).items():
            if name != "provenance" and stored.get(name) != value:
                raise ValueError(f"{self.path}: {name!r} is not as it is now; {ANEW}")

    def row(self, run: Any) -> Found | None:
        """Return what the record holds of a run, None if nothing; refuse another shape."""
        where, fields = place(run), plain(asdict(run))
        try:
            if isinstance(where, str):
                rows = self.found.get(where, [])
                if isinstance(rows, dict) or any(fields.keys() - row.keys() for row in rows):
                    raise TypeError
                return next((row for row in rows if fields.items() <= row.items()), None)
            there: Found = reduce(lambda found, name: found.get(name, {}), where, self.found)
            ours = {"provenance", *self.about} if not where else ()
            return {name: value for name, value in there.items() if name not in ours} or None
        except (AttributeError, TypeError):
            expected = f"rows with {sorted(fields)}" if isinstance(where, str) else "an object"
            raise ValueError(f"{self.path}: {where!r} must be {expected}; {ANEW}") from None

    def put(self, run: Any, results: Found, machine: Mapping[str, str]) -> None:
        """Add the results of a run, and the machine and the code that made it."""
        _store(self.found, run, results)
        old = self.found["provenance"]
        known = {name: old[name] for name in ("device", "instruction_sets") if name in old}
        known |= ({"sources": "not stated"} if old else {}) | old.get("versions", {})
        versions = {}
        for name in {**known, **machine}:  # all there are, each once; each may be several already
            values = f"{known.get(name, '')}; {machine.get(name, '')}".split("; ")
            versions[name] = "; ".join(sorted({value for value in values if value}))
        self.found["provenance"] = {
            "command": self.command,
            "date": datetime.now(UTC).date().isoformat(),
            "device": versions.pop("device"),
            "instruction_sets": versions.pop("instruction_sets"),
            "threads": 1,
            "versions": versions,
        }

    def write(self, plan: Iterable[Any]) -> None:
        """Write the rows of a plan in its order, and after them those of other runs."""
        seeds: set[int] = set()
        whole: Found = {"provenance": {}}
        for run in plan:
            if (row := self.row(run)) is not None:
                _store(whole, run, row)
                fields = asdict(run)
                parts = [part for part in (fields, *fields.values()) if isinstance(part, dict)]
                seeds |= {part["seed"] for part in parts if part.get("seed") is not None}
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


def _store(found: Found, run: Any, results: Found) -> None:
    where = place(run)
    if isinstance(where, str):
        found.setdefault(where, []).append(plain(asdict(run)) | results)
    else:
        reduce(lambda at, name: at.setdefault(name, {}), where, found).update(results)
