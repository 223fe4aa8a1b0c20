"""LeCun's networks for handwritten digits: fully connected, and convolutional without BatchNorm."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from torch import nn

from reference_impl.checked import Count, checked
from reference_impl.models.base import FIXED, N_CLASSES, Axis, Network, layer_axes


@checked
class LeNet300(Network):
    """784 → hidden 1 → hidden 2 → 10, fully connected with ReLU.

    References: LeCun et al. (1998), Gradient-based learning applied to document recognition,
    section III: LeNet-300-100 (there with tanh).

    >>> sum(p.numel() for p in LeNet300().parameters())
    266610
    """

    axes = MappingProxyType(
        layer_axes("fc1", Axis("hidden1"), FIXED)
        | layer_axes("fc2", Axis("hidden2"), Axis("hidden1"))
        | layer_axes("fc3", FIXED, Axis("hidden2"))
    )

    def __init__(self, hidden: tuple[Count, Count] = (300, 100)) -> None:
        """Initialise as ``nn.Linear`` does, from torch's global generator."""
        super().__init__()
        self.widths = {"hidden1": hidden[0], "hidden2": hidden[1]}
        self.fc1 = nn.Linear(784, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(hidden=(widths["hidden1"], widths["hidden2"]))

    def _layers(self) -> dict[str, nn.Module]:
        layers = {"flatten": nn.Flatten(), "fc1": self.fc1, "relu1": nn.ReLU()}
        return layers | {"fc2": self.fc2, "relu2": nn.ReLU(), "fc3": self.fc3}


@checked
class LeNet5(Network):
    """Two 5×5 convolutions with max-pooling, then two fully connected layers (Caffe's variant).

    28×28 → conv 24×24 → pool 12×12 → conv 8×8 → pool 4×4 → hidden → 10; the only ReLU follows
    the hidden layer.

    References: Jia et al. (2014), Caffe, ``examples/mnist/lenet.prototxt``.

    >>> sum(p.numel() for p in LeNet5().parameters())
    431080
    """

    axes = MappingProxyType(
        layer_axes("conv1", Axis("conv1"), FIXED, FIXED, FIXED)
        | layer_axes("conv2", Axis("conv2"), Axis("conv1"), FIXED, FIXED)
        | layer_axes("fc1", Axis("hidden"), Axis("conv2", repeat=16))
        | layer_axes("fc2", FIXED, Axis("hidden"))
    )

    def __init__(self, conv: tuple[Count, Count] = (20, 50), hidden: Count = 500) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        self.widths = {"conv1": conv[0], "conv2": conv[1], "hidden": hidden}
        self.conv1 = nn.Conv2d(1, conv[0], 5)
        self.conv2 = nn.Conv2d(conv[0], conv[1], 5)
        self.fc1 = nn.Linear(conv[1] * 16, hidden)
        self.fc2 = nn.Linear(hidden, N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(conv=(widths["conv1"], widths["conv2"]), hidden=widths["hidden"])

    def _layers(self) -> dict[str, nn.Module]:
        layers = {"conv1": self.conv1, "pool1": nn.MaxPool2d(2)}
        layers |= {"conv2": self.conv2, "pool2": nn.MaxPool2d(2), "flatten": nn.Flatten()}
        return layers | {"fc1": self.fc1, "relu1": nn.ReLU(), "fc2": self.fc2}
