"""How much room a model takes: parameters, and bits by what they hold.

Papers call many numbers "the size": only what is not 0; every weight, as it lies in memory; values
with the places where they belong; codes with their scales; the bytes of a file, deflated or not.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from reference_impl.checked import Count, FromZero, Within, checked
from reference_impl.quantization import AffineQuantizer

Bits = Annotated[int, Within(1, 64)]  # of one number
INDEX_BITS = 32  # of an index in a sparse matrix, as torch and SciPy keep it if it fits
SCALE_BITS = 16  # of a scale stored in half precision


@checked
def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, zeros included, shared ones once.

    >>> count_parameters(nn.Linear(3, 2))
    8

    Equation: eq-cost-parameters, chapter 01.
    """
    return sum(parameter.numel() for parameter in model.parameters())


@checked
@dataclass(frozen=True)
class Size:
    """What a stored model takes, in bits, by what the bits hold.

    Nothing is left out by accident if each kind of content has its own entry: weights, vectors,
    buffers, and after compression also masks, scales, indices, codebooks, code tables.
    """

    items: Mapping[str, FromZero]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", MappingProxyType(dict(self.items)))  # read-only

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
        names = dict.fromkeys([*self.items, *other.items])
        return Size({name: self.items.get(name, 0) + other.items.get(name, 0) for name in names})


@checked
def model_size(model: nn.Module, *, weight_bits: Bits | None = None) -> Size:
    """Return the bits of all parameters and persistent buffers: Σ count · width.

    The items are ``weights`` (parameters with two axes or more), ``vectors`` (biases, and scale
    and shift of a normalization) and ``buffers`` (its running statistics and its step counter).
    ``weight_bits`` is the width of a weight, None that which it has in memory. Vectors and buffers
    keep theirs: they are few, and sensitive.

    >>> model_size(nn.Linear(3, 2)).bytes, model_size(nn.Linear(3, 2), weight_bits=8).bytes
    (32, 14)

    Equation: eq-cost-bytes, chapter 01.
    """
    stored = _dense_state(model)  # a buffer that is not persistent is in no file
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    named = model.named_buffers(remove_duplicate=False)
    buffers = {id(buffer): buffer for name, buffer in named if name in stored}.values()
    weights = _bits(_weights(model), weight_bits)
    return Size({"weights": weights, "vectors": _bits(vectors), "buffers": _bits(buffers)})


@checked
def nonzero_size(model: nn.Module, *, weight_bits: Bits = 32) -> Size:
    """Return b · N≠0 for the weights: these bits alone do not say where the values belong.

    Vectors and buffers are counted whole, as in `model_size`; so they are below.
    """
    return Size({**model_size(model).items, "weights": weight_bits * _nonzero(model)})


@checked
def bitmap_size(model: nn.Module, *, weight_bits: Bits = 32) -> Size:
    """Return N + b · N≠0: a bit for each weight says whether it is there, then the values follow.

    Less than dense b · N if and only if the density N≠0/N is below 1 − 1/b.

    >>> layer = nn.Linear(4, 2, bias=False)
    >>> nn.init.zeros_(layer.weight[0])
    tensor([0., 0., 0., 0.], grad_fn=<...>)
    >>> bitmap_size(layer).items["masks"], bitmap_size(layer).bits
    (8, 136)

    Equation: eq-narrow-bitmap, chapter 16.
    """
    n = sum(weight.numel() for weight in _weights(model))
    values = weight_bits * _nonzero(model)
    return Size({**model_size(model).items, "weights": values, "masks": n})


@checked
def csr_size(model: nn.Module, *, weight_bits: Bits = 32, index_bits: Bits = INDEX_BITS) -> Size:
    """Return N≠0 (b + b_index) + (rows + 1) b_index: values, columns, and where rows begin.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 2, bias=False)
    >>> _ = torch.nn.init.eye_(layer.weight)
    >>> csr_size(layer).bits
    224

    Compressed sparse rows, the form in which a sparse product runs; a filter is a row. With
    b_index = b it is less than dense only if the density is below ½, less a little for the rows.

    Equation: eq-narrow-csr, chapter 16.
    """
    n, rows = _nonzero(model), sum(len(weight) + 1 for weight in _weights(model))
    values = {"weights": weight_bits * n, "columns": index_bits * n, "rows": index_bits * rows}
    return Size({**model_size(model).items, **values})


@checked
def quantized_size(
    quantizer: AffineQuantizer, n_values: Count, *, scale_bits: Bits = SCALE_BITS
) -> Size:
    """Return the bits N b + G (b_s + b) of N codes and of the G scales and zero points for them.

    Zero points that are all 0, as those of a symmetric quantizer, need not be stored:
    N b + G b_s. For each value that is b + b_s/g with g = N/G values in a group.

    >>> import torch
    >>> from reference_impl.quantization import IntegerGrid, symmetric_from_range
    >>> end = torch.ones(8, 1)
    >>> quantizer = symmetric_from_range(-end, end, IntegerGrid(4, signed=True))
    >>> quantized_size(quantizer, 8 * 32).bits / (8 * 32)
    4.5

    Raises:
        ValueError: if ``n_values`` is not a multiple of the number of scales.

    Equation: eq-affine-size, chapter 03.
    """
    n_scales, b = quantizer.scale.numel(), quantizer.grid.bits
    if n_values % n_scales:
        raise ValueError(f"n_values must be a multiple of the {n_scales} scales, got {n_values}")
    zero_points = n_scales * b if quantizer.zero_point.any() else 0
    scales = n_scales * scale_bits
    return Size({"codes": n_values * b, "scales": scales, "zero points": zero_points})


@checked
def file_bytes(model: nn.Module) -> int:
    """Return the bytes of the model's safetensors file: numbers as in memory, and a header.

    Raises:
        TypeError: if ``model`` holds a sparse tensor.
        ValueError: if two of its tensors share their memory.
    """
    return len(_saved(model))


@checked
def deflated_bytes(model: nn.Module) -> int:
    """Return the bytes of that file after zlib at level 9, which finds the zeros by itself."""
    return len(zlib.compress(_saved(model), level=9))


def _weights(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.ndim >= 2]


def _bits(tensors: Iterable[Tensor], width: int | None = None) -> int:
    return sum(x.numel() * (width or 8 * x.element_size()) for x in tensors)


def _nonzero(model: nn.Module) -> int:
    for path, module in model.named_modules():
        weight = getattr(module, "weight", None)
        own = {
            **dict(module.named_parameters(recurse=False)),
            **dict(module.named_buffers(recurse=False)),
        }
        if is_parametrized(module) or (isinstance(weight, Tensor) and "weight" not in own):
            raise ValueError(
                f"model must not compute its weights, {path!r} does (pruned by torch?)"
            )
    return sum(int(weight.count_nonzero()) for weight in _weights(model))


def _dense_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state; refuse what is stored in another way than it says."""
    if unmade := [name for name, value in model.named_parameters() if is_lazy(value)]:
        raise ValueError(f"model must hold values, those of {unmade[:3]} are not made yet")
    state = model.state_dict()
    if sparse := [name for name, value in state.items() if value.layout != torch.strided]:
        raise TypeError(f"model must hold dense tensors, got sparse {sparse}")
    return state


def _saved(model: nn.Module) -> bytes:
    state = _dense_state(model)
    places = [value.data_ptr() for value in state.values() if value.numel()]
    if len(set(places)) < len(places):
        raise ValueError("model must not share memory between tensors: a file holds each by itself")
    return save({name: value.contiguous() for name, value in state.items()})
