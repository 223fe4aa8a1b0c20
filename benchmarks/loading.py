"""Reading Fashion-MNIST against torchvision's loader."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import extract_archive
from torchvision.transforms import ToTensor

from benchmarks.harness import Case
from reference_impl.data import load_dataset
from reference_impl.folders import FASHION_MNIST

FILES = sorted(FASHION_MNIST.glob("*.gz"))


def tensors(root: Path) -> list[torch.Tensor]:
    """Return torchvision's images of both splits, as numbers from 0 to 1."""
    both = [FashionMNIST(root, train=train) for train in (True, False)]
    return [split.data.unsqueeze(1).float().div_(255) for split in both]


def item_by_item(root: Path) -> list[torch.Tensor]:
    """Return the same tensors as torchvision's documentation makes them: one image at a time."""
    both = [FashionMNIST(root, train=train, transform=ToTensor()) for train in (True, False)]
    return [torch.stack([split[i][0] for i in range(len(split))]) for split in both]


def from_archives(root: Path) -> list[torch.Tensor]:
    """Extract the four archives as torchvision's download does, then load them."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copy(file, raw)
        extract_archive(str(raw / file.name), str(raw))
    return tensors(root)


def cases() -> Iterator[Case]:
    """Yield two comparisons: from the archives, and as torchvision's documentation loads them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        from_archives(root)
        yield Case(
            "load Fashion-MNIST, both from the archives",
            "torchvision: extract, then load",
            1.0,
            load_dataset,
            lambda: from_archives(root),
        )
        yield Case(
            "load Fashion-MNIST, torchvision item by item",
            "torchvision: ToTensor on each image",
            1.0,
            load_dataset,
            lambda: item_by_item(root),
            rounds=3,
        )
