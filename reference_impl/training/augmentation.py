"""Images that a network sees in training: mirrored, shifted, partly erased."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checks import require_tensor

SHIFT = 2
"""Augmentation moves an image by up to this many pixels in each direction."""

ERASED = (4, 14)
"""The shortest and the longest side, in pixels, of an erased rectangle."""


def augment(
    images: Float[Tensor, "n 1 height width"], generator: torch.Generator
) -> Float[Tensor, "n 1 height width"]:
    """Mirror each image with probability ½ and shift it by up to ±2 pixels, black flowing in.

    Args:
        images: the batch; it is left as it is.
        generator: the only source of chance.

    Raises:
        TypeError: if ``images`` is no tensor.
        ValueError: if it is empty or has another shape.
    """
    _require_grey("images", images)
    n, _, height, width = images.shape
    padded = F.pad(images, (SHIFT,) * 4)
    corner = torch.randint(2 * SHIFT + 1, (2, n, 1), generator=generator)
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    columns = torch.arange(width)
    rows = corner[0] + torch.arange(height)
    columns = corner[1] + torch.where(mirrored, columns.flip(0), columns)
    chosen = padded[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    return chosen.unsqueeze(1)


def erase(
    images: Float[Tensor, "n 1 height width"], generator: torch.Generator
) -> Float[Tensor, "n 1 height width"]:
    """Overwrite with probability ½ a random rectangle of each image with noise from [0, 1).

    The sides are drawn from `ERASED` but end at the image's size, the place uniformly from all
    that fit.

    Args:
        images: the batch; it is left as it is.
        generator: the only source of chance.

    Raises:
        TypeError: if ``images`` is no tensor.
        ValueError: if it is empty or has another shape.

    References:
        Zhong, Zheng, Kang, Li & Yang (2020), Random erasing data augmentation.
    """
    _require_grey("images", images)
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


def _require_grey(name: str, images: Tensor) -> None:
    require_tensor(name, images)
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"{name} must be (n, 1, h, w), got {tuple(images.shape)}")
