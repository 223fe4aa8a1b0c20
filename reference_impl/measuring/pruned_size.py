"""What a network with zeros takes: counted, in memory, packed, and in a file.

Four numbers that papers call "the size": only what is not 0; every weight, as it lies in memory;
values with the places where they belong; the bytes of a file, deflated or not.
"""

import zlib

import torch
from safetensors.torch import save
from torch import nn

from reference_impl.checks import require_int
from reference_impl.measuring.size import Size, model_size, require_module

INDEX_BITS = 32
"""Of an index in a sparse matrix, as torch and SciPy keep it if it fits."""


def nonzero_size(model: nn.Module, *, weight_bits: int = 32) -> Size:
    """Return b · N≠0 for the weights: nobody can restore a network from this number of bits.

    Args:
        model: whose weights (parameters with two axes or more) may be 0; vectors and buffers are
            counted whole, see `model_size`.
        weight_bits: b.

    Raises:
        TypeError: if ``model`` is no module or ``weight_bits`` no integer.
        ValueError: if ``weight_bits`` is outside 1 … 64.
    """
    weight_bits = require_int("weight_bits", weight_bits, 1, 64)
    whole, nonzero, _, _ = _counts(model, weight_bits)
    return Size({**whole.items, "weights": weight_bits * nonzero})


def bitmap_size(model: nn.Module, *, weight_bits: int = 32) -> Size:
    """Return N + b · N≠0: a bit for each weight says whether it is there, then the values follow.

    Less than dense b · N if and only if the density N≠0/N is below 1 − 1/b.

    Args:
        model: as in `nonzero_size`.
        weight_bits: b.

    Raises:
        TypeError, ValueError: as `nonzero_size`.

    >>> layer = nn.Linear(4, 2, bias=False)
    >>> nn.init.zeros_(layer.weight[0])
    tensor([0., 0., 0., 0.], grad_fn=<...>)
    >>> bitmap_size(layer).items["masks"], bitmap_size(layer).bits
    (8, 136)

    Equation: eq-narrow-bitmap, chapter 14.
    """
    weight_bits = require_int("weight_bits", weight_bits, 1, 64)
    whole, nonzero, n, _ = _counts(model, weight_bits)
    return Size({**whole.items, "weights": weight_bits * nonzero, "masks": n})


def csr_size(model: nn.Module, *, weight_bits: int = 32, index_bits: int = INDEX_BITS) -> Size:
    """Return N≠0 (b + b_i) + (rows + 1) b_i: each value with its column, and where rows begin.

    Compressed sparse rows, the form in which a sparse product runs. With b_i = b it is less than
    dense only if the density is below ½, and a little more for the rows.

    Args:
        model: as in `nonzero_size`; a filter is a row.
        weight_bits: b.
        index_bits: b_i.

    Raises:
        TypeError, ValueError: as `nonzero_size`; ``index_bits`` as ``weight_bits``.

    Equation: eq-narrow-csr, chapter 14.
    """
    weight_bits = require_int("weight_bits", weight_bits, 1, 64)
    index_bits = require_int("index_bits", index_bits, 1, 64)
    whole, nonzero, _, rows = _counts(model, weight_bits)
    values = {"weights": weight_bits * nonzero, "columns": index_bits * nonzero}
    return Size({**whole.items, **values, "rows": index_bits * rows})


def file_bytes(model: nn.Module) -> int:
    """Return the bytes of the model's safetensors file: numbers as in memory, and a header.

    Raises:
        TypeError: if ``model`` is no module, or holds a sparse tensor.
        ValueError: if two of its tensors share their memory.
    """
    return len(_saved(model))


def deflated_bytes(model: nn.Module) -> int:
    """Return the bytes of that file after zlib at level 9, which finds the zeros by itself.

    Raises:
        TypeError, ValueError: as `file_bytes`.
    """
    return len(zlib.compress(_saved(model), level=9))


def _saved(model: nn.Module) -> bytes:
    require_module(model)
    state = model.state_dict()
    if sparse := [name for name, value in state.items() if value.layout != torch.strided]:
        raise TypeError(f"model must hold dense tensors, got sparse {sparse}")
    places = [value.data_ptr() for value in state.values() if value.numel()]
    if len(set(places)) < len(places):
        raise ValueError("model must not share memory between tensors: a file holds each by itself")
    return save({name: value.contiguous() for name, value in state.items()})


def _counts(model: nn.Module, weight_bits: int) -> tuple[Size, int, int, int]:
    """Return the dense size, and of all weights N≠0, N and Σ (rows + 1)."""
    whole = model_size(model, weight_bits=weight_bits)
    weights = [p.detach() for p in model.parameters() if p.ndim >= 2]
    nonzero = sum(int(w.count_nonzero()) for w in weights)
    return whole, nonzero, sum(w.numel() for w in weights), sum(len(w) + 1 for w in weights)
