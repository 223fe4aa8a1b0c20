"""Shifts of images against torchvision's transforms, and by hand."""

import math

import pytest
import torch
import torchvision.transforms.functional as TF
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

IMAGES = torch.rand(5, 1, 20, 28, generator=torch.Generator().manual_seed(0))
EXAMPLES = Examples(
    torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 10
)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
def test_blur_is_torchvisions(sigma):
    """Oracle: torchvision's `gaussian_blur` with a kernel of 2 ⌈3σ⌉ + 1 pixels."""
    size = 2 * math.ceil(3 * sigma) + 1
    expected = TF.gaussian_blur(IMAGES, [size, size], [sigma, sigma])
    torch.testing.assert_close(blur(IMAGES, sigma=sigma), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 3.0])
def test_contrast_is_torchvisions(factor):
    """Oracle: torchvision's `adjust_contrast`, about each image's own mean."""
    expected = torch.stack([TF.adjust_contrast(image, factor) for image in IMAGES])
    torch.testing.assert_close(change_contrast(IMAGES, factor=factor), expected)


@pytest.mark.parametrize("degrees", [0.0, 15.0, -40.0, 90.0, 180.0])
def test_rotation_is_torchvisions(degrees):
    """Oracle: torchvision's `rotate`, bilinear, black outside; images need not be square."""
    expected = TF.rotate(IMAGES, degrees, interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(rotate(IMAGES, degrees=degrees), expected, atol=1e-4, rtol=0)


def test_a_quarter_turn_is_counter_clockwise():
    """Oracle: `torch.rot90`."""
    square = IMAGES[..., :20]
    expected = square.rot90(1, (2, 3))
    torch.testing.assert_close(rotate(square, degrees=90), expected, atol=1e-5, rtol=0)


def test_noise_has_its_deviation_and_is_clipped():
    """Oracle: the deviation of a grey image, where little is clipped; the same seed, the same."""
    grey = torch.full((4, 1, 100, 100), 0.5)
    noisy = add_noise(grey, sigma=0.1, generator=draws())
    assert (noisy - grey).std().item() == pytest.approx(0.1, rel=0.02)
    assert (noisy - grey).mean().item() == pytest.approx(0, abs=0.002)
    assert torch.equal(noisy, add_noise(grey, sigma=0.1, generator=draws()))
    wild = add_noise(grey, sigma=5, generator=draws())
    assert (wild.min(), wild.max()) == (0, 1)


def test_no_shift_changes_its_images():
    """Oracle: the images before; and no shift is none."""
    before = IMAGES.clone()
    same = [
        add_noise(IMAGES, sigma=0, generator=draws()),
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


def test_a_blur_of_next_to_nothing_blurs_nothing():
    """Oracle: the image; σ² is 0 in floating point."""
    assert torch.equal(blur(IMAGES, sigma=1e-200), IMAGES)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: blur(IMAGES, sigma=0), ValueError, "sigma must be above 0, got 0"),
        (lambda: blur(IMAGES, sigma=7), ValueError, "below the image's side 20, got 7"),
        (lambda: blur(IMAGES[0], sigma=1), ValueError, r"images must be \(n, 1, height, width\)"),
        (lambda: add_noise(IMAGES, sigma=1, generator=0), TypeError, "generator must be Generator"),
        (lambda: change_contrast(IMAGES[:0], factor=1), ValueError, "images must not be empty"),
        (lambda: rotate(IMAGES, degrees=math.inf), ValueError, "degrees must be finite"),
        (lambda: rotate(IMAGES * math.nan, degrees=1), ValueError, "images must be finite"),
        (
            lambda: rotate(IMAGES * 2, degrees=1),
            ValueError,
            r"images must be in \[0, 1\], got 1.99",
        ),
        (lambda: only_classes(EXAMPLES, 1), TypeError, "classes must be Sequence, got int 1"),
        (lambda: only_classes(EXAMPLES, [10]), ValueError, r"classes\[0\] must be in \[0, 9\]"),
        (lambda: only_classes(EXAMPLES, []), ValueError, "those of some example"),
        (lambda: only_classes(EXAMPLES[:2], [7]), ValueError, "those of some example"),
        (lambda: shifted_sets(EXAMPLES, seed=-1), ValueError, "seed must be in"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the messages."""
    with pytest.raises(error, match=message):
        call()
