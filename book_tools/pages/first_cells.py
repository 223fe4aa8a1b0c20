"""The first code cell of each notebook, the same in all.

It finds the course in a folder around the notebook or beside it, or says in one line what to do.
The site does not show it. The repository's address, if it has one, comes from ``_config.yml``.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from book_tools.files import ROOT

CELL_ID = "find-the-course"

_SOURCE = """\
import sys
from importlib.util import find_spec
from pathlib import Path

here = Path.cwd()
folders = [here, *here.parents, *(f.parent for f in here.glob("*/reference_impl"))]
sys.path[:0] = [str(f) for f in folders if (f / "reference_impl/data.py").is_file()][:1]
if not find_spec("reference_impl"):
    raise ModuleNotFoundError("First {what}")
needed = ("torch", "torchvision", "matplotlib", "jaxtyping", "safetensors", "scipy")
if missing := [name for name in needed if not find_spec(name)]:
    raise ModuleNotFoundError(f"First type: %pip install {{' '.join(missing)}}")"""


def address(root: Path = ROOT) -> str:
    """Return the repository's address in ``_config.yml``, which may be empty."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    return str(config["repository"]["url"] or "")


def first_source(url: str = "") -> str:
    """Return what the cell holds, for a course that has an address or has none yet."""
    move = "move this notebook into the folder of the course."
    return _SOURCE.format(what=f"type: !git clone --depth 1 {url}" if url else move)


def with_first_cell(notebook: dict[str, Any], url: str = "") -> dict[str, Any]:
    """Return a notebook, as JSON, whose first code cell is the common one."""
    cells = [cell for cell in notebook["cells"] if cell["id"] != CELL_ID]
    metadata = {"jupyter": {"source_hidden": True}, "tags": ["remove-cell"]}
    cell = {"cell_type": "code", "execution_count": 1, "id": CELL_ID, "metadata": metadata}
    cell |= {"outputs": [], "source": first_source(url).splitlines(keepends=True)}
    first = next(place for place, one in enumerate(cells) if one["cell_type"] == "code")
    return notebook | {"cells": [*cells[:first], cell, *cells[first:]]}


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Return path → text of all notebooks of a book, with the cell."""
    url, made = address(root), {}
    for path in sorted((root / "chapters").glob("*.ipynb")):
        notebook = with_first_cell(json.loads(path.read_text("utf-8")), url)
        made[path] = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    return made
