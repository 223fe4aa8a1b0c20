"""Fashion-MNIST and MNIST: four files in, tensors and seeded batches out.

The files are in the IDX format, gzipped or not: a magic number (0x0800 + number of axes) and the
size of each axis, as big-endian 32-bit numbers; then a byte for each entry, last axis fastest.

References: LeCun, Cortes & Burges, The MNIST database of handwritten digits, "File formats".
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from reference_impl.checked import FINITE, Count, Within, checked
from reference_impl.files import file_error, read_bytes
from reference_impl.folders import (
    CLASS_NAMES,
    N_LABELS,
    class_names,
    data_files,
    data_folder,
)

IMAGE_SIZE = 28

IMAGES_MAGIC, LABELS_MAGIC, COLOUR_MAGIC = 0x0803, 0x0801, 0x0804
"""2051: unsigned bytes on three axes; 2049: on one; 2052: on four."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey, by ITU-R BT.601."""

Seed = Annotated[int, Within(0, 2**63 - 1)]


@checked
@dataclass(frozen=True, eq=False)
class Examples:
    """Images with their labels; those of the course are grey, 0 black to 1 white, labels 0 … 9."""

    images: Annotated[Float32[Tensor, "n channels height width"], FINITE]
    labels: Annotated[Int64[Tensor, " n"], Within(0)]

    def __len__(self) -> int:
        """Return n, the number of examples."""
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Examples":
        """Return the examples of a slice such as [:100] (views, nothing is copied)."""
        return Examples(self.images[part], self.labels[part])

    def subset(self, n: int) -> "Examples":
        """Return the first n examples.

        Raises:
            ValueError: if there are fewer, or n is below 1.
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"n must be in [1, {len(self)}], got {n}")
        return self[:n]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint sets: fit on ``train``, choose on ``validation``, report on ``test``."""

    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...] = CLASS_NAMES  #: the name of each label 0 … 9


@checked
@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of (images, labels); every pass over them is the same. Made by `batches`."""

    examples: Examples
    batch_size: Count
    seed: Seed | None = None

    def __len__(self) -> int:
        """Return ⌈n / batch_size⌉, the number of batches."""
        return math.ceil(len(self.examples) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches; the last one may be smaller."""
        images, labels, size = self.examples.images, self.examples.labels, self.batch_size
        if self.seed is None:
            yield from zip(images.split(size), labels.split(size), strict=True)
            return
        generator = torch.Generator().manual_seed(self.seed)
        for chosen in torch.randperm(len(labels), generator=generator).split(size):
            yield images[chosen], labels[chosen]


def batches(examples: Examples, batch_size: int, *, seed: int | None = None) -> Batches:
    """Return ⌈n / batch_size⌉ batches of (images, labels), each example in exactly one.

    Args:
        examples: what to divide.
        batch_size: of all batches except the last, which holds the rest.
        seed: None keeps the order; a number draws a permutation from this seed alone, so the
            same seed gives the same batches whatever was drawn before.
    """
    return Batches(examples, batch_size, seed)


@checked
def load_dataset(data: str | Path | None = None, *, n_validation: Count | None = None) -> Dataset:
    """Read Fashion-MNIST, or a data set in the same four files, such as MNIST.

    The validation set is the last ``n_validation`` of the training images. The files are already
    shuffled, so a fixed position is as good as a random draw, and it is the same on every machine
    and in every version of every library.

    Args:
        data: a folder below the course's ``data``, by its name, or a path. It holds
            ``{train,t10k}-images-idx3-ubyte`` and ``…-labels-idx1-ubyte``, with ``.gz`` or without,
            and perhaps ``classes.txt``, the names of the labels from 0 on, one a line. Colour
            images (``idx4``: n × 3 × height × width) are turned grey and cut to 28×28. None is
            Fashion-MNIST in the repository.
        n_validation: examples taken from the training images; None takes 5,000, or a sixth where
            there are fewer than 30,000.

    Raises:
        FileNotFoundError: if the folder or a file is missing.
        ValueError: if a file is truncated, corrupt or another kind of file, if images and labels
            do not match, or if ``n_validation`` leaves no training image.

    References: Xiao et al. (2017), Fashion-MNIST, arXiv:1708.07747.
    """
    root = data_folder(data)
    classes = class_names(root)
    images, labels = _read_examples(root, "train", len(classes))
    if n_validation is None:
        n_validation = min(5000, max(1, len(images) // 6))
    n_train = len(images) - n_validation
    if n_train < 1:
        raise ValueError(f"n_validation must be in [1, {len(images) - 1}], got {n_validation}")
    return Dataset(
        train=Examples(images[:n_train], labels[:n_train]),
        validation=Examples(images[n_train:], labels[n_train:]),
        test=Examples(*_read_examples(root, "t10k", len(classes))),
        classes=(*classes, *map(str, range(len(classes), N_LABELS))),
    )


@checked
def read_idx(
    path: str | Path, magic: Annotated[int, Within(0x0801, 0x08FF)]
) -> UInt8[np.ndarray, "*shape"]:
    """Read one IDX file of unsigned bytes, gzipped if its name ends so, into a read-only array.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not gzip, truncated, corrupt, of another magic number, empty, or
            longer or shorter than its header says.
    """
    file = Path(path)
    content = _unzip(file) if file.suffix == ".gz" else read_bytes(file)
    n_axes = magic % 256
    body = 4 * (1 + n_axes)
    found = int.from_bytes(content[:4], "big")
    if found != magic or len(content) < body:
        raise file_error(file, f"magic number {found}, expected {magic} and {n_axes} sizes")
    shape = struct.unpack_from(f">{n_axes}I", content, 4)
    if math.prod(shape) == 0 or len(content) - body != math.prod(shape):
        raise file_error(file, f"{len(content) - body} entries where the header says {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=body).reshape(shape)


def _read_examples(root: Path, split: str, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return images in [0, 1] and labels of one split, checked against each other."""
    image_file, label_file = data_files(root, split)
    if "-idx4-" in image_file.name:
        pixels = _grey(image_file)
    else:
        pixels = read_idx(image_file, IMAGES_MAGIC)
    labels = read_idx(label_file, LABELS_MAGIC)
    if pixels.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise file_error(image_file, f"images of {pixels.shape[1:]} pixels, expected 28×28")
    if len(labels) != len(pixels):
        raise file_error(label_file, f"{len(labels)} labels for {len(pixels)} images")
    if (highest := int(labels.max())) >= n_classes:
        raise file_error(label_file, f"a label {highest}, expected 0 … {n_classes - 1}")
    images = np.divide(pixels, np.float32(255), dtype=np.float32)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64))


def _grey(file: Path) -> UInt8[np.ndarray, "n 28 28"]:
    """Return the luma of colour images, rounded to bytes, of the 28×28 pixels in the middle."""
    colours = read_idx(file, COLOUR_MAGIC)
    _, channels, *sides = colours.shape
    if channels != len(LUMA) or min(sides) < IMAGE_SIZE:
        raise file_error(file, f"images of {colours.shape[1:]}, expected (3, 28 or more, the same)")
    top, left = ((side - IMAGE_SIZE) // 2 for side in sides)
    inner = colours[:, :, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    luma = np.einsum("c,nchw->nhw", np.array(LUMA, dtype=np.float32), inner)
    grey: np.ndarray = luma.round().astype(np.uint8)
    return grey


def _unzip(file: Path) -> bytes:
    """Return the content of a gzip file, its checksum and length verified."""
    packed = read_bytes(file)
    try:
        return gzip.decompress(packed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise file_error(file, f"no intact gzip data ({error})") from error
