"""Test images as they were not in training: noise, blur, contrast, rotation, some classes only.

Each shift of images is a function of a batch (n, 1, height, width) in [0, 1] and stays there.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_int, require_real
from reference_impl.data import CLASS_NAMES, Examples

NOISE, BLUR, CONTRAST, DEGREES = 0.2, 1.0, 0.5, 15.0
"""How far `shifted_sets` goes: σ of the noise, σ of the blur in pixels, f, and an angle."""

CLOTHES = (0, 1, 2, 3, 4, 6)
"""The classes of Fashion-MNIST that are worn on the body: no shoes, no bags."""


def add_noise(
    images: Float[Tensor, "n 1 height width"], *, sigma: float, generator: torch.Generator
) -> Float[Tensor, "n 1 height width"]:
    """Return clip(x + σ ε, 0, 1) with standard normal ε, drawn for each pixel.

    Args:
        images: in [0, 1]; left as they are.
        sigma: σ ≥ 0, in units of white.
        generator: the only source of chance.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``images`` are empty, not in [0, 1] or of another shape, or σ is below 0.
    """
    _require_grey(images)
    sigma = require_real("sigma", sigma, 0, torch.finfo(images.dtype).max)
    require_instance("generator", generator, torch.Generator)
    drawn = torch.randn(images.shape, generator=generator, dtype=images.dtype)
    return (images + sigma * drawn).clamp(0, 1)


def blur(
    images: Float[Tensor, "n 1 height width"], *, sigma: float
) -> Float[Tensor, "n 1 height width"]:
    """Return x convolved with w_k ∝ exp(−k²/(2σ²)), |k| ≤ ⌈3σ⌉, along rows and columns.

    The weights sum to 1; the image is reflected at its edges.

    Args:
        images: left as they are.
        sigma: σ > 0, in pixels.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``images`` are empty, not in [0, 1] or of another shape, σ is not above 0, or
            ⌈3σ⌉ is no less than the image's side.
    """
    _require_grey(images)
    sigma = require_real("sigma", sigma, 0, open_low=True)
    radius = math.ceil(3 * sigma)
    if radius >= min(images.shape[2:]):
        raise ValueError(
            f"sigma must give ⌈3σ⌉ below the image's side {min(images.shape[2:])}, got {sigma}"
        )
    k = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.softmax(-((k / sigma) ** 2) / 2, dim=0).to(images.dtype)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    down = F.conv2d(padded, weights.view(1, 1, -1, 1))
    return F.conv2d(down, weights.view(1, 1, 1, -1)).clamp(0, 1)  # but for rounding it is there


def change_contrast(
    images: Float[Tensor, "n 1 height width"], *, factor: float
) -> Float[Tensor, "n 1 height width"]:
    """Return clip(x̄ + f (x − x̄), 0, 1) with each image's mean x̄; f < 1 makes it dull.

    Args:
        images: left as they are.
        factor: f ≥ 0.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``images`` are empty, not in [0, 1] or of another shape, or f is below 0.
    """
    _require_grey(images)
    factor = require_real("factor", factor, 0, torch.finfo(images.dtype).max)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + factor * (images - mean)).clamp(0, 1)


def rotate(
    images: Float[Tensor, "n 1 height width"], *, degrees: float
) -> Float[Tensor, "n 1 height width"]:
    """Return the images turned about their centre, counter-clockwise, black flowing in.

    The pixel at (x, y) from the centre, y downwards, takes what was at
    (x cos φ − y sin φ, x sin φ + y cos φ), linearly between the four pixels around.

    Args:
        images: left as they are.
        degrees: φ.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``images`` are empty, not in [0, 1] or of another shape, or φ is not finite.
    """
    _require_grey(images)
    phi = math.radians(require_real("degrees", degrees))
    n, _, height, width = images.shape
    y = torch.arange(height, dtype=images.dtype).sub((height - 1) / 2).view(-1, 1)
    x = torch.arange(width, dtype=images.dtype).sub((width - 1) / 2).view(1, -1)
    across = x * math.cos(phi) - y * math.sin(phi)
    down = x * math.sin(phi) + y * math.cos(phi)
    places = torch.stack([across * 2 / width, down * 2 / height], dim=-1)  # from −1 to 1
    turned: Tensor = F.grid_sample(
        images, places.expand(n, -1, -1, -1), mode="bilinear", align_corners=False
    )
    return turned.clamp(0, 1)


def only_classes(examples: Examples, classes: Iterable[int]) -> Examples:
    """Return the examples whose label is one of ``classes``, in their order.

    Raises:
        TypeError: if ``examples`` are no `Examples`, ``classes`` no iterable of integers.
        ValueError: if a class does not exist, or no example is of any.
    """
    require_instance("examples", examples, Examples)
    require_instance("classes", classes, Iterable)
    wanted = [require_int("classes", label, 0, len(CLASS_NAMES) - 1) for label in classes]
    keep = torch.isin(examples.labels, torch.tensor(wanted, dtype=torch.int64))
    if not keep.any():
        raise ValueError(f"classes must be those of some example, got {wanted}")
    return Examples(examples.images[keep], examples.labels[keep])


def shifted_sets(examples: Examples, *, seed: int) -> Mapping[str, Examples]:
    """Return the examples under each of five shifts, by its name.

    Args:
        examples: left as they are.
        seed: of the noise.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``seed`` is negative, or no example shows `CLOTHES`.
    """
    require_instance("examples", examples, Examples)
    draws = torch.Generator().manual_seed(require_int("seed", seed, 0, 2**63 - 1))
    images = examples.images
    moved = {
        "noise": add_noise(images, sigma=NOISE, generator=draws),
        "blur": blur(images, sigma=BLUR),
        "contrast": change_contrast(images, factor=CONTRAST),
        "rotation": rotate(images, degrees=DEGREES),
    }
    sets = {name: Examples(those, examples.labels) for name, those in moved.items()}
    return MappingProxyType(sets | {"classes": only_classes(examples, CLOTHES)})


def _require_grey(images: Tensor) -> None:
    require_float_tensor("images", images)
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"images must be (n, 1, h, w), got {tuple(images.shape)}")
    low, high = (end.item() for end in images.detach().aminmax())
    if low < 0 or high > 1:
        raise ValueError(f"images must be in [0, 1], got {low} to {high}")
