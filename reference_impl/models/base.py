"""What the networks of the course have in common: layers in a row, and names of their widths."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import checked

IMAGE_SHAPE = (1, 28, 28)
"""Of one image: a grey channel, rows, columns."""

N_CLASSES = 10
Images = Float[Tensor, "n 1 28 28"]


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


@contextmanager
def refusing(model: nn.Module, expected: str = "images must suit the model,") -> Iterator[None]:
    """Turn what a model, or torch about it, raises into one line that names the module."""
    try:
        yield
    except Exception as error:
        named = model.named_modules()
        places = {id(module): f"{type(module).__name__} {path!r}" for path, module in named}
        frames = (id(frame.f_locals.get("self")) for frame, _ in walk_tb(error.__traceback__))
        *_, place = (type(model).__name__, *(places[one] for one in frames if one in places))
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{expected} in {place}: {said}") from error


def zeros_for(model: nn.Module, *shape: int) -> Tensor:
    """Return zeros in the type and on the device of the model's first floating-point parameter."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


class Network(nn.Sequential, ABC):
    """A classifier of 28×28 grey images: (n, 1, 28, 28) to logits (n, 10).

    Its layers run one after the other; ReLU, pooling and flattening are layers too, so that what
    transforms a network meets each of its operations by name.

    Attributes:
        width_names: path of the first layer that writes a width → what the course calls the width.
    """

    width_names: ClassVar[Mapping[str, str]]

    def _run_in_order(self, layers: Mapping[str, nn.Module]) -> None:
        """Take the layers, in the order in which they run."""
        for name, layer in layers.items():
            self.add_module(name, layer)

    @property
    def widths(self) -> dict[str, int]:
        """Return the name of each width → its number of units."""
        weights = {path: self.get_parameter(f"{path}.weight") for path in self.width_names}
        return {self.width_names[path]: len(weight) for path, weight in weights.items()}

    @classmethod
    def from_widths(cls, widths: Mapping[str, int]) -> Self:
        """Return a newly initialized network of these widths, as `widths` gives them.

        Raises:
            ValueError: if a label is missing or unknown.
        """
        if set(widths) != (labels := set(cls.width_names.values())):
            raise ValueError(f"widths must have the labels {sorted(labels)}, got {sorted(widths)}")
        return cls._build(widths)

    @checked
    def forward(self, images: Images) -> Float[Tensor, "n 10"]:  # type: ignore[override]
        """Return the logits: the layers run one after the other."""
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return logits

    def __getitem__(self, index: slice | int) -> Any:
        """Return a layer, or some in a row."""
        return nn.Sequential(OrderedDict(self.named_children()))[index]

    @classmethod
    @abstractmethod
    def _build(cls, widths: Mapping[str, int]) -> Self: ...
