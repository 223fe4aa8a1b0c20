"""What writes and reads a width, against the layers' tensors and outputs."""

import pytest
import torch
import torch.nn.functional as F
from chains import WIDTHS, drawn, images, refused

from reference_impl.compress import incoming_rows, outgoing_columns, values_read
from reference_impl.compress.graph import only_reader


@pytest.mark.parametrize(("name", "label"), WIDTHS)
def test_a_unit_has_a_row_and_a_set_of_columns(name, label):
    """Oracle: the network's widths."""
    network = drawn(name)
    assert len(incoming_rows(network, label)) == network.widths[label]
    assert len(outgoing_columns(network, label)) == network.widths[label]


@pytest.mark.equation("eq-merge-folded")
def test_the_rows_of_a_unit_give_its_value_before_the_activation():
    """Oracle: convolution and BatchNorm in the network, at one position of one image."""
    network = drawn("student")
    before = network.norms[0](network.convs[0](images(6)))[:, :, 5, 7]
    patch = F.unfold(images(6), 3, padding=1)[:, :, 5 * 28 + 7]
    expected = torch.cat([patch, torch.ones(len(patch), 1)], dim=1)
    expected = expected @ incoming_rows(network, "conv1").T
    torch.testing.assert_close(expected, before, atol=1e-5, rtol=1e-5)


def test_rows_columns_and_readers_are_those_of_the_layers():
    """Oracle: LeNet-5's tensors; a channel owns 16 columns after the flatten."""
    network = drawn("lenet5")
    weight, bias = network.conv2.weight, network.conv2.bias
    assert torch.equal(
        incoming_rows(network, "conv2"), torch.cat([weight.flatten(1), bias[:, None]], 1)
    )
    columns = network.fc1.weight.view(12, 8, 16).movedim(1, 0).flatten(1)
    found = outgoing_columns(network, "conv2")
    assert torch.equal(found.sort(dim=1).values, columns.sort(dim=1).values)
    readers = {label: only_reader(network, label) for label in network.widths}
    assert readers == {
        "conv1": ("conv2", network.conv2),
        "conv2": ("fc1", network.fc1),
        "hidden": ("fc2", network.fc2),
    }


LENET, RESIDUAL = drawn("lenet300"), drawn("residual")

test_what_one_layer_does_not_read_is_refused = refused(
    (ValueError, "label must be one of", lambda: only_reader(LENET, "pixels")),
    (ValueError, "label must be one of", lambda: incoming_rows(LENET, "pixels")),
    (ValueError, "label must be one of", lambda: outgoing_columns(LENET, "")),
    (ValueError, "several layers", lambda: values_read(RESIDUAL, "stream", images(1))),
    (ValueError, "inside a block", lambda: values_read(RESIDUAL, "inner2", images(1))),
)
