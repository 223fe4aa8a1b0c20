"""What a notebook's run depends on, what is kept of it, and the Sphinx extension that shows it.

``_build/executed/chapters/NAME.json`` holds what the run depended on, and its outputs, cell by
cell, if they do not agree with the stored ones. The extension also has every page written again
when something moves to which pages refer: a title, a label or its number.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from sphinx.application import Sphinx

from book_tools.comparing.rules import code_cells
from book_tools.files import write_whole

FOLDER = "executed"

#: What an executed notebook depends on besides its own cells: what it imports and reads, and what
#: executes and compares it. ``chapters/`` stands for what lies beside the pages of that folder.
CODE = (
    *("reference_impl", "exercises", "data", "requirements.lock", "chapters/"),
    *("book_tools/execute.py", "book_tools/notebooks.py", "book_tools/comparing"),
)

_PAGES = {".ipynb", ".md"}
_BYPRODUCTS = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".part"}


def digest(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 of the names and contents of every file below ``root / name``.

    A name that ends with a slash stands for the folder without its pages. A name that does not
    exist adds nothing, so that making it later changes the digest.
    """
    total = hashlib.sha256()
    for name in names:
        path, left_out = root / name, _BYPRODUCTS | (_PAGES if name.endswith("/") else set())
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and left_out.isdisjoint([*file.parts, file.suffix]):
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                total.update(f"{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def code_digest(root: Path) -> str:
    """Return a digest of all that a notebook depends on besides its own cells."""
    return f"{digest(root, CODE)} torch {version('torch')}, Python {sys.version}"


def inputs_digest(notebook: NotebookNode, code: str) -> str:
    """Return a digest of a notebook's code cells and all that they depend on."""
    cells = [(cell["source"], cell["outputs"], cell["metadata"]) for cell in code_cells(notebook)]
    return hashlib.sha256(f"{code} {json.dumps(cells)}".encode()).hexdigest()


def read_run(build: Path, page: str) -> Any:
    """Return what is kept of the run of a page such as ``chapters/one``; nothing without one."""
    file = build / FOLDER / f"{page}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def keep_run(build: Path, page: str, inputs: str | None, outputs: list[Any] | None) -> None:
    """Keep a run; the page is read anew if it shows other outputs now."""
    if outputs != read_run(build, page).get("outputs"):
        (build / ".doctrees" / f"{page}.doctree").unlink(missing_ok=True)
    file = build / FOLDER / f"{page}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps({"inputs": inputs, "outputs": outputs}))


def show_fresh_outputs(app: Sphinx, page: str, source: list[str]) -> None:
    """Show a run's outputs where they differ from the stored ones (Sphinx's event source-read)."""
    if outputs := read_run(Path(app.outdir).parent, page).get("outputs"):
        notebook = json.loads(source[0])
        for cell, fresh in zip(code_cells(notebook), outputs, strict=True):
            cell["outputs"] = fresh
        source[0] = json.dumps(notebook)


def _targets(env: Any) -> Any:
    """Return what one page may show of another: titles, labels, and their numbers."""
    titles = {page: title.astext() for page, title in env.titles.items()}
    std, math = env.get_domain("std"), env.get_domain("math")
    labels = (std.labels, std.anonlabels, std.objects, math.equations)
    return deepcopy((titles, labels, env.toc_secnumbers, env.toc_fignumbers))


def remember_targets(app: Sphinx) -> None:
    """Keep what the pages of the last build refer to (Sphinx's event builder-inited)."""
    app.book_targets = _targets(app.env)  # type: ignore[attr-defined]


def write_all_if_targets_moved(app: Sphinx, env: Any) -> list[str]:
    """Return the pages to write again (Sphinx's event env-get-updated)."""
    return [] if app.book_targets == _targets(env) else list(env.found_docs)  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", show_fresh_outputs)
    app.connect("builder-inited", remember_targets)
    app.connect("env-get-updated", write_all_if_targets_moved, priority=900)  # numbers are given
    return {"parallel_read_safe": True, "parallel_write_safe": True}
