"""Blocks of convolution, BatchNorm and ReLU: a wide teacher and a narrow student."""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Self

from torch import nn

from reference_impl.checked import Count, checked
from reference_impl.models.base import FIXED, N_CLASSES, Axis, Network, conv_axes, layer_axes


def _axes(n_layers: int) -> Mapping[str, tuple[Axis, ...]]:
    """Return the axes of ``n_layers`` blocks of convolution and BatchNorm, and of the head."""
    channels = [FIXED, *(Axis(f"conv{i + 1}") for i in range(n_layers))]
    axes: dict[str, tuple[Axis, ...]] = {}
    for i, (below, above) in enumerate(pairwise(channels)):
        axes |= conv_axes(f"convs.{i}", f"norms.{i}", above, below)
    return MappingProxyType(axes | layer_axes("head", FIXED, above))


class _ConvNetwork(Network):
    """Blocks of 3×3 convolution, BatchNorm, ReLU, max-pooling except in the last; mean; head.

    The convolutions have no bias, BatchNorm's shift takes its place.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = {f"conv{i}": width for i, width in enumerate(channels, start=1)}
        self.convs = nn.ModuleList(
            nn.Conv2d(below, above, 3, padding=1, bias=False)
            for below, above in pairwise((1, *channels))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in channels)
        self.head = nn.Linear(channels[-1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[f"conv{i + 1}"] for i in range(len(widths))))

    def _layers(self) -> dict[str, nn.Module]:
        layers: dict[str, nn.Module] = {}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), start=1):
            layers |= {f"conv{i}": conv, f"norm{i}": norm, f"relu{i}": nn.ReLU()}
            if i < len(self.convs):
                layers[f"pool{i}"] = nn.MaxPool2d(2)
        mean = nn.AdaptiveAvgPool2d(1)
        return layers | {"mean": mean, "flatten": nn.Flatten(), "head": self.head}


@checked
class ConvTeacher(_ConvNetwork):
    """Four blocks of 3×3 convolution, BatchNorm and ReLU, pooled in between; mean; linear head.

    Args:
        channels: of the four convolutions, at 28², 14², 7² and 3² positions.

    >>> sum(p.numel() for p in ConvTeacher().parameters())
    390890
    """

    axes = _axes(4)

    def __init__(self, channels: tuple[Count, Count, Count, Count] = (32, 64, 128, 256)) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__(channels)


@checked
class ConvStudent(_ConvNetwork):
    """`ConvTeacher` with three narrow blocks: 62 times fewer parameters.

    >>> sum(p.numel() for p in ConvStudent().parameters())
    6274
    """

    axes = _axes(3)

    def __init__(self, channels: tuple[Count, Count, Count] = (8, 16, 32)) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__(channels)
