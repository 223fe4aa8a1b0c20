"""A network of depthwise-separable convolutions, as in MobileNet."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, ClassVar, Self

from torch import nn

from reference_impl.checked import Count, Where, checked
from reference_impl.models.base import N_CLASSES, Network

LABELS = ("stem", "block1", "block2", "block3", "block4")
"""The widths from the image to the logits."""

Channels = Annotated[tuple[Count, ...], Where("five widths", lambda c: len(c) == len(LABELS))]

POOLED = (1, 3)
"""The blocks, counted from 1, before which the image is halved."""


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

    width_names: ClassVar = {"stem": "stem"} | {f"pointwise{i}": f"block{i}" for i in (1, 2, 3, 4)}

    def __init__(self, channels: Channels = (16, 32, 32, 64, 128)) -> None:
        """Initialize as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        below, above = channels[:-1], channels[1:]
        stem = nn.Conv2d(1, channels[0], 3, padding=1, bias=False)
        depthwise = [nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False) for c in below]
        pointwise = [nn.Conv2d(c, d, 1, bias=False) for c, d in pairwise(channels)]
        layers: dict[str, nn.Module] = {"stem": stem, "stem_norm": nn.BatchNorm2d(channels[0])}
        layers["stem_relu"] = nn.ReLU()
        for i, (one, other) in enumerate(zip(depthwise, pointwise, strict=True), start=1):
            if i in POOLED:
                layers[f"pool{i}"] = nn.MaxPool2d(2)
            for name, conv in (("depthwise", one), ("pointwise", other)):
                layers[f"{name}{i}"] = conv
                layers[f"{name}_norm{i}"] = nn.BatchNorm2d(conv.out_channels)
                layers[f"{name}_relu{i}"] = nn.ReLU()
        layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        self._run_in_order(layers | {"head": nn.Linear(above[-1], N_CLASSES)})

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[label] for label in LABELS))
