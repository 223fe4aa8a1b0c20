"""Sizes of models against hand counts, SciPy, torch, NumPy's packed bits and safetensors files."""

import json
import struct
import warnings
import zlib

import numpy as np
import pytest
import scipy.sparse
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn
from torch.nn.utils import prune

from reference_impl import quantization
from reference_impl.measuring import (
    Size,
    bitmap_size,
    count_parameters,
    csr_size,
    deflated_bytes,
    file_bytes,
    model_size,
    nonzero_size,
    quantized_size,
)
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300


@pytest.mark.equation("eq-cost-parameters")
def test_lenets_have_the_published_numbers_of_parameters():
    """Oracle: Han et al. 2015, tables 3 and 4 (266K, 431K); 3·3 + 3 of a shared layer."""
    assert count_parameters(LeNet300()) == 785 * 300 + 301 * 100 + 101 * 10 == 266_610
    assert count_parameters(LeNet5()) == 26 * 20 + 501 * 50 + 801 * 500 + 501 * 10 == 431_080
    layer = nn.Linear(3, 3)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)) == 12


def forgetful():
    """Return a layer with two buffers of one length, of which the file holds one."""
    layer = nn.Linear(3, 2)
    layer.register_buffer("kept", torch.zeros(5))
    layer.register_buffer("forgotten", torch.zeros(5), persistent=False)
    return layer


@pytest.mark.equation("eq-cost-bytes")
@pytest.mark.parametrize(
    "model",
    [LeNet300(), LeNet5(), ConvTeacher(), ConvStudent(), nn.Linear(64, 64).half(), forgetful()],
)
def test_bytes_are_those_of_the_safetensors_file_without_its_header(model):
    """Oracle: a file written by safetensors, whose first 8 bytes give the header's length."""
    stored = save(model.state_dict())
    (header,) = struct.unpack("<Q", stored[:8])
    assert json.loads(stored[8 : 8 + header])
    assert model_size(model).bytes == len(stored) - 8 - header


@given(bits=st.integers(1, 64))
def test_only_weights_change_their_width(bits):
    """Oracle: by hand, 266,200 weights and 410 biases."""
    size = model_size(LeNet300(), weight_bits=bits)
    assert dict(size.items) == {"weights": 266_200 * bits, "vectors": 410 * 32, "buffers": 0}


def test_bits_are_rounded_up_to_bytes_and_sizes_add_up():
    """Oracle: by hand; the dict that was given may change, the size not."""
    given_items = {"values": 3, "mask": 5}
    together = Size(given_items) + Size({"mask": 1, "scales": 0})
    given_items["values"] = 16
    assert dict(together.items) == {"values": 3, "mask": 6, "scales": 0}
    assert (together.bits, together.bytes, Size({}).bytes, Size({"a": 8}).bytes) == (9, 2, 0, 1)
    with pytest.raises(TypeError, match="does not support item assignment"):
        together.items["values"] = 0


def pruned(density):
    torch.manual_seed(0)
    network = LeNet300((40, 20))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data *= torch.rand_like(parameter) < density
    return network


def weights(network):
    return [p.detach().flatten(1).numpy() for p in network.parameters() if p.ndim > 1]


@pytest.mark.equation("eq-narrow-csr")
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
def test_sparse_rows_take_what_scipys_take(density):
    """Oracle: the bytes of SciPy's csr_array, whose indices are of 32 bits here; then 8 and 16."""
    network = pruned(density)
    csr = [scipy.sparse.csr_array(w) for w in weights(network)]
    parts = [(a.data.nbytes, a.indices.nbytes, a.indptr.nbytes) for a in csr]
    values, columns, rows = 8 * np.sum(parts, axis=0)
    items = {"weights": values, "columns": columns, "rows": rows}
    assert csr_size(network).items.items() >= items.items()
    assert csr_size(network).bytes == (values + columns + rows) // 8 + 4 * (40 + 20 + 10)
    small = {"weights": values // 4, "columns": columns // 2, "rows": rows // 2}
    found = csr_size(network, weight_bits=np.int8(8), index_bits=16)
    assert found.items.items() >= small.items()


@pytest.mark.equation("eq-narrow-bitmap")
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
def test_a_bitmap_takes_what_packed_bits_and_values_take(density):
    """Oracle: NumPy's packbits and the values behind it, b = 32."""
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


def test_the_file_is_the_file(tmp_path):
    """Oracle: safetensors' own file on the disk, and zlib."""
    network = pruned(0.1)
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    content = (tmp_path / "network.safetensors").read_bytes()
    assert file_bytes(network) == len(content)
    assert deflated_bytes(network) == len(zlib.compress(content, 9))
    assert deflated_bytes(network) < file_bytes(network) / 4
    assert deflated_bytes(pruned(1)) > 0.8 * file_bytes(network)


WEIGHT = normal(300, 784)


@pytest.mark.equation("eq-affine-size")
@pytest.mark.parametrize(
    ("view", "axes", "scales"),
    [(WEIGHT, (), 1), (WEIGHT, 0, 300)]
    + [(quantization.split_groups(WEIGHT, g), (0, 1), 235_200 // g) for g in (1, 4, 8, 28, 784)],
)
def test_codes_scales_and_zero_points_are_counted(view, axes, scales):
    """Oracle: 235,200 codes of 4 bits, scales of 16: a group of g adds 16/g bits to each value."""
    low, high = quantization.min_max_range(view, axes)
    symmetric = quantization.symmetric_from_range(
        low, high, quantization.IntegerGrid(4, signed=True)
    )
    affine = quantization.affine_from_range(low, high, quantization.IntegerGrid(4))
    items = {"codes": 940_800, "scales": 16 * scales, "zero points": 0}
    assert dict(quantized_size(symmetric, 235_200).items) == items
    assert quantized_size(affine, 235_200).bits == 940_800 + 20 * scales
    assert quantized_size(affine, 235_200, scale_bits=32).items["scales"] == 32 * scales


def test_a_buffer_under_two_names_is_counted_if_one_is_stored():
    """Oracle: four numbers of 32 bits in the state."""
    model = nn.Module()
    table = torch.zeros(4)
    model.register_buffer("cache", table, persistent=False)
    model.register_buffer("table", table)
    assert model_size(model).bits == 128


def test_weights_that_are_not_what_they_seem_are_refused():
    """Oracle: the layer by name: sparse, or multiplied by a mask when it is called."""
    layer = nn.Linear(8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse = nn.Module()
        sparse.register_buffer("weight", layer.weight.detach().to_sparse_csr())
    for call in (model_size, nonzero_size, csr_size):
        with pytest.raises(TypeError, match="dense tensors, got sparse"):
            call(sparse)
    with pytest.raises(ValueError, match=r"'0.weight', '0.bias'\] are not made yet"):
        model_size(nn.Sequential(nn.LazyLinear(3)))
    pruned = nn.Sequential(prune.l1_unstructured(layer, "weight", 0.5))
    with pytest.raises(ValueError, match="must not compute its weights, '0' does"):
        nonzero_size(pruned)
