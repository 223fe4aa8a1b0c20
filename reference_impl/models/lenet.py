"""LeCun's networks for handwritten digits: fully connected, and convolutional without BatchNorm."""

from collections.abc import Mapping
from typing import ClassVar, Self

from torch import nn

from reference_impl.checked import Count, checked
from reference_impl.models.base import N_CLASSES, Network


@checked
class LeNet300(Network):
    """784 → hidden 1 → hidden 2 → 10, fully connected with ReLU.

    References: LeCun et al. (1998), Gradient-based learning applied to document recognition,
    section III: LeNet-300-100 (there with tanh).

    >>> sum(p.numel() for p in LeNet300().parameters())
    266610
    """

    width_names: ClassVar = {"fc1": "hidden1", "fc2": "hidden2"}
    fc1: nn.Linear
    fc2: nn.Linear
    fc3: nn.Linear

    def __init__(self, hidden: tuple[Count, Count] = (300, 100)) -> None:
        """Initialize as ``nn.Linear`` does, from torch's global generator."""
        super().__init__()
        one, two = hidden
        layers: dict[str, nn.Module]
        layers = {"flatten": nn.Flatten(), "fc1": nn.Linear(784, one), "relu1": nn.ReLU()}
        layers |= {"fc2": nn.Linear(one, two), "relu2": nn.ReLU()}
        self._run_in_order(layers | {"fc3": nn.Linear(two, N_CLASSES)})

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(hidden=(widths["hidden1"], widths["hidden2"]))


@checked
class LeNet5(Network):
    """Two 5×5 convolutions with max-pooling, then two fully connected layers (Caffe's variant).

    28×28 → conv 24×24 → pool 12×12 → conv 8×8 → pool 4×4 → hidden → 10; the only ReLU follows
    the hidden layer.

    References: Jia et al. (2014), Caffe, ``examples/mnist/lenet.prototxt``.

    >>> sum(p.numel() for p in LeNet5().parameters())
    431080
    """

    width_names: ClassVar = {"conv1": "conv1", "conv2": "conv2", "fc1": "hidden"}
    conv1: nn.Conv2d
    conv2: nn.Conv2d
    fc1: nn.Linear
    fc2: nn.Linear

    def __init__(self, conv: tuple[Count, Count] = (20, 50), hidden: Count = 500) -> None:
        """Initialize as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        one, two = conv
        layers: dict[str, nn.Module]
        layers = {"conv1": nn.Conv2d(1, one, 5), "pool1": nn.MaxPool2d(2)}
        layers |= {"conv2": nn.Conv2d(one, two, 5), "pool2": nn.MaxPool2d(2)}
        layers |= {"flatten": nn.Flatten(), "fc1": nn.Linear(two * 16, hidden)}
        self._run_in_order(layers | {"relu1": nn.ReLU(), "fc2": nn.Linear(hidden, N_CLASSES)})

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(conv=(widths["conv1"], widths["conv2"]), hidden=widths["hidden"])
