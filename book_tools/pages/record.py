"""What was measured of the course: ``python -m book_tools.pages.record 02`` measures chapters anew.

The command executes chapters, one after another, and keeps their processor times in
``status.json`` beside this file, with the date, the machine and the versions. `make mutants` keeps
there which broken formulas were noticed.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from book_tools.execute import execute
from book_tools.failures import explained
from book_tools.files import write_whole
from book_tools.notebooks import chosen

RECORD = Path(__file__).with_name("status.json")


def read_record() -> dict[str, Any]:
    """Return what was measured so far."""
    found: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    return found


def seconds(name: str) -> str:
    """Return the rounded processor time of a chapter, or a dash if it was not measured."""
    entry = read_record()["chapters"].get(name)
    return f"{entry['seconds']:.0f}" if entry else "–"


def keep(kind: str, entries: dict[str, dict[str, Any]]) -> None:
    """Put entries of a kind, ``chapters`` or ``mutants``, into the record."""
    record = read_record()
    record[kind] = dict(sorted({**record.get(kind, {}), **entries}.items()))
    write_whole(RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def here() -> dict[str, str]:
    """Return when and where something is measured."""
    from reference_impl.measuring import device_name  # noqa: PLC0415 — takes seconds: torch

    return {
        "date": date.today().isoformat(),
        "device": device_name(),
        "python": python_version(),
        "torch": version("torch"),
    }


def measure(paths: Iterable[Path]) -> str:
    """Execute chapters one after another; keep each kernel's processor time, in seconds."""
    for path in paths:
        before = os.times()
        asyncio.run(execute(path))
        after = os.times()
        time = sum(after[2:4]) - sum(before[2:4])  # of the kernel, which has ended
        print(f"  {path.stem}: {time:.1f} s", flush=True)
        keep("chapters", {path.stem: {"seconds": round(time, 1), **here()}})
    return "measured; now `make pages`"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: numbers of chapters; all by default."""
    given = sys.argv[1:] if arguments is None else arguments
    command = "python -m book_tools.pages.record"
    return explained(lambda: measure(p for p in chosen(given) if p.name[0].isdigit()), command)


if __name__ == "__main__":
    sys.exit(main())
