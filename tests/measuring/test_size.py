"""reference_impl.measuring.size against hand counts, torch and safetensors files."""

import json
import struct
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from reference_impl.measuring import Size, count_parameters, model_size
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300


def test_lenets_have_the_published_numbers_of_parameters():
    """Oracle: Han et al. 2015, tables 3 and 4 (266K and 431K), and the sums written out.

    Equation: eq-cost-parameters.
    """
    assert count_parameters(LeNet300()) == 785 * 300 + 301 * 100 + 101 * 10 == 266_610
    assert count_parameters(LeNet5()) == 26 * 20 + 501 * 50 + 801 * 500 + 501 * 10 == 431_080


def test_a_shared_parameter_is_counted_once():
    """Oracle: by hand, 3·3 + 3."""
    layer = nn.Linear(3, 3)
    assert count_parameters(nn.Sequential(layer, nn.ReLU(), layer)) == 12


@pytest.mark.parametrize("cls", [LeNet300, LeNet5, ConvTeacher, ConvStudent])
def test_bytes_are_those_of_the_safetensors_file_without_its_header(cls, tmp_path):
    """Oracle: a file written by safetensors, whose first 8 bytes give the header's length.

    Equation: eq-cost-bytes.
    """
    model = cls()
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    stored = (tmp_path / "m.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", stored[:8])
    assert json.loads(stored[8 : 8 + header])
    assert model_size(model).bytes == len(stored) - 8 - header


@settings(deadline=None)
@given(bits=st.integers(1, 64))
def test_only_weights_change_their_width(bits):
    """Oracle: by hand, 266,200 weights and 410 biases."""
    size = model_size(LeNet300(), weight_bits=bits)
    assert dict(size.items) == {"weights": 266_200 * bits, "vectors": 410 * 32, "buffers": 0}


def test_a_buffer_that_is_not_stored_takes_no_room():
    """Oracle: safetensors; two buffers of one length, of which the file holds one."""
    model = nn.Linear(3, 2)
    model.register_buffer("kept", torch.zeros(5))
    model.register_buffer("forgotten", torch.zeros(5), persistent=False)
    stored = save(model.state_dict())
    (header,) = struct.unpack("<Q", stored[:8])
    assert model_size(model).items["buffers"] == 5 * 32
    assert model_size(model).bytes == len(stored) - 8 - header


def test_half_precision_halves_the_size():
    """Oracle: safetensors, by the difference of two files with one header length."""
    single, half = nn.Linear(64, 64), nn.Linear(64, 64).half()
    difference = len(save(single.state_dict())) - len(save(half.state_dict()))
    assert model_size(single).bytes - model_size(half).bytes == difference


def test_bits_are_rounded_up_to_bytes_and_sizes_add_up():
    """Oracle: by hand."""
    together = Size({"values": 3, "mask": 5}) + Size({"mask": 1, "scales": 0})
    assert dict(together.items) == {"values": 3, "mask": 6, "scales": 0}
    assert (together.bits, together.bytes, Size({}).bytes, Size({"a": 8}).bytes) == (9, 2, 0, 1)


def test_a_size_cannot_be_changed():
    """Oracle: Python's read-only mapping; the dict that was given may change, the size not."""
    given_items = {"values": 8}
    size = Size(given_items)
    given_items["values"] = 16
    assert size.bytes == 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        size.items["values"] = 0
    with pytest.raises(FrozenInstanceError):
        size.items = {}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: count_parameters([1]), TypeError, "model must be a torch.nn.Module, got list"),
        (lambda: model_size(torch.zeros(1)), TypeError, "model must be a torch.nn.Module, got Ten"),
        (lambda: model_size(LeNet300(), weight_bits=0), ValueError, "weight_bits must be in"),
        (lambda: model_size(LeNet300(), weight_bits=65), ValueError, "weight_bits must be in"),
        (lambda: model_size(LeNet300(), weight_bits=8.0), TypeError, "weight_bits must be an int"),
        (lambda: Size(8), TypeError, "items must be a mapping, got int"),
        (lambda: Size({"mask": -1}), ValueError, r"items\['mask'\] must be at least 0, got -1"),
        (lambda: Size({"mask": 0.5}), TypeError, r"items\['mask'\] must be an integer, got 0.5"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the rule that an error names argument, value and expectation."""
    with pytest.raises(error, match=message):
        call()
