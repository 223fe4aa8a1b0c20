"""What a network sees in an epoch: images in a new order, mirrored, shifted, partly erased."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checked import checked
from reference_impl.data import Examples, Seed, batches
from reference_impl.training.recipe import BaseRecipe

Images = Float[Tensor, "n 1 height width"]

SHIFT = 2  #: augmentation moves an image by up to this many pixels in each direction
ERASED = (4, 14)  #: the shortest and the longest side, in pixels, of an erased rectangle


@checked
def augment(images: Images, generator: torch.Generator) -> Images:
    """Mirror each image with probability ½ and shift it by up to ±2 pixels, black flowing in."""
    n, _, height, width = images.shape
    down, right = torch.randint(2 * SHIFT + 1, (2, n, 1), generator=generator)
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    rows, columns = down + torch.arange(height), torch.arange(width)
    columns = right + torch.where(mirrored, columns.flip(0), columns)
    places = torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]
    return F.pad(images, (SHIFT,) * 4)[places].unsqueeze(1)


@checked
def distort(images: Images, generator: torch.Generator) -> Images:
    """Turn, stretch, slant and shift each image a little: changes that a digit survives.

    By up to ±10° about the centre, ±8 % in each direction, a slant of ±0.12 and ±1.5 pixels, all
    uniformly; values between pixels are bilinear, black flows in, and the result is rounded to 255
    levels.

    References: Simard et al. (2003), Best practices for convolutional neural networks.
    """
    n = len(images)
    drawn = torch.rand(6, n, generator=generator) * 2 - 1
    angle, slant = drawn[0] * math.radians(10), drawn[3] * 0.12
    wide, high = 1 + 0.08 * drawn[1:3]
    across, down = 3 * drawn[4:] / images.shape[-1]  # 1.5 pixels, of a side of length 2
    first = torch.stack([wide * angle.cos(), slant - wide * angle.sin(), across], dim=1)
    second = torch.stack([high * angle.sin(), high * angle.cos(), down], dim=1)
    grid = F.affine_grid(
        torch.stack([first, second], dim=1), list(images.shape), align_corners=False
    )
    return (F.grid_sample(images, grid, align_corners=False) * 255).round() / 255


@checked
def erase(images: Images, generator: torch.Generator) -> Images:
    """Overwrite with probability ½ a random rectangle of each image with noise from [0, 1).

    Its sides are drawn from `ERASED`, up to the size of the image, and its place uniformly from
    all places where it fits.

    References: Zhong et al. (2020), Random erasing data augmentation.
    """
    n, _, height, width = images.shape
    down = _stripes(n, height, generator)
    across = _stripes(n, width, generator)
    chosen = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    hole = chosen & down[:, None, :, None] & across[:, None, None, :]
    return torch.where(hole, torch.rand(images.shape, generator=generator), images)


def _stripes(n: int, size: int, generator: torch.Generator) -> Bool[Tensor, "n size"]:
    """Return n random intervals within ``size`` positions, as masks."""
    shortest, longest = (min(side, size) for side in ERASED)
    side = torch.randint(shortest, longest + 1, (n, 1), generator=generator)
    start = (torch.rand(n, 1, generator=generator) * (size - side + 1)).floor()
    place = torch.arange(size)
    return (place >= start) & (place < start + side)


@checked
def epoch_seeds(seed: Seed, epoch: Seed) -> tuple[int, int]:
    """Return independent seeds for the order and for the augmentation of one epoch."""
    order, chance = np.random.SeedSequence([seed, epoch]).generate_state(2)
    return int(order), int(chance)


@checked
def epoch_batches(
    examples: Examples, recipe: BaseRecipe, epoch: Seed
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches, their order and changes drawn from (seed, epoch) alone."""
    order, chance = epoch_seeds(recipe.seed, epoch)
    generator = torch.Generator().manual_seed(chance)
    for plain, labels in batches(examples, recipe.batch_size, seed=order):
        images = augment(plain, generator) if recipe.augment else plain
        yield (erase(images, generator) if recipe.erase else images), labels
