"""Networks with units removed: masked twins, exact duplicates, brute force, bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
from torch import nn

from reference_impl.compress import map_width, remove_units, silence_units
from reference_impl.merging import WidthMap, selection, standing_in
from reference_impl.models import MODELS, ConvStudent, LeNet300, Network, SeparableStudent

EVERY_WIDTH = [(kind, label) for kind in MODELS.values() for label in kind().widths]
every_width = pytest.mark.parametrize(("kind", "label"), EVERY_WIDTH)


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


def mask(n: int) -> torch.Tensor:
    keep = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.6
    keep[0] = True
    return keep


def images(n: int = 6) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(2))


@every_width
def test_a_removed_unit_is_one_that_nothing_reads(kind, label):
    """Oracle: the masked network."""
    network = drawn(kind)
    keep = {label: mask(network.widths[label])}
    small = remove_units(network, keep)
    assert small.widths == {**network.widths, label: int(keep[label].sum())}
    masked = silence_units(network, keep)
    assert masked.widths == network.widths
    torch.testing.assert_close(small(images()), masked(images()), atol=1e-5, rtol=0)
    assert not torch.equal(masked(images()), network(images()))


@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())
def test_units_of_all_widths_go_together(kind):
    """Oracle: the masked network."""
    network = drawn(kind)
    keep = {label: mask(n) for label, n in network.widths.items()}
    small = remove_units(network, keep)
    assert small.widths == {label: int(kept.sum()) for label, kept in keep.items()}
    masked = silence_units(network, keep)(images())
    torch.testing.assert_close(small(images()), masked, atol=1e-5, rtol=0)


def test_the_masked_network_has_the_units_outputs_at_zero():
    """Oracle: a forward pass of LeNet-300-100 with the hidden units' activations multiplied."""
    network, keep = drawn(LeNet300), mask(300)
    hidden = F.relu(network.fc1(images().flatten(1))) * keep
    expected = network.fc3(F.relu(network.fc2(hidden)))
    torch.testing.assert_close(silence_units(network, {"hidden1": keep})(images()), expected)


@pytest.mark.parametrize(
    ("kind", "label"), [(k, w) for k, w in EVERY_WIDTH if k is not SeparableStudent]
)
def test_a_unit_that_is_twice_another_can_be_merged_with_it(kind, label):
    """Oracle: the network before; a_j = 2 a_i, so W'_i += 2 W'_j changes nothing.

    Equation: eq-merge-next.
    """
    network = drawn(kind)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            axes = network.axes[name]
            if axes and axes[0].label == label and not name.endswith(("mean", "var")):
                twice = 2 if value.ndim == 1 or not has_norms(network) else 1
                value[1] = twice * value[0]
            elif axes and axes[0].label == label:
                value[1] = value[0]
    n = network.widths[label]
    stands_for = torch.arange(n)
    stands_for[1] = 0
    scale = torch.ones(n)
    scale[1] = 2
    merged = map_width(network, label, standing_in(torch.arange(n) != 1, stands_for, scale))
    torch.testing.assert_close(merged(images()), network(images()), atol=2e-5, rtol=1e-5)


def has_norms(network: Network) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@every_width
def test_the_network_shares_nothing_with_the_smaller_one_and_is_left_as_it_is(kind, label):
    """Oracle: a copy of the state; the smaller one's parameters overwritten."""
    network = drawn(kind).train()
    before = copy.deepcopy(network.state_dict())
    keep = {label: torch.ones(network.widths[label], dtype=torch.bool)}
    for made in (
        remove_units(network, keep),
        silence_units(network, keep),
        remove_units(network, {}),
    ):
        assert made.training
        assert all(parameter.requires_grad for parameter in made.parameters())
        for value in made.state_dict().values():
            value.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_no_random_number_is_drawn():
    """Oracle: the global generator's state."""
    network, before = drawn(LeNet300), torch.get_rng_state()
    remove_units(network, {"hidden1": mask(300)})
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_of_averaged_units_are_written_where_no_norm_forbids_it():
    """Oracle: the mean of two rows and two biases.

    Equation: eq-narrow-rows.
    """
    network = drawn(LeNet300)
    merge = torch.zeros(299, 300)
    merge[torch.arange(298), torch.arange(2, 300)] = 1
    merge[298, :2] = 0.5
    small = map_width(network, "hidden1", WidthMap(merge, (merge > 0).float().T.contiguous()))
    torch.testing.assert_close(small.fc1.weight[298], network.fc1.weight[:2].mean(dim=0))
    torch.testing.assert_close(small.fc1.bias[298], network.fc1.bias[:2].mean())
    torch.testing.assert_close(small.fc2.weight[:, 298], network.fc2.weight[:, :2].sum(dim=1))


@pytest.mark.parametrize("label", ["conv9", "pixels"])
def test_a_width_that_the_network_lacks_is_refused_by_name(label):
    """Oracle: the documented error."""
    network = drawn(ConvStudent)
    for call in (
        lambda: map_width(network, label, selection(mask(8))),
        lambda: remove_units(network, {label: mask(8)}),
        lambda: silence_units(network, {label: mask(8)}),
    ):
        with pytest.raises(ValueError, match=r"label must be one of \['conv1', 'conv2', 'conv3'\]"):
            call()


def test_a_mask_of_another_length_is_refused():
    """Oracle: the documented error."""
    with pytest.raises(ValueError, match="'hidden1' has 300 units, got a map or mask for 299"):
        remove_units(drawn(LeNet300), {"hidden2": mask(100), "hidden1": mask(299)})


def test_removing_all_units_of_a_layer_is_refused():
    """Oracle: the documented error."""
    with pytest.raises(ValueError, match="keep must leave a unit or more"):
        remove_units(drawn(LeNet300), {"hidden1": torch.zeros(300, dtype=torch.bool)})


def test_batch_norm_is_not_averaged():
    """Oracle: the documented error names the layer."""
    merge = torch.full((1, 8), 1 / 8)
    with pytest.raises(ValueError, match=r"'norms.0' is BatchNorm over 'conv1'"):
        map_width(drawn(ConvStudent), "conv1", WidthMap(merge, torch.ones(8, 1)))


def test_no_channel_stands_for_another_before_a_depthwise_filter():
    """Oracle: the documented error names the layer."""
    stands_for = torch.arange(16)
    stands_for[1] = 0
    merged = standing_in(torch.arange(16) != 1, stands_for, torch.ones(16))
    with pytest.raises(ValueError, match=r"'depthwise.0' is a depthwise convolution over 'stem'"):
        map_width(drawn(SeparableStudent), "stem", merged)


def test_what_is_not_a_network_is_refused():
    """Oracle: the documented error."""
    with pytest.raises(TypeError, match="network must be Network"):
        remove_units(nn.Linear(3, 3), {})


ROOTS = {
    "lenet300": {"hidden1": "fc1", "hidden2": "fc2"},
    "lenet5": {"conv1": "conv1", "conv2": "conv2", "hidden": "fc1"},
    "teacher": {f"conv{i + 1}": f"convs.{i}" for i in range(4)},
    "student": {f"conv{i + 1}": f"convs.{i}" for i in range(3)},
    "separable": {"stem": "stem", **{f"block{i + 1}": f"pointwise.{i}" for i in range(4)}},
    "residual": {
        "stream": "conv",
        **{f"inner{i + 1}": f"blocks.{i}.body.conv1" for i in range(3)},
    },
}
"""Network → width → a layer that writes it."""


@pytest.mark.parametrize(
    ("name", "label"), [(name, label) for name, labels in ROOTS.items() for label in labels]
)
def test_the_same_removal_by_torch_pruning_gives_the_same_outputs(name, label):
    """Oracle: torch_pruning, which finds by tracing what else must go.

    Equation: eq-narrow-same.
    """
    network = drawn(MODELS[name])
    keep = mask(network.widths[label])
    theirs = copy.deepcopy(network)
    graph = tp.DependencyGraph().build_dependency(theirs, example_inputs=images(1))
    root = theirs.get_submodule(ROOTS[name][label])
    linear = isinstance(root, nn.Linear)
    remove = tp.prune_linear_out_channels if linear else tp.prune_conv_out_channels
    graph.get_pruning_group(root, remove, idxs=(~keep).nonzero().flatten().tolist()).prune()
    ours = remove_units(network, {label: keep})
    torch.testing.assert_close(ours(images()), theirs(images()), atol=1e-6, rtol=0)
    found = {key: value.shape for key, value in ours.state_dict().items()}
    assert found == {key: value.shape for key, value in theirs.state_dict().items()}


def test_every_network_and_every_width_is_compared_with_torch_pruning():
    """Oracle: the list of networks."""
    assert {name: set(labels) for name, labels in ROOTS.items()} == {
        name: set(kind().widths) for name, kind in MODELS.items()
    }


def test_layers_keep_their_modes_their_eps_and_what_is_frozen():
    """Oracle: the network before, and its outputs with another eps."""
    network = drawn(ConvStudent)
    network.norms[1].train()
    network.norms[1].momentum = 0.3
    network.norms[0].eps = 0.5
    network.convs[0].weight.requires_grad_(False)
    same = remove_units(network, {"conv1": torch.ones(8, dtype=torch.bool)})
    assert not same.training
    assert (same.norms[1].training, same.norms[1].momentum, same.norms[0].eps) == (True, 0.3, 0.5)
    frozen = [name for name, p in same.named_parameters() if not p.requires_grad]
    assert frozen == ["convs.0.weight"]
    torch.testing.assert_close(same.eval()(images()), network.eval()(images()), atol=0, rtol=0)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_filters_keep_their_layout(layout):
    """Oracle: what torch says of every filter before and after."""
    network = drawn(ConvStudent).to(memory_format=layout)
    keep = {"conv1": mask(8), "conv2": mask(16)}
    for made in (remove_units(network, keep), silence_units(network, keep)):
        for conv in (network.convs[1], *made.convs):
            assert conv.weight.is_contiguous(memory_format=layout)


def test_a_network_with_more_than_its_axes_describe_is_refused():
    """Oracle: the documented error; a parametrised weight has another name."""
    network = drawn(LeNet300)
    nn.utils.parametrize.register_parametrization(network.fc1, "weight", nn.Identity())
    with pytest.raises(ValueError, match=r"got \['fc1.parametrizations.weight.original'\] as well"):
        remove_units(network, {"hidden1": mask(300)})


def test_all_masks_are_checked_before_one_is_used():
    """Oracle: the documented error names the second width."""
    with pytest.raises(ValueError, match="label must be one of"):
        remove_units(drawn(LeNet300), {"hidden1": mask(300), "pixels": mask(784)})
    with pytest.raises(TypeError, match=r"keep\['hidden1'\] must be a torch.Tensor, got"):
        remove_units(drawn(LeNet300), {"hidden1": [True] * 300})
    with pytest.raises(TypeError, match=r"keep\['hidden1'\] must hold bool"):
        remove_units(drawn(LeNet300), {"hidden1": torch.ones(300)})


def test_a_selection_moves_numbers_bit_by_bit():
    """Oracle: indexing, with magnitudes that a sum of products would round."""
    network = drawn(LeNet300)
    network.fc1.weight.data[7] *= 1e30
    keep = mask(300)
    small = remove_units(network, {"hidden1": keep})
    assert torch.equal(small.fc1.weight, network.fc1.weight[keep])
    assert torch.equal(small.fc2.weight, network.fc2.weight[:, keep])
