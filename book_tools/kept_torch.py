"""Lend a Python's torch to an environment: ``make env TORCH=keep``.

The Python that has torch runs this file: ``python book_tools/kept_torch.py [SITE_PACKAGES]``. It
requires that torch and torchvision run and are in pyproject.toml's range, and links them, and the
libraries beside them, into the folder.
"""

import re
import sys
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

#: What environment.sh leaves out of the lock.
KEPT = re.compile(r"torch|torchvision|triton|(nvidia|cuda)-.*")

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]


def accepted(name: str) -> str:
    """Import a package; return its name and version."""
    version = import_module(name).__version__
    text = PROJECT.read_text("utf-8")
    lowest, beyond = re.findall(rf'"{name}>=([\d.]+),<([\d.]+)"', text)[0]
    if not _numbers(lowest) <= _numbers(version) < _numbers(beyond):
        raise ValueError(f"{name} {version} is not >={lowest},<{beyond}")
    return f"{name} {version}"


def link(site: Path) -> None:
    """Link everything that the kept distributions installed into a folder of packages."""
    for distribution in distributions():
        if KEPT.fullmatch(distribution.metadata["Name"] or ""):
            names = {file.parts[0] for file in distribution.files or ()}
            for name in names - {"..", "__pycache__"}:
                if not (site / name).exists():
                    (site / name).symlink_to(Path(str(distribution.locate_file(name))).resolve())
    for name in ("torch", "torchvision"):
        if not (site / name).exists():
            raise ValueError(f"{name} does not list its files: install it with pip, not otherwise")


if __name__ == "__main__":
    try:
        found = [accepted("torch"), accepted("torchvision")]
        for folder in sys.argv[1:]:
            link(Path(folder))
    except Exception as error:  # noqa: BLE001 — a broken installation can raise anything
        sys.exit(str(error).splitlines()[0])
    print(" and ".join(found))
