"""Test images as they were not in training: noise, blur, contrast, rotation, some classes only.

Each shift of images is a function of a batch (n, 1, height, width) in [0, 1] and stays there. The
images that are given are left as they are.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms.functional import adjust_contrast, gaussian_blur

from reference_impl.checked import NonNegative, Within, checked
from reference_impl.data import Examples, Seed
from reference_impl.folders import CLASS_NAMES

NOISE, BLUR, CONTRAST, DEGREES = 0.2, 1.0, 0.5, 15.0
"""How far `shifted_sets` goes: σ of the noise, σ of the blur in pixels, f, and an angle."""

CLOTHES = (0, 1, 2, 3, 4, 6)
"""The classes of Fashion-MNIST that are worn on the body: no shoes, no bags."""

Images = Annotated[Float[Tensor, "n 1 height width"], Within(0, 1)]
Label = Annotated[int, Within(0, len(CLASS_NAMES) - 1)]


@checked
def add_noise(images: Images, *, sigma: NonNegative, generator: torch.Generator) -> Images:
    """Return clip(x + σ ε, 0, 1) with standard normal ε, drawn for each pixel; σ in units of white.

    ``generator`` is the only source of chance.
    """
    epsilon = torch.randn(images.shape, generator=generator, dtype=images.dtype)
    return (images + sigma * epsilon).clamp(0, 1)


@checked
def blur(images: Images, *, sigma: Annotated[float, Within(1e-3)]) -> Images:
    """Return x convolved with w_k ∝ exp(−k²/(2σ²)), |k| ≤ ⌈3σ⌉, along rows and columns.

    σ is in pixels. The weights sum to 1; the image is reflected at its edges.

    Raises:
        ValueError: if ⌈3σ⌉ is not below the image's side.
    """
    radius = math.ceil(3 * sigma)
    if radius >= min(images.shape[2:]):
        raise ValueError(
            f"sigma must give ⌈3σ⌉ below the image's side {min(images.shape[2:])}, got {sigma}"
        )
    size = [2 * radius + 1] * 2
    blurred = gaussian_blur(images, size, [sigma, sigma])
    return blurred.clamp(0, 1)  # rounding may leave [0, 1]


@checked
def change_contrast(images: Images, *, factor: NonNegative) -> Images:
    """Return clip(x̄ + f (x − x̄), 0, 1) with each image's mean x̄; f < 1 makes it dull."""
    return adjust_contrast(images, factor)


@checked
def rotate(images: Images, *, degrees: float) -> Images:
    """Return the images turned about their centre by φ, counter-clockwise, black flowing in.

    The pixel at (x, y) from the centre, y downwards, takes what was at
    (x cos φ − y sin φ, x sin φ + y cos φ), linearly between the four pixels around.
    """
    phi = math.radians(degrees)
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


@checked
def only_classes(examples: Examples, classes: Sequence[Label]) -> Examples:
    """Return the examples whose label is one of ``classes``, in their order.

    Raises:
        ValueError: if no example is of any of these classes.
    """
    keep = torch.isin(examples.labels, torch.tensor(classes, dtype=torch.int64))
    if not keep.any():
        raise ValueError(f"classes must be those of some example, got {classes}")
    return Examples(examples.images[keep], examples.labels[keep])


@checked
def shifted_sets(examples: Examples, *, seed: Seed) -> Mapping[str, Examples]:
    """Return the examples under each of five shifts, by its name; the seed is that of the noise."""
    images, generator = examples.images, torch.Generator().manual_seed(seed)
    moved = {
        "noise": add_noise(images, sigma=NOISE, generator=generator),
        "blur": blur(images, sigma=BLUR),
        "contrast": change_contrast(images, factor=CONTRAST),
        "rotation": rotate(images, degrees=DEGREES),
    }
    sets = {name: Examples(those, examples.labels) for name, those in moved.items()}
    return MappingProxyType(sets | {"classes": only_classes(examples, CLOTHES)})
