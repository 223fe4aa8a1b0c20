"""What a network of the course publishes beside its logits: how its widths appear in its state."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int

IMAGE_SHAPE = (1, 28, 28)
"""Of one image: a grey channel, rows, columns."""

N_CLASSES = 10


@dataclass(frozen=True)
class Axis:
    """One axis of a parameter: which width it runs over, and how often.

    ``label`` names the width; None is an axis that belongs to the task (pixels, classes, kernel)
    and is never cut. Each unit owns ``repeat`` consecutive entries: 1, except behind a flatten,
    where channel c of 4×4 positions owns the columns 16 c … 16 c + 15.
    """

    label: str | None = None
    repeat: int = 1


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


def norm_axes(name: str, units: Axis) -> dict[str, tuple[Axis, ...]]:
    """Return the axes of a BatchNorm over these units; its count of batches has none.

    >>> list(norm_axes("norm", FIXED))[2:]
    ['norm.running_mean', 'norm.running_var', 'norm.num_batches_tracked']
    """
    entries = ("weight", "bias", "running_mean", "running_var")
    axes = {f"{name}.{entry}": (units,) for entry in entries}
    return axes | {f"{name}.num_batches_tracked": ()}


class Network(nn.Module, ABC):
    """A classifier of 28×28 grey images: (n, 1, 28, 28) to logits (n, 10).

    Attributes:
        axes: name of a parameter or buffer → one `Axis` per axis of it. Scalars have none.
        widths: label → number of units, for every label in ``axes``.
    """

    axes: ClassVar[Mapping[str, tuple[Axis, ...]]]
    widths: Mapping[str, int]

    @classmethod
    def from_widths(cls, widths: Mapping[str, int]) -> Self:
        """Return a newly initialised network of these widths, as `widths` gives them.

        Raises:
            TypeError: if ``widths`` is no mapping, or a width no integer.
            ValueError: if a label is missing or unknown, or a width is below 1.
        """
        require_instance("widths", widths, Mapping)
        labels = {axis.label for axes in cls.axes.values() for axis in axes if axis.label}
        if set(widths) != labels:
            raise ValueError(f"widths must have the labels {sorted(labels)}, got {sorted(widths)}")
        return cls._build(widths)

    def chain(self) -> nn.Sequential:
        """Return the layers in the order in which they run; their chain is ``forward``, bit by bit.

        What transforms a whole network (folds BatchNorm, equalizes, quantizes, prunes) walks over
        this chain and looks at each layer and its neighbours. Its modules have names, such as
        ``chain.conv1``; ReLU, pooling and flattening are modules of their own.

        Layers with parameters or buffers are the network's own, not copies: to train or change
        one is to train or change both. Change a copy, ``copy.deepcopy(network.chain())``, to keep
        the network. Replacing a module of the chain leaves the network as it is.

        Unlike ``forward``, the chain does not check the shape of its images.

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
    def _layers(self) -> Mapping[str, nn.Module]: ...

    @classmethod
    @abstractmethod
    def _build(cls, widths: Mapping[str, int]) -> Self: ...

    def _set_widths(self, **widths: int) -> None:
        for label, width in widths.items():
            require_int(label, width, 1)
        self.widths = widths  # a plain dict: mapping proxies cannot be deep-copied


def require_images(images: Tensor) -> None:
    """Refuse what is no batch of 28×28 grey images.

    Raises:
        ValueError: if ``images`` has another shape than (n, 1, 28, 28).
    """
    if images.shape[1:] != IMAGE_SHAPE or images.ndim != 4:
        raise ValueError(f"images must be (n, 1, 28, 28), got {tuple(images.shape)}")


def require_widths(name: str, widths: tuple[int, ...], count: int) -> None:
    """Refuse what is no tuple of ``count`` entries; `Network` itself checks each width.

    Raises:
        ValueError: if ``widths`` is no tuple, or has another length.
    """
    if not isinstance(widths, tuple) or len(widths) != count:
        raise ValueError(f"{name} must be a tuple of {count} widths, got {widths!r}")
