"""What a network of the course publishes beside its logits: how its widths appear in its state."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Count, checked

IMAGE_SHAPE = (1, 28, 28)
"""Of one image: a grey channel, rows, columns."""

N_CLASSES = 10
Images = Float[Tensor, "n 1 28 28"]


@checked
@dataclass(frozen=True)
class Axis:
    """One axis of a parameter: which width it runs over, and how often.

    ``label`` names the width; None is an axis that belongs to the task (pixels, classes, kernel)
    and is never cut. Each unit owns ``repeat`` consecutive entries: 1, except after a flatten,
    where channel c of 4×4 positions owns the columns 16 c … 16 c + 15.
    """

    label: str | None = None
    repeat: Count = 1


FIXED = Axis()
"""An axis that is never cut."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode; on leaving, each module has the mode that it had.

    ``model.train(was_training)`` would not do: it puts a BatchNorm that was frozen on purpose back
    into training mode.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def layer_axes(name: str, units: Axis, *below: Axis) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of the weight, (units, *below), and the bias of a layer."""
    return {f"{name}.weight": (units, *below), f"{name}.bias": (units,)}


def conv_axes(conv: str, norm: str, channels: Axis, below: Axis) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of a convolution without bias and of its BatchNorm, by their names.

    >>> list(conv_axes("conv", "norm", Axis("conv1"), FIXED))[3:]
    ['norm.running_mean', 'norm.running_var', 'norm.num_batches_tracked']
    """
    entries = ("weight", "bias", "running_mean", "running_var")
    axes = {f"{conv}.weight": (channels, below, FIXED, FIXED)}
    norms = {f"{norm}.{entry}": (channels,) for entry in entries}
    return axes | norms | {f"{norm}.num_batches_tracked": ()}


class Network(nn.Module, ABC):
    """A classifier of 28×28 grey images: (n, 1, 28, 28) to logits (n, 10).

    Attributes:
        axes: name of a parameter or buffer → one `Axis` per axis of it. Scalars have none.
        widths: label → number of units, for every label in ``axes``. A plain dict, since mapping
            proxies cannot be deep-copied.
    """

    axes: ClassVar[Mapping[str, tuple[Axis, ...]]]
    widths: dict[str, int]

    @classmethod
    def from_widths(cls, widths: Mapping[str, int]) -> Self:
        """Return a newly initialised network of these widths, as `widths` gives them.

        Raises:
            ValueError: if a label is missing or unknown.
        """
        labels = {axis.label for axes in cls.axes.values() for axis in axes if axis.label}
        if set(widths) != labels:
            raise ValueError(f"widths must have the labels {sorted(labels)}, got {sorted(widths)}")
        return cls._build(widths)

    @checked
    def forward(self, images: Images) -> Float[Tensor, "n 10"]:  # type: ignore[override]
        """Return the logits: the layers run one after the other."""
        h: Tensor = images
        for layer in self._layers().values():
            h = layer(h)
        return h

    def chain(self) -> nn.Sequential:
        """Return the layers in the order in which ``forward`` runs them.

        What transforms a whole network (folds BatchNorm, equalizes, quantizes, prunes) walks over
        this chain; ReLU, pooling and flattening are modules of their own. Layers with parameters or
        buffers are the network's own: change ``copy.deepcopy(network.chain())`` to keep the
        network. Replacing a module of the chain leaves the network as it is.

        >>> from reference_impl.models import LeNet300
        >>> [name for name, _ in LeNet300().chain().named_children()]
        ['flatten', 'fc1', 'relu1', 'fc2', 'relu2', 'fc3']
        """
        chain = nn.Sequential(OrderedDict(self._layers()))
        own = set(self.modules())
        for module in chain.modules():
            if module not in own:  # a new module; the network's own keep their modes
                module.training = self.training
        return chain

    @abstractmethod
    def _layers(self) -> dict[str, nn.Module]:
        """Return name → layer, in order; what has no parameters is made anew."""

    @classmethod
    @abstractmethod
    def _build(cls, widths: Mapping[str, int]) -> Self: ...
