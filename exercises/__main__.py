"""Exercises on the command line: ``python -m exercises check``, ``hint``, ``status``, ``grade``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from exercises import all_exercises, by_chapter, hints, notes_on, said
from exercises.grading import SECONDS, grade_file, grade_folder
from exercises.progress import find, read


def check_file(path: Path, seconds: float | None = None) -> str:
    """Return the reports on the answers of a file, and record them if a record lies near it."""
    found = grade_file(path, seconds)
    blocks = [
        [name, *lines, *said(name, passed=found.passed[name], folder=path.parent)]
        for name, lines in found.lines.items()
    ]
    text = "\n".join("\n  ".join(block) for block in blocks)
    summary = f"{sum(found.passed.values())} of {len(found.passed)} answers are right."
    if not all(found.passed.values()):
        summary += " For hints: python -m exercises hint NAME"
    return "\n".join([*([text] if text else []), *(f"{path}: {r}" for r in found.remarks), summary])


def status(folder: Path) -> str:
    """Return the table of all exercises, with what the record near ``folder`` says."""
    path = find(folder)
    progress = read(path) if path else {}
    rows = [["ch.", "exercise", "diff.", "min", "done"]]
    for number, names in enumerate(by_chapter().values(), start=1):
        rows += [_row(number, name, progress.get(name)) for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    passed = sum(progress.get(name, {}).get("passed", False) for name in all_exercises())
    where = str(path) if path else "there is no progress.json here or in work/"
    return "\n".join([*lines, f"{passed} of {len(all_exercises())} passed ({where})"])


def _row(number: int, name: str, entry: dict[str, Any] | None) -> list[str]:
    known = notes_on(name)
    done = "–" if entry is None else "passed" if entry["passed"] else f"{entry['tries']} tries"
    return [f"{number:02}", name, str(known["difficulty"]), str(known["minutes"]), done]


def main(arguments: list[str] | None = None) -> str:
    """Return what the command prints."""
    parser = argparse.ArgumentParser("python -m exercises", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("check", help="the answers of one file or notebook")
    one.add_argument("file", type=Path, metavar="FILE", help="it calls check(name, answer)")
    helped = commands.add_parser("hint", help="the two hints of an exercise")
    helped.add_argument("name", metavar="NAME", help="such as rounding-hand")
    commands.add_parser("status", help="all exercises, and what you passed")
    many = commands.add_parser("grade", help="a folder of students' files into one CSV table")
    many.add_argument("folder", type=Path, metavar="FOLDER")
    many.add_argument("--output", type=Path, metavar="FILE", help="instead of printing it")
    for command in (one, many):
        default = ", ".join(f"{kind} {seconds:g}" for kind, seconds in SECONDS.items())
        command.add_argument("--seconds", type=float, help=f"for each file ({default})")
    given = parser.parse_args(arguments)
    if given.command == "check":
        if not given.file.is_file():
            raise ValueError(f"{given.file}: no such file")
        return check_file(given.file, given.seconds)
    if given.command == "hint":
        return "\n".join(hints(given.name))
    if given.command == "status":
        return status(Path.cwd())
    if not given.folder.is_dir():
        raise ValueError(f"{given.folder}: no such folder")
    table = grade_folder(given.folder, given.seconds)
    if given.output is None:
        return table.rstrip("\n")
    # with a mark of UTF-8 for Excel, which would garble Chinese names
    given.output.write_text(table, "utf-8-sig", errors="backslashreplace")
    return f"wrote {given.output}"


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        print(main())  # noqa: T201 — what the user asked for
    except (ValueError, OSError) as error:
        print(f"python -m exercises: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
