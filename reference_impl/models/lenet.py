"""LeCun's networks for handwritten digits: fully connected, and convolutional without BatchNorm."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.models.base import (
    FIXED,
    N_CLASSES,
    Axis,
    Network,
    require_images,
    require_widths,
)


class LeNet300(Network):
    """784 → hidden 1 → hidden 2 → 10, fully connected with ReLU.

    Args:
        hidden: the two hidden widths; (300, 100) gives 266,610 parameters.

    References:
        LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document
        recognition, section III: LeNet-300-100 (there with tanh).

    >>> sum(p.numel() for p in LeNet300().parameters())
    266610
    """

    axes = MappingProxyType(
        {
            "fc1.weight": (Axis("hidden1"), FIXED),
            "fc1.bias": (Axis("hidden1"),),
            "fc2.weight": (Axis("hidden2"), Axis("hidden1")),
            "fc2.bias": (Axis("hidden2"),),
            "fc3.weight": (FIXED, Axis("hidden2")),
            "fc3.bias": (FIXED,),
        }
    )

    def __init__(self, hidden: tuple[int, int] = (300, 100)) -> None:
        """Initialise as ``nn.Linear`` does, from torch's global generator."""
        super().__init__()
        require_widths("hidden", hidden, 2)
        self._set_widths(hidden1=hidden[0], hidden2=hidden[1])
        self.fc1 = nn.Linear(784, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(hidden=(widths["hidden1"], widths["hidden2"]))

    def _layers(self) -> Mapping[str, nn.Module]:
        return {
            "flatten": nn.Flatten(),
            "fc1": self.fc1,
            "relu1": nn.ReLU(),
            "fc2": self.fc2,
            "relu2": nn.ReLU(),
            "fc3": self.fc3,
        }

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        require_images(images)
        h = F.relu(self.fc1(images.flatten(1)))
        h = F.relu(self.fc2(h))
        logits: Tensor = self.fc3(h)
        return logits


class LeNet5(Network):
    """Two 5×5 convolutions with max-pooling, then two fully connected layers (Caffe's variant).

    28×28 → conv 24×24 → pool 12×12 → conv 8×8 → pool 4×4 → hidden → 10; the only ReLU follows
    the hidden layer.

    Args:
        conv: channels of the two convolutions.
        hidden: width of the hidden layer; (20, 50) and 500 give 431,080 parameters.

    References:
        Jia et al. (2014), Caffe, ``examples/mnist/lenet.prototxt``.

    >>> sum(p.numel() for p in LeNet5().parameters())
    431080
    """

    axes = MappingProxyType(
        {
            "conv1.weight": (Axis("conv1"), FIXED, FIXED, FIXED),
            "conv1.bias": (Axis("conv1"),),
            "conv2.weight": (Axis("conv2"), Axis("conv1"), FIXED, FIXED),
            "conv2.bias": (Axis("conv2"),),
            "fc1.weight": (Axis("hidden"), Axis("conv2", repeat=16)),
            "fc1.bias": (Axis("hidden"),),
            "fc2.weight": (FIXED, Axis("hidden")),
            "fc2.bias": (FIXED,),
        }
    )

    def __init__(self, conv: tuple[int, int] = (20, 50), hidden: int = 500) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        require_widths("conv", conv, 2)
        self._set_widths(conv1=conv[0], conv2=conv[1], hidden=hidden)
        self.conv1 = nn.Conv2d(1, conv[0], 5)
        self.conv2 = nn.Conv2d(conv[0], conv[1], 5)
        self.fc1 = nn.Linear(conv[1] * 16, hidden)
        self.fc2 = nn.Linear(hidden, N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(conv=(widths["conv1"], widths["conv2"]), hidden=widths["hidden"])

    def _layers(self) -> Mapping[str, nn.Module]:
        return {
            "conv1": self.conv1,
            "pool1": nn.MaxPool2d(2),
            "conv2": self.conv2,
            "pool2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            "fc1": self.fc1,
            "relu1": nn.ReLU(),
            "fc2": self.fc2,
        }

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        require_images(images)
        h = F.max_pool2d(self.conv1(images), 2)
        h = F.max_pool2d(self.conv2(h), 2)
        h = F.relu(self.fc1(h.flatten(1)))
        logits: Tensor = self.fc2(h)
        return logits
