"""Blocks of convolution, BatchNorm and ReLU: a wide teacher and a narrow student."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Self

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.models.base import (
    FIXED,
    IMAGE_SHAPE,
    N_CLASSES,
    Axis,
    Network,
    norm_axes,
    require_images,
    require_widths,
)


def _conv_axes(n_layers: int) -> Mapping[str, tuple[Axis, ...]]:
    """Return the axes of ``n_layers`` blocks of convolution and BatchNorm, and of the head."""
    axes: dict[str, tuple[Axis, ...]] = {}
    below = FIXED
    for i in range(n_layers):
        channels = Axis(f"conv{i + 1}")
        axes[f"convs.{i}.weight"] = (channels, below, FIXED, FIXED)
        axes |= norm_axes(f"norms.{i}", channels)
        below = channels
    return MappingProxyType(axes | {"head.weight": (FIXED, below), "head.bias": (FIXED,)})


class _ConvNetwork(Network):
    """Blocks of 3×3 convolution, BatchNorm, ReLU, max-pooling (but the last); mean; linear head.

    The convolutions have no bias, BatchNorm's shift takes its place.
    """

    n_layers: ClassVar[int]

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        require_widths("channels", channels, self.n_layers)
        self._set_widths(**{f"conv{i + 1}": width for i, width in enumerate(channels)})
        inputs = (IMAGE_SHAPE[0], *channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(below, above, 3, padding=1, bias=False)
            for below, above in zip(inputs, channels, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels)
        self.head = nn.Linear(channels[-1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[f"conv{i + 1}"] for i in range(len(widths))))

    def _layers(self) -> Mapping[str, nn.Module]:
        layers: dict[str, nn.Module] = {}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), start=1):
            layers |= {f"conv{i}": conv, f"norm{i}": norm, f"relu{i}": nn.ReLU()}
            if i < self.n_layers:
                layers[f"pool{i}"] = nn.MaxPool2d(2)
        mean = nn.AdaptiveAvgPool2d(1)
        return layers | {"mean": mean, "flatten": nn.Flatten(), "head": self.head}

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        require_images(images)
        h = images
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            h = F.relu(norm(conv(h if i == 0 else F.max_pool2d(h, 2))))
        logits: Tensor = self.head(h.mean(dim=(2, 3)))
        return logits


class ConvTeacher(_ConvNetwork):
    """Four blocks of 3×3 convolution, BatchNorm and ReLU, pooled in between; mean; linear head.

    Args:
        channels: of the four convolutions, at 28², 14², 7² and 3² positions; the default gives
            390,890 parameters.

    >>> sum(p.numel() for p in ConvTeacher().parameters())
    390890
    """

    n_layers = 4
    axes = _conv_axes(n_layers)

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__(channels)


class ConvStudent(_ConvNetwork):
    """`ConvTeacher` with three narrow blocks: 6,274 parameters, 62 times fewer.

    Args:
        channels: of the three convolutions, at 28², 14² and 7² positions.

    >>> sum(p.numel() for p in ConvStudent().parameters())
    6274
    """

    n_layers = 3
    axes = _conv_axes(n_layers)

    def __init__(self, channels: tuple[int, ...] = (8, 16, 32)) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__(channels)
