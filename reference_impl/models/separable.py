"""A student of depthwise-separable convolutions, as in MobileNet."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Self

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

N_BLOCKS = 4
LABELS = ("stem", *(f"block{i + 1}" for i in range(N_BLOCKS)))
"""The widths from the image to the logits."""

POOLED = (0, 2)
"""The blocks, counted from 0, before which the image is halved."""


def _block(label: str, below: str, i: int) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of one block: its depthwise filters belong to the channels below it."""
    axes: dict[str, tuple[Axis, ...]] = {
        f"depthwise.{i}.weight": (Axis(below), FIXED, FIXED, FIXED),
        f"pointwise.{i}.weight": (Axis(label), Axis(below), FIXED, FIXED),
    }
    return (
        axes
        | norm_axes(f"depthwise_norms.{i}", Axis(below))
        | norm_axes(f"pointwise_norms.{i}", Axis(label))
    )


class SeparableStudent(Network):
    """A 3×3 convolution, then blocks of a depthwise 3×3 and a pointwise 1×1; mean; linear head.

    BatchNorm and ReLU follow every convolution; max-pooling halves the image after the stem and
    in the middle of the blocks. A depthwise filter has nine weights and sees one channel. Once
    BatchNorm is folded into the filters of a layer, their ranges may differ by factors of a
    hundred, and one scale for all does not suit them: a hard case for quantization.

    Args:
        channels: of the stem, at 28² positions, and of the blocks, two at 14² and two at 7²; the
            default gives 15,338 parameters.

    References:
        Howard et al. (2017), MobileNets: efficient convolutional neural networks for mobile
        vision applications; Nagel et al. (2019), Data-free quantization through weight equalization
        and bias correction, for the ranges.

    >>> sum(p.numel() for p in SeparableStudent().parameters())
    15338
    """

    axes = MappingProxyType(
        {"stem.weight": (Axis("stem"), FIXED, FIXED, FIXED)}
        | norm_axes("stem_norm", Axis("stem"))
        | {
            name: axes
            for i in range(N_BLOCKS)
            for name, axes in _block(LABELS[i + 1], LABELS[i], i).items()
        }
        | {"head.weight": (FIXED, Axis(LABELS[-1])), "head.bias": (FIXED,)}
    )

    def __init__(self, channels: tuple[int, ...] = (16, 32, 32, 64, 128)) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        require_widths("channels", channels, len(LABELS))
        self._set_widths(**dict(zip(LABELS, channels, strict=True)))
        below, above = channels[:-1], channels[1:]
        self.stem = nn.Conv2d(IMAGE_SHAPE[0], channels[0], 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels[0])
        self.depthwise = nn.ModuleList(
            nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False) for c in below
        )
        self.depthwise_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in below)
        self.pointwise = nn.ModuleList(
            nn.Conv2d(c, d, 1, bias=False) for c, d in zip(below, above, strict=True)
        )
        self.pointwise_norms = nn.ModuleList(nn.BatchNorm2d(d) for d in above)
        self.head = nn.Linear(channels[-1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[label] for label in LABELS))

    def _blocks(self) -> Iterator[tuple[nn.Module, nn.Module, nn.Module, nn.Module]]:
        """Yield each block's depthwise convolution and its norm, pointwise one and its norm."""
        return zip(
            self.depthwise, self.depthwise_norms, self.pointwise, self.pointwise_norms, strict=True
        )

    def _layers(self) -> Mapping[str, nn.Module]:
        layers = {"stem": self.stem, "stem_norm": self.stem_norm, "stem_relu": nn.ReLU()}
        for i, (depthwise, depthwise_norm, pointwise, pointwise_norm) in enumerate(self._blocks()):
            if i in POOLED:
                layers[f"pool{i + 1}"] = nn.MaxPool2d(2)
            layers |= {
                f"depthwise{i + 1}": depthwise,
                f"depthwise_norm{i + 1}": depthwise_norm,
                f"depthwise_relu{i + 1}": nn.ReLU(),
                f"pointwise{i + 1}": pointwise,
                f"pointwise_norm{i + 1}": pointwise_norm,
                f"pointwise_relu{i + 1}": nn.ReLU(),
            }
        mean = nn.AdaptiveAvgPool2d(1)
        return layers | {"mean": mean, "flatten": nn.Flatten(), "head": self.head}

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        require_images(images)
        h = F.relu(self.stem_norm(self.stem(images)))
        for i, (depthwise, depthwise_norm, pointwise, pointwise_norm) in enumerate(self._blocks()):
            h = F.relu(depthwise_norm(depthwise(F.max_pool2d(h, 2) if i in POOLED else h)))
            h = F.relu(pointwise_norm(pointwise(h)))
        logits: Tensor = self.head(h.mean(dim=(2, 3)))
        return logits
