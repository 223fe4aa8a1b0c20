"""A student of depthwise-separable convolutions, as in MobileNet."""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Self

from torch import nn

from reference_impl.checked import Count, Where, checked
from reference_impl.models.base import FIXED, N_CLASSES, Axis, Network, conv_axes, layer_axes

LABELS = ("stem", "block1", "block2", "block3", "block4")
"""The widths from the image to the logits."""

Channels = Annotated[tuple[Count, ...], Where("five widths", lambda c: len(c) == len(LABELS))]

POOLED = (1, 3)
"""The blocks, counted from 1, before which the image is halved."""


def _block(i: int) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of one block: its depthwise filters belong to the channels below it."""
    below, channels = Axis(LABELS[i]), Axis(LABELS[i + 1])
    depthwise = conv_axes(f"depthwise.{i}", f"depthwise_norms.{i}", below, FIXED)
    return depthwise | conv_axes(f"pointwise.{i}", f"pointwise_norms.{i}", channels, below)


@checked
class SeparableStudent(Network):
    """A 3×3 convolution, then blocks of a depthwise 3×3 and a pointwise 1×1; mean; linear head.

    BatchNorm and ReLU follow every convolution; max-pooling halves the image after the stem and
    in the middle of the blocks. A depthwise filter has nine weights and sees one channel. Once
    BatchNorm is folded into the filters of a layer, their ranges may differ by factors of a
    hundred, and one scale for all does not suit them: a hard case for quantization.

    Args:
        channels: of the stem, at 28² positions, and of the blocks, two at 14² and two at 7².

    References: Howard et al. (2017), MobileNets: efficient convolutional neural networks for mobile
    vision applications; Nagel et al. (2019), Data-free quantization through weight equalization and
    bias correction, for the ranges.

    >>> sum(p.numel() for p in SeparableStudent().parameters())
    15338
    """

    axes = MappingProxyType(
        conv_axes("stem", "stem_norm", Axis("stem"), FIXED)
        | {name: axes for i in range(len(LABELS) - 1) for name, axes in _block(i).items()}
        | layer_axes("head", FIXED, Axis(LABELS[-1]))
    )

    def __init__(self, channels: Channels = (16, 32, 32, 64, 128)) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        self.widths = dict(zip(LABELS, channels, strict=True))
        below, above = channels[:-1], channels[1:]
        self.stem = nn.Conv2d(1, channels[0], 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels[0])
        self.depthwise = nn.ModuleList(
            nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False) for c in below
        )
        self.depthwise_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in below)
        self.pointwise = nn.ModuleList(
            nn.Conv2d(c, d, 1, bias=False) for c, d in pairwise(channels)
        )
        self.pointwise_norms = nn.ModuleList(nn.BatchNorm2d(d) for d in above)
        self.head = nn.Linear(channels[-1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[label] for label in LABELS))

    def _layers(self) -> dict[str, nn.Module]:
        layers = {"stem": self.stem, "stem_norm": self.stem_norm, "stem_relu": nn.ReLU()}
        for i in range(1, len(LABELS)):
            if i in POOLED:
                layers[f"pool{i}"] = nn.MaxPool2d(2)
            layers |= {
                f"depthwise{i}": self.depthwise[i - 1],
                f"depthwise_norm{i}": self.depthwise_norms[i - 1],
                f"depthwise_relu{i}": nn.ReLU(),
                f"pointwise{i}": self.pointwise[i - 1],
                f"pointwise_norm{i}": self.pointwise_norms[i - 1],
                f"pointwise_relu{i}": nn.ReLU(),
            }
        mean = nn.AdaptiveAvgPool2d(1)
        return layers | {"mean": mean, "flatten": nn.Flatten(), "head": self.head}
