"""Shifts of images against SciPy, torchvision, NumPy and by hand."""

import math
from functools import partial

import contracts
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from draws import generator
from scipy.ndimage import gaussian_filter1d
from torchvision.transforms import InterpolationMode

from reference_impl.data import Examples
from reference_impl.shifts import (
    CLOTHES,
    add_noise,
    blur,
    change_contrast,
    only_classes,
    rotate,
    shifted_sets,
)

IMAGES = torch.rand(5, 1, 20, 28, generator=generator(0))
EXAMPLES = Examples(torch.rand(12, 1, 28, 28, generator=generator(1)), torch.arange(12) % 10)


@pytest.mark.parametrize("sigma", [1e-3, 0.4, 1.0, 2.5])
def test_blur_is_scipys(sigma):
    """Oracle: SciPy's Gaussian filter to ⌈3σ⌉ pixels, mirrored; next to nothing blurs nothing."""
    expected = IMAGES.double().numpy()
    for axis in (2, 3):
        expected = gaussian_filter1d(
            expected, sigma, axis=axis, mode="mirror", radius=math.ceil(3 * sigma)
        )
    found = blur(IMAGES, sigma=sigma).double()
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_contrast_is_about_each_images_own_mean(factor):
    """Oracle: the formula in NumPy's float64, image by image."""
    found = change_contrast(IMAGES, factor=factor)
    for image, shifted in zip(IMAGES.double().numpy(), found, strict=True):
        expected = np.clip(image.mean() + factor * (image - image.mean()), 0, 1)
        np.testing.assert_allclose(shifted.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 15.0, -40.0, 90.0, 180.0])
def test_rotation_is_torchvisions_counter_clockwise(degrees):
    """Oracle: torchvision's `rotate`, bilinear, black outside, also of images that are not square.

    A quarter turn is that of `torch.rot90`.
    """
    expected = TF.rotate(IMAGES, degrees, interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(rotate(IMAGES, degrees=degrees), expected, atol=1e-4, rtol=0)
    if degrees == 90:
        square = IMAGES[..., :20]
        found = rotate(square, degrees=degrees)
        torch.testing.assert_close(found, square.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_noise_has_its_deviation_and_is_clipped():
    """Oracle: the deviation of a grey image, where little is clipped; the same seed, the same."""
    grey = torch.full((4, 1, 100, 100), 0.5)
    noisy = add_noise(grey, sigma=0.1, generator=generator())
    assert (noisy - grey).std().item() == pytest.approx(0.1, rel=0.02)
    assert (noisy - grey).mean().item() == pytest.approx(0, abs=0.002)
    assert torch.equal(noisy, add_noise(grey, sigma=0.1, generator=generator()))
    wild = add_noise(grey, sigma=5, generator=generator())
    assert (wild.min(), wild.max()) == (0, 1)


def test_no_shift_changes_its_images():
    """Oracle: the images before; and no shift is none."""
    before = IMAGES.clone()
    same = [
        add_noise(IMAGES, sigma=0, generator=generator()),
        change_contrast(IMAGES, factor=1),
        rotate(IMAGES, degrees=0),
    ]
    blur(IMAGES, sigma=1)
    for shifted in same:
        torch.testing.assert_close(shifted, before, atol=1e-5, rtol=0)
    assert torch.equal(IMAGES, before)


def test_a_class_subset_is_in_order():
    """Oracle: a list of Python."""
    few = only_classes(EXAMPLES, [1, 7])
    assert few.labels.tolist() == [1, 7, 1]
    assert torch.equal(few.images, EXAMPLES.images[[1, 7, 11]])


def test_five_sets_keep_labels_and_range():
    """Oracle: the labels; `Examples` itself refuses a pixel outside [0, 1]."""
    sets = shifted_sets(EXAMPLES, seed=3)
    assert list(sets) == ["noise", "blur", "contrast", "rotation", "classes"]
    for name in list(sets)[:4]:
        assert torch.equal(sets[name].labels, EXAMPLES.labels)
        assert not torch.allclose(sets[name].images, EXAMPLES.images, atol=0.05)
    assert set(sets["classes"].labels.tolist()) == set(CLOTHES)
    assert torch.equal(sets["noise"].images, shifted_sets(EXAMPLES, seed=3)["noise"].images)
    assert not torch.equal(sets["noise"].images, shifted_sets(EXAMPLES, seed=4)["noise"].images)


CALLS = [
    partial(add_noise, images=IMAGES, sigma=0.1, generator=generator()),
    partial(blur, images=IMAGES, sigma=1.0),
    partial(change_contrast, images=IMAGES, factor=0.5),
    partial(rotate, images=IMAGES, degrees=15.0),
    partial(only_classes, examples=EXAMPLES, classes=[1, 7]),
    partial(shifted_sets, examples=EXAMPLES, seed=0),
]


@pytest.mark.parametrize("call", CALLS, ids=contracts.name)
def test_each_argument_made_wrong_is_refused_by_its_name(call):
    """Oracle: the annotations, read by `contracts`."""
    assert contracts.unrefused(call) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: blur(IMAGES, sigma=7), "below the image's side 20, got 7"),
        (lambda: only_classes(EXAMPLES, []), "those of some example"),
        (lambda: only_classes(EXAMPLES[:2], [7]), "those of some example"),
    ],
)
def test_what_leaves_no_image_is_refused(call, message):
    """Oracle: the messages."""
    with pytest.raises(ValueError, match=message):
        call()
