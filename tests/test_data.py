"""reference_impl.data: the shipped data set, another folder, IDX files, batches, bad input."""

import gzip
import os
import re
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import idx_bytes, write_folder, write_idx

from reference_impl.data import (
    CLASS_NAMES,
    FASHION_MNIST,
    IMAGES_MAGIC,
    LABELS_MAGIC,
    Batches,
    Examples,
    batches,
    load_dataset,
    read_idx,
)
from reference_impl.files import sha256

MNIST = os.environ.get("REFERENCE_IMPL_MNIST")


@pytest.fixture(scope="module")
def fashion():
    return load_dataset()


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


def test_the_shipped_set_has_the_sizes_of_the_paper(fashion):
    """Oracle: Xiao, Rasul & Vollgraf (2017), section 2: 7,000 images per class, 6,000 to train."""
    assert [len(part) for part in (fashion.train, fashion.validation, fashion.test)] == [
        55_000,
        5_000,
        10_000,
    ]
    together = torch.cat([fashion.train.labels, fashion.validation.labels])
    assert together.bincount().tolist() == [6_000] * 10
    assert fashion.test.labels.bincount().tolist() == [1_000] * 10
    assert len(CLASS_NAMES) == 10


def test_the_validation_set_is_as_balanced_as_a_random_draw(fashion):
    """Oracle: four standard deviations of a draw without replacement."""
    n, share = 5_000, 0.1
    deviation = (n * share * (1 - share) * (1 - n / 60_000)) ** 0.5
    assert (fashion.validation.labels.bincount() - n * share).abs().max() < 4 * deviation


def test_the_pixels_have_the_published_mean_and_deviation(fashion):
    """Oracle: the normalisation constants in use everywhere, 0.2860 and 0.3530."""
    pixels = torch.cat([fashion.train.images, fashion.validation.images]).double()
    assert pixels.mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3530, abs=5e-5)


@pytest.mark.parametrize("train", [True, False])
def test_torchvision_reads_the_same(fashion, tmp_path, train):
    """Oracle: torchvision's loader on the decompressed files, and its ToTensor."""
    from torchvision import datasets, transforms

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


def test_a_byte_becomes_the_float_nearest_to_its_share_of_255(tmp_path):
    """Oracle: division in double precision, rounded once; 255 is exactly 1."""
    write_folder(tmp_path, n_train=60, n_test=20)
    pixels = np.resize(np.arange(256), (20, 28, 28))
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", pixels)
    found = load_dataset(tmp_path, n_validation=5).test.images
    expected = torch.from_numpy(np.float32(pixels.astype(np.float64) / 255)).unsqueeze(1)
    assert torch.equal(found, expected)
    assert found.max() == 1


def test_a_folder_in_the_same_format_is_read_and_its_last_images_validate(folder):
    """Oracle: the arrays that were written."""
    whole = load_dataset(folder, n_validation=1)
    parts = load_dataset(str(folder), n_validation=25)
    images = torch.cat([whole.train.images, whole.validation.images])
    assert torch.equal(parts.train.images, images[:35])
    assert torch.equal(parts.validation.images, images[35:])
    assert len(parts.test) == 20


@pytest.mark.skipif(MNIST is None, reason="set REFERENCE_IMPL_MNIST to a folder that holds MNIST")
def test_mnist_is_read_from_the_callers_folder():
    """Oracle: MNIST's published mean and deviation, 0.1307 and 0.3081."""
    mnist = load_dataset(Path(MNIST))
    pixels = torch.cat([mnist.train.images, mnist.validation.images]).double()
    assert (len(mnist.train), len(mnist.validation), len(mnist.test)) == (55_000, 5_000, 10_000)
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.parametrize(
    ("file", "array", "found"),
    [
        ("train-labels-idx1", np.zeros(59), "59 labels for 60 images"),
        ("train-labels-idx1", np.full(60, 10), "a label 10, expected 0 … 9"),
        (
            "t10k-images-idx3",
            np.zeros((20, 32, 32)),
            r"images of \(32, 32\) pixels, expected 28×28",
        ),
        ("t10k-images-idx3", np.zeros(20), "magic number 2049, expected 2051"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(folder, file, array, found):
    """Oracle: one file of a good folder replaced."""
    write_idx(folder / f"{file}-ubyte.gz", array)
    with pytest.raises(ValueError, match=rf"{file}-ubyte\.gz: found {found}.*to repair"):
        load_dataset(folder, n_validation=5)


def test_a_missing_file_of_the_four_is_named(folder):
    """Oracle: the words of the message."""
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz: no such file"):
        load_dataset(folder, n_validation=5)


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (60, ValueError), (-1, ValueError), (2.5, TypeError)]
)
def test_a_validation_set_that_leaves_nothing_to_train_on_is_refused(folder, n, error):
    """Oracle: 60 training images."""
    with pytest.raises(error, match="n_validation"):
        load_dataset(folder, n_validation=n)


IMAGES, LABELS = torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Examples([[0.0]], LABELS), TypeError, "images must be a torch.Tensor, got list"),
        (lambda: Examples(IMAGES.double(), LABELS), TypeError, "images must hold float32, got"),
        (lambda: Examples(IMAGES, LABELS.int()), TypeError, "labels must hold int64, got dtype"),
        (lambda: Examples(IMAGES[:0], LABELS[:0]), ValueError, "images must not be empty"),
        (lambda: Examples(IMAGES[:, 0], LABELS), ValueError, r"\(n, 1, height, width\), got shape"),
        (
            lambda: Examples(IMAGES, LABELS[:2]),
            ValueError,
            "images must have the n = 2 of labels, got 3",
        ),
        (
            lambda: Examples(IMAGES + 1.5, LABELS),
            ValueError,
            r"images must be in \[0, 1\], got 1.5",
        ),
        (lambda: Examples(IMAGES + torch.nan, LABELS), ValueError, "images must be finite"),
        (lambda: Examples(IMAGES, LABELS - 1), ValueError, r"labels must be in \[0, 9\], got -1"),
        (lambda: numbered(10).subset(11), ValueError, r"n must be in \[1, 10\], got 11"),
        (lambda: numbered(10).subset(0), ValueError, r"n must be in \[1, 10\], got 0"),
        (lambda: numbered(10)[3], ValueError, "images must be .*, got shape"),
        (lambda: numbered(10)[5:5], ValueError, "images must not be empty"),
        (lambda: batches("images", 2), TypeError, "examples must be Examples"),
        (lambda: batches(numbered(4), 0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: batches(numbered(4), 2, seed=-1), ValueError, "seed must be in"),
        (lambda: load_dataset(3), TypeError, "folder must be str or be Path"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the words of the message."""
    with pytest.raises(error, match=message):
        call()


def test_without_the_repository_the_folder_that_was_looked_for_is_named(tmp_path, monkeypatch):
    """Oracle: the words of the message, with the repository's folder moved away."""
    absent = tmp_path / "site-packages" / "data"
    monkeypatch.setattr("reference_impl.data.FASHION_MNIST", absent)
    with pytest.raises(FileNotFoundError, match=f"{absent}: no such folder; .*give another as"):
        load_dataset()


def test_a_slice_and_a_subset_share_the_memory_of_the_examples():
    """Oracle: the addresses of the first pixel."""
    examples = numbered(10)
    assert drawn(batches(examples[4:6], 9)) == [[4, 5]]
    assert examples.subset(3).images.data_ptr() == examples.images.data_ptr()
    assert len(examples.subset(10)) == 10


@given(st.integers(1, 40), st.integers(1, 50), st.one_of(st.none(), st.integers(0, 2**63 - 1)))
def test_every_example_is_in_exactly_one_batch(n, batch_size, seed):
    """Oracle: counting."""
    found = batches(numbered(n), batch_size, seed=seed)
    parts = drawn(found)
    assert sorted(chain.from_iterable(parts)) == list(range(n))
    assert len(found) == len(parts)
    assert all(len(part) == batch_size for part in parts[:-1])
    assert drawn(found) == parts  # a second pass


def test_without_a_seed_the_order_is_kept():
    """Oracle: hand count."""
    assert drawn(batches(numbered(5), 2)) == [[0, 1], [2, 3], [4]]


def test_the_seed_alone_decides_the_order_and_the_global_generator_is_left_alone():
    """Oracle: torch's global generator, moved in between."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = drawn(batches(numbered(50), 7, seed=3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert drawn(batches(numbered(50), 7, seed=3)) == first
    assert drawn(batches(numbered(50), 7, seed=4)) != first


def test_images_and_labels_stay_together():
    """Oracle: a label that can be read off the image."""
    labels = torch.arange(40) % 10
    examples = Examples(labels.div(10).view(-1, 1, 1, 1), labels)
    for images, found in batches(examples, 7, seed=0):
        assert torch.equal(images.flatten().mul(10).round().long(), found)


ARRAY = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.uint8)


def packed(content: bytes) -> bytes:
    """Return the gzip file, the same whenever it is made."""
    return gzip.compress(content, mtime=0)


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
        found = read_packed(bytes(damaged))
    except ValueError as error:
        assert re.search(r"some-file\.gz: found .*; to repair: ", str(error))  # noqa: PT017
    else:
        np.testing.assert_array_equal(found, ARRAY)


FOREIGN = {
    "an empty file": (b"", "no intact gzip data"),
    "a web page": (b"<html>404</html>", "no intact gzip data"),
    "not gzipped": (idx_bytes(ARRAY), "no intact gzip data"),
    "more after the end": (PACKED + b"more", "40 bytes of gzip data that end with"),
    "gzipped nothing": (packed(b""), "magic number 0, expected 2051"),
    "gzipped text": (packed(b"hello world"), "magic number 1751477356, expected 2051"),
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


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    """Oracle: the words of the message."""
    with pytest.raises(FileNotFoundError, match=r"absent\.gz: no such file; to repair"):
        read_idx(tmp_path / "absent.gz", LABELS_MAGIC)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_idx(tmp_path, LABELS_MAGIC)


@pytest.mark.parametrize(("magic", "error"), [(3, ValueError), ("2051", TypeError)])
def test_an_impossible_magic_number_is_refused(tmp_path, magic, error):
    """Oracle: the format, whose magic number for unsigned bytes is 0x0800 + number of axes."""
    write_idx(tmp_path / "file.gz", ARRAY)
    with pytest.raises(error, match="magic"):
        read_idx(tmp_path / "file.gz", magic)
