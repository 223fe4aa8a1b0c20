"""What was measured of the course: processor times of chapters, and which mutants were noticed."""

import asyncio
import json
import os
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from book_tools.files import write_whole
from book_tools.site.execute import execute

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
