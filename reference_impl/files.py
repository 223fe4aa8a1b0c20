"""Files: read with an error that says how to repair, written whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from reference_impl.checked import checked

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the course, which holds ``data``; an installed package does not have it."""

SHIPPED = ("FashionMNIST", "checkpoints", "deployed", "pictures", "results")
"""The folders below ``data`` that come with the repository; others are a reader's."""


@checked
def folder_or(folder: str | Path | None, default: Path) -> Path:
    """Return the folder as a path; None is the default, a folder of the repository.

    Raises:
        FileNotFoundError: if ``folder`` is None and there is no default, as where the package is
            installed without the repository.
    """
    if folder is None and not default.is_dir():
        raise FileNotFoundError(
            f"{default}: no such folder; it comes with the repository, or give another as folder"
        )
    return default if folder is None else Path(folder)


@checked
def read_bytes(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        FileNotFoundError: if there is no such file; the message says how to get it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; {_repair(path)}")
    return path.read_bytes()


@checked
def file_error(path: Path, found: str) -> ValueError:
    """Return the error of a file that is not what it should be: its name, the find, the repair.

    A message of several lines, as torch writes them, becomes one line.
    """
    return ValueError(f"{path}: found {' '.join(found.split())}; {_repair(path)}")


@checked
def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@checked
def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``.

    A reader, or a run that is killed at any moment, finds the old file or the new one, never a
    part of one. The bytes are on the disk before the name changes. If writing fails, ``path`` is
    as it was.

    Args:
        path: the file to replace or create; missing folders are made.
        write: called once with the temporary path, which exists and is empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)  # mkstemp's 0600 would hide a shipped file from other users
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _repair(path: Path) -> str:
    """Say how to get a good copy: from the repository if the file belongs to it."""
    folder = path.resolve().parent
    if not any(folder.is_relative_to(ROOT / "data" / name) for name in SHIPPED):
        return (
            "to repair: copy or download the original file again; "
            "what your own data must hold is in chapters/adapting.md, “What is accepted”"
        )
    retrain = " or make retrain" if folder.name == "checkpoints" else ""
    return f"to repair: git checkout -- {folder.relative_to(ROOT).as_posix()}{retrain}"
