"""reference_impl.folders, and what `load_dataset` makes of an instructor's folder."""

import gzip
import hashlib

import numpy as np
import pytest
import torch
from idx_files import write_folder, write_idx
from PIL import Image

from reference_impl import folders
from reference_impl.data import load_dataset
from reference_impl.folders import CLASS_NAMES, FASHION_MNIST, data_folder, data_identity


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a course with one data set, `mine`, in its folder `data`."""
    monkeypatch.setattr(folders, "ROOT", tmp_path)
    write_folder(tmp_path / "data" / "mine", n_train=60, n_test=20)
    return tmp_path


def test_a_data_set_is_found_by_its_name_and_by_its_path(root, monkeypatch):
    """Oracle: the folder that was made; a folder elsewhere; the message with what was given."""
    mine = root / "data" / "mine"
    assert data_folder("mine") == data_folder(mine) == mine
    monkeypatch.chdir(root)
    assert data_folder("data/mine").resolve() == mine
    assert data_folder() == FASHION_MNIST
    with pytest.raises(FileNotFoundError, match=r"yours: neither a folder below .*data nor a path"):
        data_folder("yours")


def test_the_sum_of_a_data_set_is_that_of_its_list_of_sums(root):
    """Oracle: the SHA-256 of the shipped list, made by sha256sum; it changes with one image."""
    listed = hashlib.sha256((FASHION_MNIST / "SHA256SUMS").read_bytes()).hexdigest()
    assert data_identity() == {"name": "FashionMNIST", "sha256": listed}
    before = data_identity("mine")
    assert before["name"] == "mine"
    write_idx(root / "data/mine/t10k-images-idx3-ubyte.gz", np.zeros((20, 28, 28)))
    assert data_identity("mine")["sha256"] != before["sha256"]


def test_files_that_are_not_gzipped_are_read_as_well(root):
    """Oracle: the same data set, gzipped."""
    packed = load_dataset("mine")
    for file in (root / "data/mine").glob("*.gz"):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    plain = load_dataset("mine")
    for part in ("train", "validation", "test"):
        one, other = getattr(packed, part), getattr(plain, part)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_a_small_data_set_gives_a_sixth_of_its_images_to_validate(root):
    """Oracle: 60 / 6; 12 / 6; the one that must be left of two."""
    assert len(load_dataset("mine").validation) == 10
    for n, expected in ((12, 2), (2, 1)):
        write_folder(root / "data/few", n_train=n, n_test=5)
        assert len(load_dataset("few").validation) == expected


def test_classes_have_the_names_of_the_file_or_numbers(root):
    """Oracle: the lines that are written; labels without a name keep their number."""
    assert load_dataset().classes == CLASS_NAMES
    assert load_dataset("mine").classes == tuple("0123456789")
    mine = root / "data" / "mine"
    (mine / "classes.txt").write_text("\n".join(["nought", "éin", *"23456789"]) + "\n\n", "utf-8")
    assert load_dataset("mine").classes == ("nought", "éin", *"23456789")
    for split, n in (("train", 60), ("t10k", 20)):
        write_idx(mine / f"{split}-labels-idx1-ubyte.gz", np.arange(n) % 2)
    (mine / "classes.txt").write_text("cat\r\ndog\r\n", "utf-8")
    assert load_dataset("mine").classes == ("cat", "dog", *"23456789")


def test_colour_images_become_grey_and_lose_their_borders(root):
    """Oracle: Pillow's conversion to grey of the 28 pixels in the middle; a level for rounding."""
    chance = np.random.default_rng(0)
    for split, n in (("train", 60), ("t10k", 20)):
        (root / f"data/mine/{split}-images-idx3-ubyte.gz").unlink()
        colours = chance.integers(0, 256, (n, 3, 32, 40)).astype(np.uint8)
        write_idx(root / f"data/mine/{split}-images-idx4-ubyte.gz", colours)
    middle = colours[:, :, 2:30, 6:34].transpose(0, 2, 3, 1)
    expected = [np.asarray(Image.fromarray(one).convert("L"), dtype=float) for one in middle]
    found = load_dataset("mine").test.images[:, 0].numpy() * 255
    assert np.abs(found - np.stack(expected)).max() <= 1.001
    assert np.abs(found - np.rint(found)).max() < 1e-4


@pytest.mark.parametrize("shape", [(20, 4, 32, 32), (20, 3, 27, 32), (20, 32, 32, 3)])
def test_colour_images_of_another_shape_are_refused(root, shape):
    """Oracle: four channels; too few rows; channels on the last axis."""
    (root / "data/mine/t10k-images-idx3-ubyte.gz").unlink()
    write_idx(root / "data/mine/t10k-images-idx4-ubyte.gz", np.zeros(shape))
    with pytest.raises(ValueError, match=r"t10k-images-idx4.* expected \(3, 28 or more"):
        load_dataset("mine")


@pytest.mark.parametrize(
    ("names", "labels", "found"),
    [
        ("cat\ndog\n", np.full(60, 2), "train-labels.*found a label 2, expected 0 … 1"),
        ("cat\n", np.zeros(60), "classes.txt: found 1 names, expected 2 to 10"),
        ("a\n" * 11, np.zeros(60), "classes.txt: found 11 names, expected 2 to 10"),
    ],
)
def test_labels_beyond_the_names_and_names_beyond_the_networks_are_refused(
    root, names, labels, found
):
    """Oracle: hand-made files, each wrong in one way."""
    (root / "data/mine/classes.txt").write_text(names, "utf-8")
    write_idx(root / "data/mine/train-labels-idx1-ubyte.gz", labels)
    with pytest.raises(ValueError, match=found):
        load_dataset("mine")
