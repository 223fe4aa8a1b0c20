"""What a learner has tried and passed, in the file ``progress.json`` of the learner's folder.

The file is ``{"rounding-hand": {"tries": 2, "passed": true}, …}``. `make lab` makes it, empty, in
``work/``; where there is none, nothing is written.
"""

import json
from pathlib import Path
from typing import Any

from reference_impl.files import write_atomically

NAME = "progress.json"

Progress = dict[str, dict[str, Any]]


def find(folder: Path) -> Path | None:
    """Return the file of ``folder``, of the folder above it, or of ``work/`` in it; or None."""
    places = folder, folder.absolute().parent, folder / "work"
    return next((place / NAME for place in places if (place / NAME).is_file()), None)


def read(path: Path) -> Progress:
    """Return what the file holds.

    Raises:
        ValueError: if it is not a record of tries; the message names the file.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        for entry in found.values():
            _ = entry["tries"] + 1, entry["passed"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged; delete it, or write {{}} into it") from error
    return dict(found)


def record(name: str, *, passed: bool, folder: Path) -> str | None:
    """Add a try to the file near ``folder``; return why that failed, or None.

    What was passed once remains passed.
    """
    path = find(folder)
    if path is None:
        return None
    try:
        progress = read(path)
        before = progress.get(name, {"tries": 0, "passed": False})
        now = {"tries": before["tries"] + 1, "passed": bool(before["passed"] or passed)}
        text = json.dumps(progress | {name: now}, indent=1) + "\n"
        write_atomically(path, lambda part: part.write_text(text, "utf-8"))
    except (ValueError, OSError) as error:
        return f"Your progress is not recorded: {error}"
    return None
