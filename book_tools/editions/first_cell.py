"""The first code cell of each notebook: ``python -m book_tools.editions.first_cell`` writes it.

It finds the course in a folder around the notebook or beside it, or says in one line what to do.
The site does not show it. The repository's address, if it has one, comes from ``_config.yml``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from book_tools.failures import explained
from book_tools.files import ROOT, write_whole

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
    cells = [*cells[:first], cell, *cells[first:]]
    for number, one in enumerate((c for c in cells if c["cell_type"] == "code"), start=1):
        one["execution_count"] = number
        for output in one["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = number
    return notebook | {"cells": cells}


def write_all(root: Path = ROOT) -> str:
    """Write the cell into all notebooks of a book; return a closing line."""
    url, paths = address(root), sorted((root / "chapters").glob("*.ipynb"))
    for path in paths:
        notebook = with_first_cell(json.loads(path.read_text("utf-8")), url)
        write_whole(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    return f"First cells written: {len(paths)}; the repository is {url or 'not published yet'}"


def main() -> int:
    """Run the command line."""
    return explained(write_all, "python -m book_tools.editions.first_cell")


if __name__ == "__main__":
    sys.exit(main())
