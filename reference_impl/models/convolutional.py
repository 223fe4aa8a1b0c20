"""Blocks of convolution, BatchNorm and ReLU: a wide teacher and a narrow student."""

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Self

from torch import nn

from reference_impl.checked import Count, checked
from reference_impl.models.base import N_CLASSES, Network


class _ConvNetwork(Network):
    """Blocks of 3×3 convolution, BatchNorm, ReLU, max-pooling except in the last; mean; head.

    The convolutions have no bias, BatchNorm's shift takes its place.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        for i, (below, above) in enumerate(pairwise((1, *channels)), start=1):
            layers[f"conv{i}"] = nn.Conv2d(below, above, 3, padding=1, bias=False)
            layers |= {f"norm{i}": nn.BatchNorm2d(above), f"relu{i}": nn.ReLU()}
            if i < len(channels):
                layers[f"pool{i}"] = nn.MaxPool2d(2)
        layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        self._run_in_order(layers | {"head": nn.Linear(channels[-1], N_CLASSES)})

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[f"conv{i + 1}"] for i in range(len(widths))))


@checked
class ConvTeacher(_ConvNetwork):
    """Four blocks of 3×3 convolution, BatchNorm and ReLU, pooled in between; mean; linear head.

    Args:
        channels: of the four convolutions, at 28², 14², 7² and 3² positions.

    >>> sum(p.numel() for p in ConvTeacher().parameters())
    390890
    """

    width_names: ClassVar = {name: name for name in ("conv1", "conv2", "conv3", "conv4")}

    def __init__(self, channels: tuple[Count, Count, Count, Count] = (32, 64, 128, 256)) -> None:
        """Initialize as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__(channels)


@checked
class ConvStudent(_ConvNetwork):
    """`ConvTeacher` with three narrow blocks: 62 times fewer parameters.

    >>> sum(p.numel() for p in ConvStudent().parameters())
    6274
    """

    width_names: ClassVar = {name: name for name in ("conv1", "conv2", "conv3")}

    def __init__(self, channels: tuple[Count, Count, Count] = (8, 16, 32)) -> None:
        """Initialize as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__(channels)
