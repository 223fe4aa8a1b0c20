"""Fashion-MNIST and MNIST: four files in, tensors and seeded batches out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checks import require_instance, require_int, require_tensor
from reference_impl.files import ROOT, file_error, folder_or, read_bytes, sha256
from reference_impl.idx import IMAGES_MAGIC, LABELS_MAGIC, read_idx

FASHION_MNIST = ROOT / "data" / "FashionMNIST"
"""The folder of the shipped data set."""

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Fashion-MNIST's class of each label 0 … 9 (Xiao, Rasul & Vollgraf 2017, table 2)."""

IMAGE_SIZE = 28


@dataclass(frozen=True, eq=False)
class Examples:
    """Grey images with their labels.

    Args:
        images: (n, 1, height, width), float32, 0 black to 1 white.
        labels: (n,), int64, 0 … 9.

    Raises:
        TypeError: if either has another dtype.
        ValueError: if a shape, the count, a pixel or a label is out of bounds.
    """

    images: Float[Tensor, "n 1 height width"]
    labels: Int64[Tensor, " n"]

    def __post_init__(self) -> None:
        _require_dtype("images", self.images, torch.float32)
        _require_dtype("labels", self.labels, torch.int64)
        if self.images.ndim != 4 or self.images.shape[1] != 1 or self.images.numel() == 0:
            raise ValueError(f"images must be (n, 1, h, w), got {tuple(self.images.shape)}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be ({len(self.images)},), one per image, "
                f"got {tuple(self.labels.shape)}"
            )
        _require_within("images", self.images, 1)
        _require_within("labels", self.labels, len(CLASS_NAMES) - 1)

    def __len__(self) -> int:
        """Return n, the number of examples."""
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Examples":
        """Return the examples of a slice (views, nothing is copied)."""
        if not isinstance(part, slice):
            raise TypeError(f"part must be a slice such as [:100], got {part!r}")
        return Examples(self.images[part], self.labels[part])

    def subset(self, n: int) -> "Examples":
        """Return the first n examples.

        Raises:
            TypeError: if ``n`` is no integer.
            ValueError: if there are fewer than ``n``, or ``n`` is below 1.
        """
        require_int("n", n, 1, len(self))
        return self[:n]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint sets: fit on ``train``, choose on ``validation``, report on ``test``."""

    train: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of (images, labels); every pass over them is the same. Made by `batches`."""

    examples: Examples
    batch_size: int
    seed: int | None = None

    def __post_init__(self) -> None:
        require_instance("examples", self.examples, Examples)
        require_int("batch_size", self.batch_size, 1)
        if self.seed is not None:
            require_int("seed", self.seed, 0, 2**63 - 1)

    def __len__(self) -> int:
        """Return ⌈n / batch_size⌉, the number of batches."""
        return math.ceil(len(self.examples) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches; the last one may be smaller."""
        images, labels = self.examples.images, self.examples.labels
        if self.seed is None:
            yield from zip(
                images.split(self.batch_size), labels.split(self.batch_size), strict=True
            )
            return
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.examples), generator=generator)
        for chosen in order.split(self.batch_size):
            yield images[chosen], labels[chosen]


def batches(examples: Examples, batch_size: int, *, seed: int | None = None) -> Batches:
    """Return ⌈n / batch_size⌉ batches of (images, labels), each example in exactly one.

    Args:
        examples: what to divide.
        batch_size: examples per batch; the last batch holds the rest.
        seed: None keeps the order; a number draws a permutation from this seed alone, so the
            same seed gives the same batches whatever was drawn before.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if ``batch_size`` is below 1 or ``seed`` is negative.
    """
    return Batches(examples, batch_size, seed)


def load_dataset(folder: Path | str | None = None, *, n_validation: int = 5000) -> Dataset:
    """Read Fashion-MNIST, or a data set in the same four files, such as MNIST.

    The validation set is the last ``n_validation`` of the training images. The files are already
    shuffled, so a fixed position is as good as a random draw, and it is the same on every machine
    and in every version of every library.

    Args:
        folder: holds ``{train,t10k}-images-idx3-ubyte.gz`` and ``…-labels-idx1-ubyte.gz``;
            None is the shipped Fashion-MNIST.
        n_validation: examples taken from the training images, at least 1.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is truncated, corrupt or another kind of file, if images and labels
            do not match, or if ``n_validation`` leaves no training image.

    References:
        Xiao, Rasul & Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747.
    """
    root = folder_or(folder, FASHION_MNIST)
    require_int("n_validation", n_validation, 1)
    images, labels = _read_examples(root, "train")
    require_int("n_validation", n_validation, 1, len(images) - 1)
    n_train = len(images) - n_validation
    return Dataset(
        train=Examples(images[:n_train], labels[:n_train]),
        validation=Examples(images[n_train:], labels[n_train:]),
        test=Examples(*_read_examples(root, "t10k")),
    )


def verify_checksums(folder: Path | str | None = None) -> tuple[str, ...]:
    """Compare every file listed in the folder's ``SHA256SUMS`` with its sum there.

    Args:
        folder: None is the shipped Fashion-MNIST.

    Returns:
        The names of the files, all of them intact.

    Raises:
        FileNotFoundError: if the list or a listed file is missing.
        ValueError: if a sum differs, or the list names no file.
    """
    root = folder_or(folder, FASHION_MNIST)
    sums = root / "SHA256SUMS"
    lines = [line.split() for line in read_bytes(sums).decode(errors="replace").splitlines()]
    if not lines or any(len(line) != 2 for line in lines):
        raise file_error(sums, "no list of 'sha256  file name'")
    for expected, name in lines:
        read_bytes(root / name)
        if (found := sha256(root / name)) != expected:
            raise file_error(root / name, f"sha256 {found}, expected {expected}")
    return tuple(name for _, name in lines)


def _read_examples(root: Path, split: str) -> tuple[Tensor, Tensor]:
    """Return images in [0, 1] and labels of one split, checked against each other."""
    image_file = root / f"{split}-images-idx3-ubyte.gz"
    label_file = root / f"{split}-labels-idx1-ubyte.gz"
    pixels = read_idx(image_file, IMAGES_MAGIC)
    labels = read_idx(label_file, LABELS_MAGIC)
    if pixels.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise file_error(image_file, f"images of {pixels.shape[1:]} pixels, expected 28×28")
    if len(labels) != len(pixels):
        raise file_error(label_file, f"{len(labels)} labels for {len(pixels)} images")
    if (highest := int(labels.max())) >= len(CLASS_NAMES):
        raise file_error(label_file, f"a label {highest}, expected 0 … {len(CLASS_NAMES) - 1}")
    images = np.divide(pixels, np.float32(255), dtype=np.float32)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64))


def _require_dtype(name: str, value: Tensor, dtype: torch.dtype) -> None:
    require_tensor(name, value)
    if value.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {value.dtype}")


def _require_within(name: str, value: Tensor, high: int) -> None:
    low, top = (bound.item() for bound in value.aminmax())
    if not (low >= 0 and top <= high):  # a nan fails both comparisons
        raise ValueError(f"{name} must lie in [0, {high}], got values from {low} to {top}")
