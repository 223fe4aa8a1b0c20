"""Digests of the book's inputs: what was built from what."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

#: What an executed notebook depends on besides its own cells; ``chapters/`` stands for what lies
#: beside the pages of that folder, such as a module or data that a chapter reads.
CODE = ("reference_impl", "exercises", "data", "requirements.lock", "chapters/")

#: What the built site depends on besides ``CODE``.
PAGES = (
    "_config.yml",
    "_toc.yml",
    "_static",
    "_extra",
    "_templates",
    "book_tools",
    "chapters",
    "tests",
    "intro.md",
    "references.bib",
)

_PAGES = {".ipynb", ".md"}
_BYPRODUCTS = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache"}


def files_below(path: Path) -> Iterator[Path]:
    """Yield the files of a folder (or the file itself) that are not by-products, sorted."""
    if path.is_file():
        yield path
    elif path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name not in _BYPRODUCTS and child.suffix != ".part":
                yield from files_below(child)


def digest(root: Path, names: Iterable[str]) -> str:
    """Return the sha256 of the names and contents of every file below ``root / name``.

    A name that ends with a slash stands for the folder without its pages. A name that does not
    exist adds nothing, so that making it later changes the digest.
    """
    total = hashlib.sha256()
    for name in names:
        for file in files_below(root / name):
            if name.endswith("/") and file.suffix in _PAGES:
                continue
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
