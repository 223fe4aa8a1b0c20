"""How much room a model takes: parameters, and bits by what they hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from reference_impl.checks import require_int


def require_module(model: object) -> None:
    """Require a ``torch.nn.Module``.

    Raises:
        TypeError: if ``model`` is none.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, zeros included, shared ones once.

    Raises:
        TypeError: if ``model`` is no module.

    >>> count_parameters(nn.Linear(3, 2))
    8

    Equation: eq-cost-parameters, chapter 01.
    """
    require_module(model)
    return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True)
class Size:
    """What a stored model takes, in bits, by what the bits hold.

    Nothing is left out by accident if each kind of content has its own entry: weights, vectors,
    buffers, and after compression also masks, scales, indices, codebooks, code tables.

    Raises:
        TypeError: if ``items`` is no mapping or a count no integer.
        ValueError: if it is negative.
    """

    items: Mapping[str, int]

    def __post_init__(self) -> None:
        """Check the counts and make them read-only."""
        if not isinstance(self.items, Mapping):
            raise TypeError(f"items must be a mapping, got {type(self.items).__name__}")
        for name, bits in self.items.items():
            require_int(f"items[{name!r}]", bits, 0)
        object.__setattr__(self, "items", MappingProxyType(dict(self.items)))

    @property
    def bits(self) -> int:
        """Return Σ bits over the items."""
        return sum(self.items.values())

    @property
    def bytes(self) -> int:
        """Return ⌈bits / 8⌉."""
        return -(-self.bits // 8)

    def __add__(self, other: "Size") -> "Size":
        """Return both together, equal names added."""
        names = [*self.items, *(name for name in other.items if name not in self.items)]
        return Size({name: self.items.get(name, 0) + other.items.get(name, 0) for name in names})


def model_size(model: nn.Module, *, weight_bits: int | None = None) -> Size:
    """Return the bits of all parameters and persistent buffers: Σ count · width.

    The items are ``weights`` (parameters with two axes or more), ``vectors`` (biases, and scale
    and shift of a normalisation) and ``buffers`` (its running statistics and its step counter).

    Args:
        model: whose ``state_dict`` would be stored.
        weight_bits: width of a weight; None takes the width that it has in memory. Vectors and
            buffers keep theirs: they are few, and sensitive.

    Raises:
        TypeError: if ``model`` is no module or ``weight_bits`` no integer.
        ValueError: if ``weight_bits`` is outside 1 … 64.

    >>> model_size(nn.Linear(3, 2)).bytes, model_size(nn.Linear(3, 2), weight_bits=8).bytes
    (32, 14)

    Equation: eq-cost-bytes, chapter 01.
    """
    require_module(model)
    if weight_bits is not None:
        require_int("weight_bits", weight_bits, 1, 64)
    bits = {"weights": 0, "vectors": 0, "buffers": 0}
    for parameter in model.parameters():
        width = 8 * parameter.element_size()
        if parameter.ndim >= 2:
            bits["weights"] += parameter.numel() * (weight_bits or width)
        else:
            bits["vectors"] += parameter.numel() * width
    stored = model.state_dict().keys()  # a buffer that is not persistent is in no file
    buffers = (buffer for name, buffer in model.named_buffers() if name in stored)
    bits["buffers"] = sum(8 * buffer.numel() * buffer.element_size() for buffer in buffers)
    return Size(bits)
