"""What a chapter's TOML file says about its exercises: difficulty, minutes and hints."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "chapters"


@cache
def notes(chapter: str) -> dict[str, Any]:
    """Return the tables of a chapter's TOML file, as ``notes("rounding")["exercises"]``.

    Args:
        chapter: the name of the chapter's module.

    Returns:
        ``exercises``, a table for each name with ``difficulty`` (1 to 3), ``minutes`` and two
        ``hints``, and what else the file holds.

    Raises:
        ValueError: if the file is not TOML; the message names the file.
    """
    path = FOLDER / f"{chapter}.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} must be TOML: {error}") from error
