"""Sizes of networks with zeros: SciPy's and torch's sparse matrices, bit counts, real files."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from safetensors.torch import save_file
from torch import nn

from reference_impl.compress import with_sparse_layers
from reference_impl.measuring import (
    bitmap_size,
    csr_size,
    deflated_bytes,
    file_bytes,
    model_size,
    nonzero_size,
)
from reference_impl.models import ConvStudent, LeNet300


def pruned(density: float) -> LeNet300:
    torch.manual_seed(0)
    network = LeNet300((40, 20))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data *= torch.rand_like(parameter) < density
    return network


def weights(network: nn.Module) -> list[np.ndarray]:
    return [p.detach().flatten(1).numpy() for p in network.parameters() if p.ndim > 1]


@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
def test_sparse_rows_take_what_scipys_take(density):
    """Oracle: the bytes of SciPy's csr_array, whose indices are of 32 bits here.

    Equation: eq-narrow-csr.
    """
    network = pruned(density)
    csr = [scipy.sparse.csr_array(w) for w in weights(network)]
    expected = sum(a.data.nbytes + a.indices.nbytes + a.indptr.nbytes for a in csr)
    found = csr_size(network)
    assert found.bytes == expected + 4 * (40 + 20 + 10)
    assert found.items["weights"] == 8 * sum(a.data.nbytes for a in csr)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
def test_a_bitmap_takes_what_packed_bits_and_values_take(density):
    """Oracle: NumPy's packbits and the values behind it, b = 32.

    Equation: eq-narrow-bitmap.
    """
    network = pruned(density)
    masks = np.concatenate([(w != 0).ravel() for w in weights(network)])
    values = np.concatenate([w[w != 0] for w in weights(network)])
    expected = len(np.packbits(masks)) + values.nbytes
    assert bitmap_size(network).bytes == expected + 4 * 70
    assert nonzero_size(network).bytes == values.nbytes + 4 * 70


def test_where_packing_pays():
    """Oracle: the two densities of the docstrings, 1 − 1/b and a little below ½."""
    n = 32 * 1000
    for kept, packs in ((n * 31 // 32 - 1, True), (n * 31 // 32, False)):
        layer = nn.Linear(n, 1, bias=False)
        layer.weight.data = (torch.arange(n) < kept).float()[None]
        assert (bitmap_size(layer).bits < model_size(layer).bits) == packs
    for kept, packs in ((n // 2 - 2, True), (n // 2 - 1, False)):
        layer.weight.data = (torch.arange(n) < kept).float()[None]
        assert (csr_size(layer).bits < model_size(layer).bits) == packs


def test_vectors_and_buffers_are_counted_whole():
    """Oracle: model_size."""
    network = ConvStudent()
    whole = model_size(network)
    for size in (nonzero_size(network), bitmap_size(network), csr_size(network)):
        assert size.items["vectors"] == whole.items["vectors"]
        assert size.items["buffers"] == whole.items["buffers"]
    assert nonzero_size(network, weight_bits=8).items["weights"] * 4 == whole.items["weights"]


def test_the_file_is_the_file(tmp_path: Path):
    """Oracle: safetensors' own file on the disk, and zlib."""
    network = pruned(0.1)
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    content = (tmp_path / "network.safetensors").read_bytes()
    assert file_bytes(network) == len(content)
    assert deflated_bytes(network) == len(zlib.compress(content, 9))
    assert deflated_bytes(network) < file_bytes(network) / 4
    assert deflated_bytes(pruned(1)) > 0.8 * file_bytes(network)


@pytest.mark.parametrize("size", [nonzero_size, bitmap_size, csr_size, file_bytes, deflated_bytes])
def test_what_is_no_module_is_refused(size):
    """Oracle: the documented error."""
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        size(torch.ones(3))


def test_a_file_of_what_no_file_can_hold_is_refused():
    """Oracle: the documented errors."""
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="model must not share memory between tensors"):
        file_bytes(tied)
    with pytest.raises(
        TypeError, match=r"model must hold dense tensors, got sparse \['0.weight'\]"
    ):
        deflated_bytes(with_sparse_layers(nn.Sequential(nn.Linear(3, 3))))


def test_places_are_counted_in_bits_of_an_index():
    """Oracle: 3 values of 8 bits, 3 columns and 2 + 1 rows of 16."""
    layer = nn.Linear(4, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0, 0, 2], [0, 3, 0, 0]])
    items = csr_size(layer, weight_bits=8, index_bits=16).items
    assert (items["weights"], items["columns"], items["rows"]) == (24, 48, 48)


def test_bits_may_be_an_integer_of_numpy():
    """Oracle: Python's integers, which do not overflow."""
    for size in (nonzero_size, bitmap_size, csr_size):
        found = size(pruned(0.5), weight_bits=np.int8(8))
        assert found == size(pruned(0.5), weight_bits=8)
        assert type(found.bits) is int


def test_widths_out_of_range_are_refused():
    """Oracle: the documented errors."""
    with pytest.raises(ValueError, match=r"weight_bits must be in \[1, 64\], got 0"):
        bitmap_size(nn.Linear(2, 2), weight_bits=0)
    with pytest.raises(ValueError, match=r"index_bits must be in \[1, 64\], got 65"):
        csr_size(nn.Linear(2, 2), index_bits=65)
    with pytest.raises(TypeError, match="weight_bits must be an integer"):
        nonzero_size(nn.Linear(2, 2), weight_bits=None)
