"""Networks with units removed: rows and columns, masked twins, exact duplicates, bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
from chains import WIDTHS, brought, drawn, images, mask, refused
from torch import nn

from reference_impl.compress import (
    incoming_rows,
    map_width,
    outgoing_columns,
    remove_units,
    silence_units,
    values_read,
)
from reference_impl.compress.graph import dependency_graph, only_reader
from reference_impl.merging import WidthMap, standing_in
from reference_impl.models import Network

every_width = pytest.mark.parametrize(("name", "label"), WIDTHS)


@every_width
def test_a_unit_has_a_row_and_a_set_of_columns(name, label):
    """Oracle: the network's widths."""
    network = drawn(name)
    assert len(incoming_rows(network, label)) == network.widths[label]
    assert len(outgoing_columns(network, label)) == network.widths[label]


@pytest.mark.equation("eq-merge-folded")
def test_the_rows_of_a_unit_give_its_value_before_the_activation():
    """Oracle: convolution and BatchNorm in the network, at one position of one image."""
    network = drawn("student")
    before = network.norm1(network.conv1(images(6)))[:, :, 5, 7]
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


@every_width
def test_a_removed_unit_is_one_that_nothing_reads(name, label):
    """Oracle: the masked network, of this width and of all widths."""
    network = drawn(name)
    for labels in ([label], list(network.widths)):
        keep = {label: mask(network.widths[label]) for label in labels}
        small = remove_units(network, keep)
        kept = {label: int(chosen.sum()) for label, chosen in keep.items()}
        assert small.widths == {**network.widths, **kept}
        masked = silence_units(network, keep)
        assert masked.widths == network.widths
        torch.testing.assert_close(small(images(6)), masked(images(6)), atol=1e-5, rtol=0)
        assert not torch.equal(masked(images(6)), network(images(6)))


@pytest.mark.equation("eq-merge-next")
@pytest.mark.parametrize(("name", "label"), [w for w in WIDTHS if w[0] != "separable"])
def test_a_unit_that_is_twice_another_can_be_merged_with_it(name, label):
    """Oracle: the network before; a_j = 2 a_i, so W'_i += 2 W'_j changes nothing."""
    network = drawn(name)
    normed = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with torch.no_grad():
        for key in dependency_graph(network).ends(label, written=True):
            value = network.state_dict()[key]
            kept = key.endswith(("mean", "var")) or (normed and value.ndim > 1)
            value[1] = value[0] if kept else 2 * value[0]
    n = network.widths[label]
    stands_for, scale = torch.arange(n), torch.ones(n)
    stands_for[1], scale[1] = 0, 2
    merged = map_width(network, label, standing_in(torch.arange(n) != 1, stands_for, scale))
    torch.testing.assert_close(merged(images(6)), network(images(6)), atol=2e-5, rtol=1e-5)


@pytest.mark.equation("eq-narrow-rows")
def test_rows_of_averaged_units_are_written_where_no_norm_forbids_it():
    """Oracle: the mean of two rows and two biases."""
    network = drawn("lenet300")
    merge = torch.zeros(11, 12)
    merge[torch.arange(10), torch.arange(2, 12)] = 1
    merge[10, :2] = 0.5
    small = map_width(network, "hidden1", WidthMap(merge, (merge > 0).float().T.contiguous()))
    torch.testing.assert_close(small.fc1.weight[10], network.fc1.weight[:2].mean(dim=0))
    torch.testing.assert_close(small.fc1.bias[10], network.fc1.bias[:2].mean())
    torch.testing.assert_close(small.fc2.weight[:, 10], network.fc2.weight[:, :2].sum(dim=1))


REMOVED = {
    "resnet18": ["conv1", "layer2.0.conv1"],
    "mobilenet_v2": ["features.2.conv.0.0", "features.4.conv.2"],
    "vgg11_bn": ["features.0", "features.11"],
    "squeezenet1_1": ["features.3.expand1x1", "features.12.expand3x3"],
    "densenet121": ["features.conv0", "features.denseblock2.denselayer3.conv2"],
}
"""Before sums, depthwise filters, a flatten, concatenations."""


@pytest.mark.equation("eq-narrow-same")
@pytest.mark.parametrize(("name", "labels"), [*((n, [w]) for n, w in WIDTHS), *REMOVED.items()])
def test_the_same_removal_by_torch_pruning_gives_the_same_outputs(name, labels):
    """Oracle: torch_pruning, which finds by tracing what else must go."""
    network = brought(name) if name in REMOVED else drawn(name)
    x = torch.rand(2, 3, 64, 64) if name in REMOVED else images(6)
    paths = {label: path for path, label in getattr(network, "width_names", {}).items()}
    found, theirs = dependency_graph(network, x), copy.deepcopy(network)
    graph = tp.DependencyGraph().build_dependency(theirs, example_inputs=x[:1])
    keep = {label: mask(found.widths[label]) for label in labels}
    for label, kept in keep.items():
        root = theirs.get_submodule(paths.get(label, label))
        linear = isinstance(root, nn.Linear)
        remove = tp.prune_linear_out_channels if linear else tp.prune_conv_out_channels
        graph.get_pruning_group(root, remove, idxs=(~kept).nonzero().flatten().tolist()).prune()
    ours = remove_units(network, keep, found)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-5)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in theirs.state_dict().items()}


def test_layers_keep_their_modes_and_their_eps():
    """Oracle: the network before, and its outputs with another eps."""
    network = drawn("student")
    network.norm2.train()
    network.norm2.momentum = 0.3
    network.norm1.eps = 0.5
    same = remove_units(network, {"conv1": torch.ones(6, dtype=torch.bool)})
    assert not same.training
    assert (same.norm2.training, same.norm2.momentum, same.norm1.eps) == (True, 0.3, 0.5)
    assert torch.equal(same.eval()(images(6)), network.eval()(images(6)))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_filters_keep_their_layout(layout):
    """Oracle: what torch says of every filter before and after."""
    network = drawn("student").to(memory_format=layout)
    keep = {"conv1": mask(6), "conv2": mask(8)}
    for made in (remove_units(network, keep), silence_units(network, keep)):
        for conv in (network.conv2, made.conv1, made.conv2, made.conv3):
            assert conv.weight.is_contiguous(memory_format=layout)


def test_a_selection_moves_numbers_bit_by_bit():
    """Oracle: indexing, with magnitudes that a sum of products would round."""
    network, keep = drawn("lenet300"), mask(12)
    network.fc1.weight.data[7] *= 1e30
    small = remove_units(network, {"hidden1": keep})
    assert torch.equal(small.fc1.weight, network.fc1.weight[keep])
    assert torch.equal(small.fc2.weight, network.fc2.weight[:, keep])


LENET, STUDENT = drawn("lenet300"), drawn("student")
SEPARABLE, RESIDUAL = drawn("separable"), drawn("residual")
STANDS_FOR = torch.tensor([0, 0, 2, 3, 4, 5])
FIRST_FOR_SECOND = standing_in(torch.arange(6) != 1, STANDS_FOR, torch.ones(6))
DEPTHWISE = "'depthwise1' is a depthwise convolution over 'stem'"
FOREIGN = "'fc1' is parametrized"
AVERAGE = WidthMap(torch.full((1, 6), 1 / 6), torch.ones(6, 1))
LABELS, TOO_FEW = r"one of \['conv1', 'conv2', 'conv3'\]", "'hidden1' has 12 units, got .* for 11"


def parametrized() -> Network:
    network = drawn("lenet300")
    nn.utils.parametrize.register_parametrization(network.fc1, "weight", nn.Identity())
    return network


test_what_no_width_allows_is_refused_by_name = refused(
    (ValueError, "label must be one of", lambda: outgoing_columns(LENET, "")),
    (ValueError, "several layers", lambda: values_read(RESIDUAL, "stream", images(1))),
    (ValueError, LABELS, lambda: remove_units(STUDENT, {"conv1": mask(6), "pixels": mask(8)})),
    (ValueError, LABELS, lambda: silence_units(STUDENT, {"conv9": mask(8)})),
    (ValueError, TOO_FEW, lambda: remove_units(LENET, {"hidden2": mask(10), "hidden1": mask(11)})),
    (ValueError, "leave a unit", lambda: remove_units(LENET, {"hidden1": mask(12) & False})),
    (ValueError, "'norm1' is BatchNorm over", lambda: map_width(STUDENT, "conv1", AVERAGE)),
    (ValueError, DEPTHWISE, lambda: map_width(SEPARABLE, "stem", FIRST_FOR_SECOND)),
    (ValueError, FOREIGN, lambda: remove_units(parametrized(), {"hidden1": mask(12)})),
)
