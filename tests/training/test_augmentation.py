"""Augmentation against brute force; what an epoch shows against counts."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reference_impl.data import Examples
from reference_impl.training import Recipe, augment, distort, erase
from reference_impl.training.augmentation import epoch_batches, epoch_seeds


def variants(image: torch.Tensor) -> dict[bytes, tuple[int, int, bool]]:
    """Return every image that augmentation may make of one, by rolling a padded copy."""
    found = {}
    for down, right, mirrored in product(range(-2, 3), range(-2, 3), (False, True)):
        padded = F.pad(image.flip(-1) if mirrored else image, (2, 2, 2, 2))
        moved = padded.roll((down, right), dims=(-2, -1))[..., 2:-2, 2:-2]
        found[moved.contiguous().numpy().tobytes()] = (down, right, mirrored)
    return found


def test_augmentation_makes_all_fifty_variants_equally_often_and_no_other():
    """Oracle: rolling and flipping one image by brute force; 6 deviations of a count."""
    image = torch.rand(1, 6, 5, generator=torch.Generator().manual_seed(0))
    possible = variants(image)
    n = 5000
    images = augment(image.expand(n, 1, 6, 5), torch.Generator().manual_seed(1))
    counts = dict.fromkeys(possible.values(), 0)
    for made in images:
        counts[possible[made.numpy().tobytes()]] += 1
    assert len(counts) == 50
    deviation = math.sqrt(n * (1 / 50) * (49 / 50))
    assert max(abs(count - n / 50) for count in counts.values()) < 6 * deviation


@pytest.mark.parametrize("change", [augment, distort, erase])
def test_a_change_depends_on_the_generator_alone_and_leaves_the_images(change):
    """Oracle: the same seed twice, another seed, a copy made before."""
    images = torch.rand(9, 1, 28, 28)
    copy = images.clone()
    first, again, other = (change(images, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, copy)


def hole(image: torch.Tensor) -> tuple[int, int] | None:
    """Return the sides of the rectangle of an image of minus ones that was overwritten."""
    changed = (image != -1).nonzero()
    if len(changed) == 0:
        return None
    down, across = (changed.amax(dim=0) - changed.amin(dim=0) + 1).tolist()
    assert len(changed) == down * across  # one rectangle, without gaps
    return down, across


def test_erasing_fills_one_rectangle_of_half_of_the_images_with_noise_anywhere():
    """Oracle: bounding boxes; uniform noise has mean ½; 6 deviations of a binomial count."""
    n = 2000
    images = erase(-torch.ones(n, 1, 28, 28), torch.Generator().manual_seed(0))
    holes = [found for image in images if (found := hole(image[0]))]
    assert abs(len(holes) - n / 2) < 6 * math.sqrt(n / 4)
    assert {side for sides in holes for side in sides} == set(range(4, 15))
    noise = images[images >= 0]
    assert noise.max() < 1
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (images != -1).any(dim=0).all(), "a pixel is never erased"


def test_an_image_smaller_than_the_longest_side_can_be_erased():
    """Oracle: a rectangle that fits 5×3 pixels."""
    images = erase(-torch.ones(200, 1, 5, 3), torch.Generator().manual_seed(0))
    holes = {found for image in images if (found := hole(image[0]))}
    assert holes == {(4, 3), (5, 3)}


def numbered(n: int) -> Examples:
    """Return examples whose brightness is their number, so that a batch shows its order."""
    images = torch.arange(n).view(n, 1, 1, 1) / n * torch.ones(1, 1, 8, 8)
    return Examples(images, torch.arange(n) % 10)


def shown(recipe: Recipe, epoch: int) -> torch.Tensor:
    return torch.cat([images for images, _ in epoch_batches(numbered(50), recipe, epoch)])


def test_an_epoch_shows_each_example_once_in_an_order_of_its_seed_and_its_number():
    """Oracle: the sorted numbers; equality and difference of orders."""
    recipe, other = (Recipe("lenet300", epochs=2, batch_size=8, seed=seed) for seed in (1, 2))
    orders = [shown(recipe, 0), shown(recipe, 1), shown(other, 0), shown(other, 1)]
    numbers = [(order[:, 0, 0, 0] * 50).round().int().tolist() for order in orders]
    assert all(sorted(order) == list(range(50)) for order in numbers)
    assert len({tuple(order) for order in numbers}) == 4
    assert torch.equal(shown(recipe, 1), orders[1])


def test_an_epoch_is_augmented_then_erased():
    """Oracle: `augment`, then `erase`, of the batches of the plain recipe, by one generator."""
    plain = Recipe("lenet300", epochs=1, batch_size=8, seed=3)
    generator = torch.Generator().manual_seed(epoch_seeds(3, 4)[1])
    seen, found = (
        [images for images, _ in epoch_batches(numbered(50), recipe, 4)]
        for recipe in (plain, replace(plain, augment=True, erase=True))
    )
    for images, changed in zip(seen, found, strict=True):
        assert torch.equal(changed, erase(augment(images, generator), generator))


def test_seeds_of_an_epoch_are_those_of_numpy():
    """Oracle: numpy's SeedSequence, whose first word does not depend on how many are drawn."""
    order, chance = epoch_seeds(5, 7)
    sequence = np.random.SeedSequence([5, 7])
    assert order == sequence.generate_state(1)[0]
    assert chance == sequence.generate_state(3)[1]


def test_a_distorted_image_is_turned_stretched_and_shifted_a_little():
    """Oracle: where a bright spot may land, turned, stretched, slanted and shifted."""
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 13:15, 20:22] = 1.0  # 7 pixels right of the centre
    found = distort(image.expand(500, 1, 28, 28).clone(), torch.Generator().manual_seed(1))
    mass = found.sum((2, 3))
    middle = torch.arange(28) - 13.5
    across = ((found.sum(2) * middle).sum(-1) / mass).squeeze(1)
    down = ((found.sum(3) * middle).sum(-1) / mass).squeeze(1)
    assert torch.equal((found * 255).round() / 255, found)
    assert (across - 7).abs().max() < 7 * 0.09 + 7 * (1 - 0.98) + 2
    assert down.abs().max() < 7 * 0.19 + 7 * 0.12 + 2
    assert across.mean() == pytest.approx(7, abs=0.15)
    assert down.mean() == pytest.approx(0, abs=0.15)
    assert across.std() > 0.5
    assert down.std() > 0.5
