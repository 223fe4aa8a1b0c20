"""The course's four networks, each of which says how its widths appear in its parameters."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Self

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.network import FIXED, Axis, Network

__all__ = ["FIXED", "MODELS", "Axis", "ConvStudent", "ConvTeacher", "LeNet5", "LeNet300", "Network"]

IMAGE_SHAPE = (1, 28, 28)
N_CLASSES = 10


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
        _require_count("hidden", hidden, 2)
        self._set_widths(hidden1=hidden[0], hidden2=hidden[1])
        self.fc1 = nn.Linear(784, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(hidden=(widths["hidden1"], widths["hidden2"]))

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        _require_images(images)
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
        _require_count("conv", conv, 2)
        self._set_widths(conv1=conv[0], conv2=conv[1], hidden=hidden)
        self.conv1 = nn.Conv2d(1, conv[0], 5)
        self.conv2 = nn.Conv2d(conv[0], conv[1], 5)
        self.fc1 = nn.Linear(conv[1] * 16, hidden)
        self.fc2 = nn.Linear(hidden, N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(conv=(widths["conv1"], widths["conv2"]), hidden=widths["hidden"])

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        _require_images(images)
        h = F.max_pool2d(self.conv1(images), 2)
        h = F.max_pool2d(self.conv2(h), 2)
        h = F.relu(self.fc1(h.flatten(1)))
        logits: Tensor = self.fc2(h)
        return logits


def _conv_axes(n_layers: int) -> Mapping[str, tuple[Axis, ...]]:
    """Return the axes of ``n_layers`` blocks of convolution and BatchNorm, and of the head."""
    axes: dict[str, tuple[Axis, ...]] = {}
    below = FIXED
    for i in range(n_layers):
        channels = Axis(f"conv{i + 1}")
        axes[f"convs.{i}.weight"] = (channels, below, FIXED, FIXED)
        for entry in ("weight", "bias", "running_mean", "running_var"):
            axes[f"norms.{i}.{entry}"] = (channels,)
        axes[f"norms.{i}.num_batches_tracked"] = ()
        below = channels
    return MappingProxyType(axes | {"head.weight": (FIXED, below), "head.bias": (FIXED,)})


class _ConvNetwork(Network):
    """Blocks of 3×3 convolution, BatchNorm, ReLU, max-pooling (but the last); mean; linear head.

    The convolutions have no bias, BatchNorm's shift takes its place.
    """

    n_layers: ClassVar[int]

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        _require_count("channels", channels, self.n_layers)
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

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        _require_images(images)
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


MODELS: Mapping[str, type[Network]] = MappingProxyType(
    {"lenet300": LeNet300, "lenet5": LeNet5, "teacher": ConvTeacher, "student": ConvStudent}
)
"""Checkpoint name → class."""


def _require_count(name: str, widths: tuple[int, ...], count: int) -> None:
    if not isinstance(widths, tuple) or len(widths) != count:
        raise ValueError(f"{name} must be a tuple of {count} widths, got {widths!r}")


def _require_images(images: Tensor) -> None:
    if images.shape[1:] != IMAGE_SHAPE or images.ndim != 4:
        raise ValueError(f"images must be (n, 1, 28, 28), got {tuple(images.shape)}")
