"""reference_impl.data: the shipped data set, another folder, IDX files, batches, bad input."""

import gzip
import re
import tempfile
from functools import partial
from itertools import chain
from pathlib import Path

import contracts
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import idx_bytes, write_folder, write_idx
from torchvision import datasets, transforms

from reference_impl.data import (
    IMAGES_MAGIC,
    LABELS_MAGIC,
    Batches,
    Examples,
    batches,
    load_dataset,
    read_idx,
)
from reference_impl.files import sha256
from reference_impl.folders import CLASS_NAMES, FASHION_MNIST

MNIST = FASHION_MNIST.parent / "MNIST"
WITH_MNIST = pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not shipped")


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path, n_train=60, n_test=20)
    return tmp_path


def numbered(n: int) -> Examples:
    """Return n examples whose only pixel is their number / 100."""
    return Examples(torch.arange(n).div(100).view(n, 1, 1, 1), torch.zeros(n, dtype=torch.int64))


def drawn(found: Batches) -> list[list[int]]:
    return [[round(100 * x) for x in images.flatten().tolist()] for images, _ in found]


def test_the_shipped_files_are_intact():
    """Oracle: the sums in the folder, made by sha256sum."""
    lines = (FASHION_MNIST / "SHA256SUMS").read_text("utf-8").splitlines()
    assert len(lines) == 4
    for expected, name in map(str.split, lines):
        assert sha256(FASHION_MNIST / name) == expected


@pytest.mark.parametrize(
    ("folder", "mean", "deviation"),
    [(None, 0.2860, 0.3530), pytest.param(MNIST, 0.1307, 0.3081, marks=WITH_MNIST)],
)
def test_the_pixels_have_the_published_number_mean_and_deviation(folder, mean, deviation):
    """Oracle: the normalization constants in use everywhere."""
    found = load_dataset(folder)
    assert (len(found.train), len(found.validation), len(found.test)) == (55_000, 5_000, 10_000)
    pixels = torch.cat([found.train.images, found.validation.images]).double()
    assert pixels.mean().item() == pytest.approx(mean, abs=5e-5)
    assert pixels.std().item() == pytest.approx(deviation, abs=5e-5)


def test_the_shipped_set_is_as_balanced_as_the_paper_says():
    """Oracle: Xiao, Rasul & Vollgraf (2017), section 2: 7,000 images per class, 6,000 to train.

    The validation set is like a draw without replacement, within four standard deviations.
    """
    fashion = load_dataset()
    together = torch.cat([fashion.train.labels, fashion.validation.labels])
    assert together.bincount().tolist() == [6_000] * 10
    assert fashion.test.labels.bincount().tolist() == [1_000] * 10
    assert len(CLASS_NAMES) == 10
    n, share = 5_000, 0.1
    deviation = (n * share * (1 - share) * (1 - n / 60_000)) ** 0.5
    assert (fashion.validation.labels.bincount() - n * share).abs().max() < 4 * deviation


@pytest.mark.parametrize("train", [True, False])
def test_torchvision_reads_the_same(tmp_path, train):
    """Oracle: torchvision's loader on the decompressed files, and its ToTensor."""
    fashion = load_dataset()
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FASHION_MNIST.glob("*.gz"):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    oracle = datasets.FashionMNIST(tmp_path, train=train, transform=transforms.ToTensor())
    parts = [fashion.train, fashion.validation] if train else [fashion.test]
    images = torch.cat([part.images for part in parts])
    assert torch.equal(torch.cat([part.labels for part in parts]), oracle.targets)
    assert torch.equal(images.mul(255).round().to(torch.uint8).squeeze(1), oracle.data)
    for i in (0, 17, len(oracle) - 1):
        assert torch.equal(images[i], oracle[i][0])


def test_a_byte_becomes_the_float_nearest_to_its_share_of_255(folder):
    """Oracle: division in double precision, rounded once; 255 is exactly 1."""
    pixels = np.resize(np.arange(256), (20, 28, 28))
    write_idx(folder / "t10k-images-idx3-ubyte.gz", pixels)
    found = load_dataset(folder, n_validation=5).test.images
    expected = torch.from_numpy(np.float32(pixels.astype(np.float64) / 255)).unsqueeze(1)
    assert torch.equal(found, expected)
    assert found.max() == 1


def test_a_folder_in_the_same_format_is_read_and_its_last_images_validate(folder):
    """Oracle: the arrays that were written; one of 60 images must be left to train on."""
    whole = load_dataset(folder, n_validation=1)
    parts = load_dataset(str(folder), n_validation=25)
    images = torch.cat([whole.train.images, whole.validation.images])
    assert torch.equal(parts.train.images, images[:35])
    assert torch.equal(parts.validation.images, images[35:])
    assert len(parts.test) == 20
    with pytest.raises(ValueError, match=r"n_validation must be in \[1, 59\], got 60"):
        load_dataset(folder, n_validation=60)


@pytest.mark.parametrize(
    ("file", "array", "error", "found"),
    [
        ("train-labels-idx1", np.zeros(59), ValueError, "found 59 labels for 60 images"),
        ("train-labels-idx1", np.full(60, 10), ValueError, "found a label 10, expected 0 … 9"),
        ("t10k-images-idx3", np.zeros((20, 32, 32)), ValueError, r"\(32, 32\) .* expected 28×28"),
        ("t10k-images-idx3", np.zeros(20), ValueError, "magic number 2049, expected 2051"),
        ("t10k-labels-idx1", None, FileNotFoundError, "no such file"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(folder, file, array, error, found):
    """Oracle: one file of a good folder replaced, or taken away."""
    path = folder / f"{file}-ubyte.gz"
    if array is None:
        path.unlink()
    else:
        write_idx(path, array)
    with pytest.raises(error, match=rf"{file}-ubyte\.gz: .*{found}.*to repair"):
        load_dataset(folder, n_validation=5)


CALLS = [
    partial(Batches, examples=numbered(4), batch_size=2, seed=0),
    partial(load_dataset, n_validation=5),
    partial(read_idx, path=FASHION_MNIST / "t10k-labels-idx1-ubyte.gz", magic=LABELS_MAGIC),
]


@pytest.mark.parametrize("call", CALLS, ids=contracts.name)
def test_each_argument_made_wrong_is_refused_by_its_name(call):
    """Oracle: the annotations, read by `contracts`."""
    assert contracts.unrefused(call) == []


def test_examples_are_images_with_labels_and_so_are_their_parts():
    """Oracle: the addresses of the first pixel; the messages."""
    examples = numbered(10)
    images, labels = examples.images, examples.labels
    assert drawn(batches(examples[4:6], 9)) == [[4, 5]]
    assert examples.subset(3).images.data_ptr() == images.data_ptr()
    assert len(examples.subset(10)) == 10
    for call, message in (
        (lambda: Examples(images.double(), labels), "images must hold float32"),
        (lambda: Examples(images / 0, labels), "images must be finite"),
        (lambda: Examples(images, labels - 1), "labels must be at least 0, got -1"),
        (lambda: Examples(images, labels[1:]), "images must have the n = 9 of labels, got 10"),
        (lambda: examples.subset(0), r"n must be in \[1, 10\], got 0"),
        (lambda: examples.subset(11), r"n must be in \[1, 10\], got 11"),
        (lambda: examples[3], "images must be .*, got shape"),
        (lambda: examples[5:5], "images must not be empty"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def test_a_package_without_the_repository_asks_for_a_folder(tmp_path, monkeypatch):
    """Oracle: the words of the message."""
    absent = tmp_path / "site-packages" / "data"
    monkeypatch.setattr("reference_impl.folders.FASHION_MNIST", absent)
    with pytest.raises(FileNotFoundError, match=f"{absent}: no such folder; .*give another as"):
        load_dataset()


@given(st.integers(1, 40), st.integers(1, 50), st.one_of(st.none(), st.integers(0, 2**63 - 1)))
def test_every_example_is_in_exactly_one_batch_with_its_label(n, batch_size, seed):
    """Oracle: counting; a label that can be read off the image; without a seed, the order."""
    examples = Examples(numbered(n).images, torch.arange(n) % 10)
    found = batches(examples, batch_size, seed=seed)
    parts = drawn(found)
    together = list(chain.from_iterable(parts))
    assert sorted(together) == list(range(n))
    assert seed is not None or together == list(range(n))
    assert [label for _, labels in found for label in labels] == [i % 10 for i in together]
    assert len(found) == len(parts)
    assert all(len(part) == batch_size for part in parts[:-1])
    assert drawn(found) == parts  # a second pass


def test_the_seed_alone_decides_the_order_and_the_global_generator_is_left_alone():
    """Oracle: torch's global generator, moved in between."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = drawn(batches(numbered(50), 7, seed=3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert drawn(batches(numbered(50), 7, seed=3)) == first
    assert drawn(batches(numbered(50), 7, seed=4)) != first


ARRAY = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.uint8)
packed = partial(gzip.compress, mtime=0)  # the same file whenever it is made
PACKED = packed(idx_bytes(ARRAY))


def read_packed(content: bytes, magic: int = IMAGES_MAGIC) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some-file.gz"
        path.write_bytes(content)
        return read_idx(path, magic)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=9)))
def test_every_array_that_is_written_is_read(array):
    """Oracle: a writer made from the format's description."""
    found = read_packed(packed(idx_bytes(array)), magic=0x0800 + array.ndim)
    np.testing.assert_array_equal(found, array)


@given(st.integers(0, len(PACKED) - 1))
def test_every_truncated_file_is_refused(length):
    """Oracle: every strict beginning of a good file."""
    with pytest.raises(ValueError, match=r"some-file\.gz: found .*; to repair: "):
        read_packed(PACKED[:length])


@given(st.integers(10, len(PACKED) - 1), st.integers(1, 255))
def test_a_damaged_byte_never_changes_an_entry(position, change):
    """Oracle: the CRC-32 of gzip finds every burst of up to 32 bits; padding bits say nothing."""
    damaged = bytearray(PACKED)
    damaged[position] ^= change
    try:
        np.testing.assert_array_equal(read_packed(bytes(damaged)), ARRAY)
    except ValueError as error:
        assert re.search(r"some-file\.gz: found .*; to repair: ", str(error))  # noqa: PT017


FOREIGN = {
    "not gzipped": (idx_bytes(ARRAY), r"no intact gzip data \(Not a gzipped file"),
    "more after the end": (PACKED + b"more", r"no intact gzip data \(Not a gzipped file"),
    "twice": (PACKED + PACKED, r"64 entries where .* says \(2, 3, 4\)"),
    "gzipped nothing": (packed(b""), "magic number 0, expected 2051"),
    "labels for images": (packed(idx_bytes(ARRAY[0, 0])), "magic number 2049, expected 2051"),
    "signed bytes": (packed(b"\0\0\x09" + idx_bytes(ARRAY)[3:]), "magic number 2307, expected"),
    "half a header": (packed(idx_bytes(ARRAY)[:12]), "magic number 2051, expected 2051 and 3"),
    "one entry less": (packed(idx_bytes(ARRAY)[:-1]), r"23 entries where .* says \(2, 3, 4\)"),
    "one entry more": (packed(idx_bytes(ARRAY) + b"x"), r"25 entries where .* says \(2, 3, 4\)"),
    "no entry": (packed(idx_bytes(ARRAY[:0])), r"0 entries where .* says \(0, 3, 4\)"),
}


@pytest.mark.parametrize(("content", "found"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_is_refused_and_its_content_named(content, found):
    """Oracle: hand-made files, each wrong in one way."""
    with pytest.raises(ValueError, match=rf"some-file\.gz: found .*{found}"):
        read_packed(content)
