"""Digests of the book's inputs: what was built from what."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

#: What an executed notebook depends on besides its own cells: what it imports and reads, and what
#: executes and compares it. ``chapters/`` stands for what lies beside the pages of that folder.
CODE = (
    *("reference_impl", "exercises", "data", "requirements.lock", "chapters/"),
    *("book_tools/site/execute.py", "book_tools/comparing"),
)

#: What the built site depends on besides ``CODE``.
PAGES = (
    *("_config.yml", "_toc.yml", "_static", "_extra", "_templates", "book_tools"),
    *("chapters", "tests", "intro.md", "references.bib"),
)

_PAGES = {".ipynb", ".md"}
_BYPRODUCTS = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache"}


def _files(path: Path) -> Iterator[Path]:
    """Yield the files of a folder (or the file itself) that are not by-products, sorted."""
    if path.is_file():
        yield path
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name not in _BYPRODUCTS and child.suffix != ".part":
                yield from _files(child)


def digest(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 of the names and contents of every file below ``root / name``.

    A name that ends with a slash stands for the folder without its pages. A name that does not
    exist adds nothing, so that making it later changes the digest.
    """
    total = hashlib.sha256()
    for name in names:
        for file in _files(root / name):
            if name.endswith("/") and file.suffix in _PAGES:
                continue
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
