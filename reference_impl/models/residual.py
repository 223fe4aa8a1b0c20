"""A residual network: blocks that add to a stream, which all of them read and write."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Count, checked
from reference_impl.models.base import N_CLASSES, Network

N_BLOCKS = 3


@checked
class ResidualBlock(nn.Module):
    """x + body(x): convolution, BatchNorm, ReLU, convolution, BatchNorm beside a direct path."""

    def __init__(self, stream: Count, inner: Count) -> None:
        """Initialize as ``nn.Conv2d`` does, from torch's global generator."""
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


class PositionMean(nn.Module):
    """The mean of each channel over its positions."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c"]:
        """Return it."""
        return x.mean(dim=(2, 3))


@checked
class ResidualNetwork(Network):
    """A 3×3 convolution writes a stream; residual blocks add to it; mean; linear head.

    ReLU follows the stem and every sum, max-pooling halves the image before the first and the
    second block. All that write the stream must keep or lose a channel together.

    References: He et al. (2016), Deep residual learning for image recognition.

    >>> sum(p.numel() for p in ResidualNetwork().parameters())
    31906
    """

    width_names: ClassVar = {"conv": "stream"} | {
        f"block{i}.body.conv1": f"inner{i}" for i in (1, 2, 3)
    }

    def __init__(
        self, stream: Count = 24, inner: tuple[Count, Count, Count] = (24, 24, 24)
    ) -> None:
        """Initialize as ``nn.Conv2d`` and ``nn.Linear`` do, from torch's global generator."""
        super().__init__()
        layers: dict[str, nn.Module] = {"conv": nn.Conv2d(1, stream, 3, padding=1, bias=False)}
        layers |= {"norm": nn.BatchNorm2d(stream), "relu": nn.ReLU()}
        for i, width in enumerate(inner, start=1):
            if i < N_BLOCKS:
                layers[f"pool{i}"] = nn.MaxPool2d(2)
            layers |= {f"block{i}": ResidualBlock(stream, width), f"block{i}_relu": nn.ReLU()}
        self._run_in_order(layers | {"mean": PositionMean(), "head": nn.Linear(stream, N_CLASSES)})

    @classmethod
    def _build(cls, widths: Mapping[str, int]) -> Self:
        return cls(widths["stream"], (widths["inner1"], widths["inner2"], widths["inner3"]))
