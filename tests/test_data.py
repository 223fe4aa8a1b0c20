"""reference_impl.data: the shipped data set, another folder, batches, bad input."""

import gzip
import os
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from idx_files import write_folder, write_idx

from reference_impl.data import (
    CLASS_NAMES,
    FASHION_MNIST,
    Batches,
    Examples,
    batches,
    load_dataset,
    verify_checksums,
)

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
    assert len(verify_checksums()) == 4


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


@pytest.mark.parametrize("read", [load_dataset, verify_checksums])
def test_a_folder_is_a_path_or_a_string(read):
    """Oracle: the words of the message."""
    with pytest.raises(TypeError, match="folder must be Path or str, got 3"):
        read(3)


def test_a_changed_file_fails_its_checksum(tmp_path):
    """Oracle: one byte changed in a copy of the shipped folder."""
    for name in ("SHA256SUMS", *(file.name for file in FASHION_MNIST.glob("*.gz"))):
        shutil.copy(FASHION_MNIST / name, tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(labels.read_bytes())
    content[4] ^= 1  # the time in the gzip header: the images would still be read
    labels.write_bytes(content)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz: found sha256 .*, expected"):
        verify_checksums(tmp_path)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz: no such file"):
        verify_checksums(tmp_path)


@pytest.mark.parametrize("content", ["", "one-word\n", "\n\n"])
def test_a_list_of_sums_without_sums_is_refused(tmp_path, content):
    """Oracle: hand-made lists."""
    (tmp_path / "SHA256SUMS").write_text(content)
    with pytest.raises(ValueError, match="SHA256SUMS: found no list"):
        verify_checksums(tmp_path)


IMAGES, LABELS = torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        ([[0.0]], LABELS, TypeError, "images must be a torch.Tensor, got list"),
        (IMAGES.double(), LABELS, TypeError, "images must be torch.float32, got torch.float64"),
        (IMAGES, LABELS.int(), TypeError, "labels must be torch.int64, got torch.int32"),
        (IMAGES[:0], LABELS[:0], ValueError, "images must not be empty"),
        (IMAGES[:, 0], LABELS, ValueError, r"images must be \(n, 1, h, w\), got \(3, 28, 28\)"),
        (IMAGES.repeat(1, 3, 1, 1), LABELS, ValueError, r"got \(3, 3, 28, 28\)"),
        (IMAGES, LABELS[:2], ValueError, r"labels must be \(3,\), one per image, got \(2,\)"),
        (IMAGES + 1.5, LABELS, ValueError, r"images must lie in \[0, 1\], got values from 1.5"),
        (IMAGES - 0.5, LABELS, ValueError, r"images must lie in \[0, 1\]"),
        (IMAGES + torch.nan, LABELS, ValueError, r"images must lie in \[0, 1\].*nan"),
        (IMAGES + torch.inf, LABELS, ValueError, r"images must lie in \[0, 1\].*inf"),
        (IMAGES, LABELS - 1, ValueError, r"labels must lie in \[0, 9\], got values from -1"),
        (IMAGES, LABELS + 10, ValueError, r"labels must lie in \[0, 9\]"),
    ],
)
def test_examples_are_valid_from_construction(images, labels, error, message):
    """Oracle: hand-made tensors, each wrong in one way."""
    with pytest.raises(error, match=message):
        Examples(images, labels)


def test_a_slice_and_a_subset_share_the_memory_of_the_examples():
    """Oracle: the addresses of the first pixel."""
    examples = numbered(10)
    assert drawn(batches(examples[4:6], 9)) == [[4, 5]]
    assert examples.subset(3).images.data_ptr() == examples.images.data_ptr()
    assert len(examples.subset(10)) == 10


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (11, ValueError), ("3", TypeError), (True, TypeError)]
)
def test_a_subset_of_an_impossible_size_is_refused(n, error):
    """Oracle: ten examples."""
    with pytest.raises(error, match="n must be"):
        numbered(10).subset(n)


@pytest.mark.parametrize(("part", "error"), [(3, TypeError), (slice(5, 5), ValueError)])
def test_a_part_that_is_no_slice_or_empty_is_refused(part, error):
    """Oracle: an index and an empty slice."""
    with pytest.raises(error):
        numbered(10)[part]


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


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        (("images", 2, None), TypeError, "examples"),
        ((numbered(4), 0, None), ValueError, "batch_size"),
        ((numbered(4), 2.0, None), TypeError, "batch_size"),
        ((numbered(4), 2, -1), ValueError, "seed"),
        ((numbered(4), 2, "7"), TypeError, "seed"),
    ],
)
def test_impossible_batches_are_refused_before_the_first(arguments, error, name):
    """Oracle: the words of the message."""
    examples, batch_size, seed = arguments
    with pytest.raises(error, match=name):
        batches(examples, batch_size, seed=seed)
