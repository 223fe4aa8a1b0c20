"""A residual network: blocks that add to a stream, which all of them read and write."""

from collections import OrderedDict
from collections.abc import Mapping
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

N_BLOCKS = 3
STREAM = Axis("stream")


def _conv(name: str, channels: Axis, below: Axis) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of a convolution ``name`` and the BatchNorm behind it."""
    norm = norm_axes(name.replace("conv", "norm"), channels)
    return {f"{name}.weight": (channels, below, FIXED, FIXED)} | norm


def _block(i: int) -> dict[str, tuple[Axis, ...]]:
    inner = Axis(f"inner{i + 1}")
    reads = _conv(f"blocks.{i}.body.conv1", inner, STREAM)
    return reads | _conv(f"blocks.{i}.body.conv2", STREAM, inner)


class ResidualBlock(nn.Module):
    """x + body(x): convolution, BatchNorm, ReLU, convolution, BatchNorm beside a direct path.

    Args:
        stream: channels of x.
        inner: channels between the two convolutions.
    """

    def __init__(self, stream: int, inner: int) -> None:
        """Initialise as ``nn.Conv2d`` does, from torch's global generator."""
        super().__init__()
        self.body = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(stream, inner, 3, padding=1, bias=False),
                norm1=nn.BatchNorm2d(inner),
                relu=nn.ReLU(),
                conv2=nn.Conv2d(inner, stream, 3, padding=1, bias=False),
                norm2=nn.BatchNorm2d(stream),
            )
        )

    def forward(self, x: Float[Tensor, "n stream h w"]) -> Float[Tensor, "n stream h w"]:
        """Return x + body(x)."""
        y: Tensor = x + self.body(x)
        return y


class ResidualNetwork(Network):
    """A 3×3 convolution writes a stream; residual blocks add to it; mean; linear head.

    ReLU follows the stem and every sum, max-pooling halves the image before the first and the
    second block. All that write the stream must keep or lose a channel together.

    Args:
        stream: channels of the stream.
        inner: channels inside each of the three blocks; (24, 24, 24) in a stream of 24 give
            31,906 parameters.

    References:
        He, Zhang, Ren & Sun (2016), Deep residual learning for image recognition.

    >>> sum(p.numel() for p in ResidualNetwork().parameters())
    31906
    """

    axes = MappingProxyType(
        {"conv.weight": (STREAM, FIXED, FIXED, FIXED)}
        | norm_axes("norm", STREAM)
        | {name: axes for i in range(N_BLOCKS) for name, axes in _block(i).items()}
        | {"head.weight": (FIXED, STREAM), "head.bias": (FIXED,)}
    )

    def __init__(self, stream: int = 24, inner: tuple[int, ...] = (24,) * N_BLOCKS) -> None:
        """Initialise as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        require_widths("inner", inner, N_BLOCKS)
        self._set_widths(stream=stream, **{f"inner{i + 1}": width for i, width in enumerate(inner)})
        self.conv = nn.Conv2d(IMAGE_SHAPE[0], stream, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(stream)
        self.blocks = nn.ModuleList(ResidualBlock(stream, width) for width in inner)
        self.head = nn.Linear(stream, N_CLASSES)

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(widths["stream"], tuple(widths[f"inner{i + 1}"] for i in range(N_BLOCKS)))

    def _layers(self) -> Mapping[str, nn.Module]:
        layers: dict[str, nn.Module] = {"conv": self.conv, "norm": self.norm, "relu": nn.ReLU()}
        for i, block in enumerate(self.blocks, start=1):
            if i < N_BLOCKS:
                layers[f"pool{i}"] = nn.MaxPool2d(2)
            layers |= {f"block{i}": block, f"block{i}_relu": nn.ReLU()}
        mean = nn.AdaptiveAvgPool2d(1)
        return layers | {"mean": mean, "flatten": nn.Flatten(), "head": self.head}

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, "n 10"]:
        """Return the logits.

        Raises:
            ValueError: if ``images`` has another shape.
        """
        require_images(images)
        h = F.relu(self.norm(self.conv(images)))
        for i, block in enumerate(self.blocks, start=1):
            h = F.relu(block(F.max_pool2d(h, 2) if i < N_BLOCKS else h))
        logits: Tensor = self.head(h.mean(dim=(2, 3)))
        return logits
