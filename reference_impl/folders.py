"""Where a data set is, which one it is, and what its classes are called."""

import hashlib
from pathlib import Path

from reference_impl.checked import checked
from reference_impl.files import ROOT, file_error, folder_or, sha256

FASHION_MNIST = ROOT / "data" / "FashionMNIST"
"""The data set's folder in the repository; an installed package does not have it."""

CLASS_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""Fashion-MNIST's class of each label 0 … 9 (Xiao, Rasul & Vollgraf 2017, table 2)."""

N_LABELS = len(CLASS_NAMES)


@checked
def data_folder(data: str | Path | None = None) -> Path:
    """Return the folder of a data set: that of this name below the course's ``data``, or the path.

    None is Fashion-MNIST in the repository, `FASHION_MNIST`.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if data is None:
        return folder_or(None, FASHION_MNIST)
    inside = ROOT / "data" / data
    found = inside if inside.is_dir() else Path(data)
    if not found.is_dir():
        raise FileNotFoundError(f"{data}: neither a folder below {inside.parent} nor a path")
    return found


@checked
def data_identity(data: str | Path | None = None) -> dict[str, str]:
    """Return the name of a data set's folder, and the SHA-256 of its list of checksums.

    The list is the one that ``sha256sum`` prints: ``sha256sum SHA256SUMS`` gives the same number.
    """
    root = data_folder(data)
    parts = (part for split in ("t10k", "train") for part in data_files(root, split))
    sums = "".join(f"{sha256(part)}  {part.name}\n" for part in parts)
    return {"name": root.resolve().name, "sha256": hashlib.sha256(sums.encode()).hexdigest()}


def data_files(root: Path, split: str) -> tuple[Path, Path]:
    """Return the files of a split's images and labels; colour images have a fourth axis."""

    def first(*kinds: str) -> Path:
        names = [f"{split}-{kind}-ubyte{end}" for kind in kinds for end in (".gz", "")]
        return next((root / name for name in names if (root / name).is_file()), root / names[0])

    return first("images-idx3", "images-idx4"), first("labels-idx1")


def class_names(root: Path) -> list[str]:
    """Return the lines of ``classes.txt``; without it the shipped names, or the numbers."""
    file = root / "classes.txt"
    if not file.is_file():
        shipped = root.resolve() == FASHION_MNIST.resolve()
        return [*CLASS_NAMES] if shipped else [*map(str, range(N_LABELS))]
    names = file.read_text(encoding="utf-8").split("\n")
    names = [name.strip() for name in names if name.strip()]
    if not 2 <= len(names) <= N_LABELS:
        raise file_error(file, f"{len(names)} names, expected 2 to {N_LABELS}")
    return names
