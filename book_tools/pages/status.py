"""How the course stands, from the notebooks, the lock file and what was measured."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from book_tools.comparing.rules import code_cells
from book_tools.files import ROOT
from book_tools.pages.heads import Head, heads
from book_tools.pages.record import read_record, seconds

SHOWN = ("torch", "torchvision", "numpy", "scipy", "matplotlib", "onnxruntime", "jupyter-book")

_TOP = """\
# Status

What is in the course, how long it runs, and what is checked. A test holds this page to the
notebooks, to the versions in use and to a record of what was measured.

## Chapters

*Compared*: the code cells that print or draw something. A test executes them again and compares
every character and curve ([the rules](testing.md)). *Time*: processor time of one run on one
thread, in seconds, with the start of the kernel and all imports. On an idle machine it is the time
on the clock; other work on the machine makes it longer.

| chapter | reading, minutes | code cells | compared | figures | exercises | time, s |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""
_VERSIONS = """
## Versions

The lock file pins every package of the environment. These are the most important ones:

| package | version |
| --- | --- |
"""


def _span(dates: Iterable[str]) -> str:
    first, *rest = sorted(set(dates))
    return f"{first} to {rest[-1]}" if rest else first


def _counts(head: Head) -> list[int]:
    cells = code_cells(head.notebook)
    figures = sum("image/svg+xml" in o.get("data", {}) for c in cells for o in c["outputs"])
    compared = sum(bool(cell["outputs"]) for cell in cells)
    return [head.minutes, len(cells), compared, figures, len(head.exercises)]


def _chapters(record: dict[str, dict[str, Any]]) -> str:
    found = heads().values()
    counts = [_counts(head) for head in found]
    rows = [
        f"| {head.link} | {' | '.join(map(str, numbers))} | {seconds(head.file.stem)} |\n"
        for head, numbers in zip(found, counts, strict=True)
    ]
    times = [record[head.file.stem]["seconds"] for head in found if head.file.stem in record]
    whole = f"{sum(times):,.0f}" if len(times) == len(found) else "–"
    sums = [*(f"{sum(column):,}" for column in zip(*counts, strict=True)), whole]
    return f"{''.join(rows)}| together | {' | '.join(sums)} |\n\n{_when(record)}"


def _when(record: dict[str, dict[str, Any]]) -> str:
    """Return when and where the times were measured."""
    if not record:
        return "No time was measured yet.\n"
    places = {f"{m['device']}, Python {m['python']}, torch {m['torch']}" for m in record.values()}
    return f"Measured {_span(m['date'] for m in record.values())} on {'; '.join(sorted(places))}.\n"


def labels() -> set[str]:
    """Return the labels of the equations that a line of ``tests/mutants.toml`` breaks."""
    modules = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text("utf-8"))["module"]
    return {x for m in modules for mutant in m["mutants"] for x in mutant["breaks"].split(", ")}


def _mutants(record: dict[str, dict[str, Any]]) -> str:
    known = labels()
    kept = [entry for label, entry in record.items() if label in known]
    cells = [entry["cell"] for entry in kept if "cell" in entry]
    return (
        f"\n## Broken formulas\n\nEach of {len(known)} labelled equations has a variant that is "
        "broken on purpose (`tests/mutants.toml`). `make mutants` puts one after another into a "
        f"copy of the project, and runs the equation's tests and its chapter.\n"
        f"A test noticed {sum(e['test'] for e in kept)} of the {len(kept)} that were tried with "
        f"their tests, and a cell {sum(cells)} of the {len(cells)} that were tried with their "
        f"chapters ({_span(entry['date'] for entry in kept)}).\n"
    )


def _versions() -> str:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", lock, re.MULTILINE))
    return "".join(f"| {name} | {pins[name]} |\n" for name in SHOWN)


def pages() -> dict[Path, str]:
    """Return path → text of the page."""
    record = read_record()
    parts = _chapters(record["chapters"]), _mutants(record["mutants"]), _VERSIONS, _versions()
    return {ROOT / "chapters" / "status.md": _TOP + "".join(parts)}
