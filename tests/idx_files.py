"""Writes IDX files from the format's description, as the opposite of the reader under test."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    """Return header and bytes of an array of unsigned bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write the gzipped file."""
    path.write_bytes(gzip.compress(idx_bytes(array.astype(np.uint8))))


def write_folder(folder: Path, *, n_train: int, n_test: int, seed: int = 0) -> None:
    """Write a small data set of random images in MNIST's four files."""
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, n in (("train", n_train), ("t10k", n_test)):
        write_idx(
            folder / f"{split}-images-idx3-ubyte.gz", chance.integers(0, 256, size=(n, 28, 28))
        )
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", chance.integers(0, 10, size=n))


def write_bars(folder: Path, *, n_train: int, n_test: int, seed: int = 0) -> None:
    """Write a data set that is quickly learned: a bar for each class, turned by 18° a class."""
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:28, :28] - 13.5
    for split, n in (("train", n_train), ("t10k", n_test)):
        labels = chance.integers(0, 10, size=n)
        angles = (np.pi / 10 * labels + chance.normal(0, 0.05, n))[:, None, None]
        away = np.abs(x * np.sin(angles) - y * np.cos(angles) + chance.normal(0, 1, (n, 1, 1)))
        pixels = 255 * np.exp(-((away / 2) ** 2)) * chance.uniform(0.5, 1, (n, 28, 28))
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", pixels)
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", labels)
