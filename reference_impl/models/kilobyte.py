"""A network that fits into a file of a thousand bytes."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from torch import nn

from reference_impl.checked import Count, Where, checked
from reference_impl.models.base import N_CLASSES, Network

LABELS = ("conv1", "conv2", "conv3", "conv4")
Channels = Annotated[tuple[Count, ...], Where("four widths", lambda c: len(c) == len(LABELS))]


@checked
class Kilobyte(Network):
    """Four 3×3 convolutions and a linear layer on their mean; no padding and no BatchNorm.

    28×28 → conv 26×26 → pool 13×13 → conv 11×11 → conv 9×9 → pool 4×4 → conv 2×2 → mean → 10; ReLU
    follows each convolution.

    Args:
        channels: of the four convolutions.

    >>> sum(p.numel() for p in Kilobyte().parameters())
    3702
    """

    width_names: ClassVar = {label: label for label in LABELS}

    def __init__(self, channels: Channels = (8, 12, 12, 12)) -> None:
        """Initialize as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        one, two, three, four = channels
        layers: dict[str, nn.Module]
        layers = {"conv1": nn.Conv2d(1, one, 3), "relu1": nn.ReLU(), "pool1": nn.MaxPool2d(2)}
        layers |= {"conv2": nn.Conv2d(one, two, 3), "relu2": nn.ReLU()}
        layers |= {"conv3": nn.Conv2d(two, three, 3), "relu3": nn.ReLU(), "pool2": nn.MaxPool2d(2)}
        layers |= {"conv4": nn.Conv2d(three, four, 3), "relu4": nn.ReLU()}
        layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        self._run_in_order(layers | {"head": nn.Linear(four, N_CLASSES)})

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(tuple(widths[label] for label in LABELS))
