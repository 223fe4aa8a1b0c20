"""What writes and reads a width, against the layers' tensors and outputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import incoming_rows, outgoing_columns, values_read
from reference_impl.compress.graph import only_reader
from reference_impl.models import MODELS, ConvStudent, LeNet5, LeNet300, Network, ResidualNetwork

every_width = pytest.mark.parametrize(
    ("kind", "label"), [(kind, label) for kind in MODELS.values() for label in kind().widths]
)


def drawn(kind: type[Network]) -> Network:
    """Return a network with BatchNorm statistics far from 0 and 1, in evaluation mode."""
    torch.manual_seed(0)
    network = kind()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


def images(n: int = 6) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(2))


@every_width
def test_the_rows_of_a_unit_give_its_value_before_the_activation(kind, label):
    """Oracle: convolution and BatchNorm in the network, at one position of one image.

    Equation: eq-merge-folded.
    """
    network = drawn(kind)
    rows = incoming_rows(network, label)
    assert rows.shape[0] == network.widths[label] == outgoing_columns(network, label).shape[0]
    if kind is ConvStudent and label == "conv1":
        before = network.norms[0](network.convs[0](images()))[:, :, 5, 7]
        patch = F.unfold(images(), 3, padding=1)[:, :, 5 * 28 + 7]
        expected = torch.cat([patch, torch.ones(len(patch), 1)], dim=1) @ rows.T
        torch.testing.assert_close(expected, before, atol=1e-5, rtol=1e-5)


def test_rows_and_columns_are_those_of_the_layers():
    """Oracle: LeNet-5's tensors; a channel owns 16 columns after the flatten."""
    network = drawn(LeNet5)
    weight, bias = network.conv2.weight, network.conv2.bias
    assert torch.equal(
        incoming_rows(network, "conv2"), torch.cat([weight.flatten(1), bias[:, None]], 1)
    )
    columns = network.fc1.weight.view(500, 50, 16).movedim(1, 0).flatten(1)
    found = outgoing_columns(network, "conv2")
    assert torch.equal(found.sort(dim=1).values, columns.sort(dim=1).values)


def test_the_only_reader_is_the_layer_that_the_widths_feed():
    """Oracle: LeNet-5's layers."""
    network = LeNet5()
    readers = {label: only_reader(network, label) for label in network.widths}
    assert readers == {
        "conv1": ("conv2", network.conv2),
        "conv2": ("fc1", network.fc1),
        "hidden": ("fc2", network.fc2),
    }


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: only_reader(LeNet300(), "pixels"), ValueError, "label must be one of"),
        (lambda: incoming_rows(LeNet300(), "pixels"), ValueError, "label must be one of"),
        (lambda: outgoing_columns(LeNet300(), ""), ValueError, "label must be one of"),
        (lambda: outgoing_columns(LeNet300(), 0), TypeError, "label must be str, got int 0"),
        (lambda: only_reader(LeNet300().chain(), "fc1"), TypeError, "network must be Network"),
        (lambda: values_read(ResidualNetwork(), "stream", images()), ValueError, "several layers"),
        (lambda: values_read(ResidualNetwork(), "inner2", images()), ValueError, "inside a block"),
    ],
)
def test_what_one_layer_does_not_read_is_refused(call, error, message):
    """Oracle: the documented errors."""
    with pytest.raises(error, match=message):
        call()
