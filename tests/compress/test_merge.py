"""Merged networks: exact twins, functional forms by hand, brute force, invariances, bad input."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import (
    absorb_offset,
    closest_outputs,
    cluster_map,
    incoming_rows,
    merge_clusters,
    merge_least_squares,
    merge_nearest,
    nearest_map,
    remove_units,
    silence_units,
)
from reference_impl.compress.graph import only_reader
from reference_impl.merging import (
    connected_components,
    gaussian_scale,
    norm_ratio_scale,
    projection_scale,
)
from reference_impl.models import (
    ConvStudent,
    LeNet5,
    LeNet300,
    Network,
    ResidualNetwork,
    SeparableStudent,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SCALES = [projection_scale, norm_ratio_scale, gaussian_scale]
SMALL: dict[str, Callable[[], Network]] = {
    "lenet300": lambda: LeNet300((12, 10)),
    "lenet5": lambda: LeNet5((6, 8), 12),
    "student": lambda: ConvStudent((6, 8, 10)),
    "residual": lambda: ResidualNetwork(8, (6, 6, 6)),
}
each_network = pytest.mark.parametrize("name", SMALL)


def drawn(name: str) -> Network:
    """Return a network whose BatchNorm statistics are far from 0 and 1, in evaluation mode."""
    torch.manual_seed(0)
    network = SMALL[name]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network.eval()


def images(n: int = 30) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(2))


def halves(network: Network) -> dict[str, torch.Tensor]:
    return {label: torch.arange(n) < n // 2 for label, n in network.widths.items()}


def with_twins(name: str, factor: float) -> Network:
    """Return a network in which the second half of each width is ``factor`` times the first.

    After BatchNorm the filters are ``factor`` times those, of other statistics, and S = 3.
    """
    network = drawn(name)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            axes = network.axes[key]
            if not axes or axes[0].label is None:
                continue
            first, second = value.chunk(2)
            if key.endswith("running_var"):
                second.copy_(factor**2 * (first + 1e-5) - 1e-5)  # so that σ_j = s σ_i
            elif "norm" in key and not key.endswith("running_mean"):
                second.copy_(3 * first)  # γ and β
            else:
                second.copy_(factor * first)
    return network


@each_network
@pytest.mark.parametrize("scale", SCALES)
def test_parallel_units_merge_exactly(name, scale):
    """Oracle: the network before: dense, convolutional, behind BatchNorm, in a stream.

    Equation: eq-merge-exact.
    """
    network = with_twins(name, 2.5)
    merged = merge_nearest(network, halves(network), scale=scale, threshold=0.99)
    assert merged.widths == {label: n // 2 for label, n in network.widths.items()}
    expected = network(images())
    torch.testing.assert_close(merged(images()), expected, atol=1e-3, rtol=1e-3)
    pruned = remove_units(network, halves(network))(images())
    assert (pruned - expected).abs().max() > 100 * (merged(images()) - expected).abs().max()


@each_network
def test_clusters_of_parallel_units_merge_exactly(name):
    """Oracle: the network before."""
    network = with_twins(name, 2.5)
    merged = merge_clusters(network, dict.fromkeys(network.widths, 0.9999))
    assert all(merged.widths[label] <= n // 2 for label, n in network.widths.items())
    torch.testing.assert_close(merged(images()), network(images()), atol=1e-3, rtol=1e-3)


def test_the_merged_network_is_the_one_in_which_units_are_replaced():
    """Oracle: a forward pass of LeNet-300-100 with each unit that goes read as c times another."""
    network = drawn("lenet300")
    rows, keep = incoming_rows(network, "hidden1"), torch.arange(12) < 5
    unit = F.normalize(rows, dim=1)
    nearest = (unit @ unit[:5].T).argmax(dim=1)
    cosine = (unit @ unit[:5].T).amax(dim=1)
    c = rows.norm(dim=1) / rows[nearest].norm(dim=1)
    threshold = cosine[~keep].sort().values[2:4].mean().item()  # some are pruned
    c[cosine < threshold] = 0
    h = F.relu(network.fc1(images().flatten(1)))
    h = torch.where(keep, h, c * h[:, nearest])
    expected = network.fc3(F.relu(network.fc2(h)))
    merged = merge_nearest(network, {"hidden1": keep}, threshold=threshold)
    torch.testing.assert_close(merged(images()), expected)


@each_network
def test_above_every_similarity_merging_is_pruning(name):
    """Oracle: ``remove_units``; no two units of these networks are parallel."""
    network, keep = drawn(name), halves(drawn(name))
    pruned = remove_units(network, keep)(images())
    assert torch.equal(merge_nearest(network, keep, threshold=1.0)(images()), pruned)
    assert not torch.equal(merge_nearest(network, keep)(images()), pruned)


def test_in_sequence_the_second_rows_are_those_of_the_merged_network():
    """Oracle: the second width merged on the network whose first is."""
    network, keep = drawn("lenet300"), halves(drawn("lenet300"))
    first = merge_nearest(network, {"hidden1": keep["hidden1"]})
    second = merge_nearest(first, {"hidden2": keep["hidden2"]})
    at_once = merge_nearest(network, keep, sequential=True)
    assert torch.equal(at_once(images()), second(images()))
    assert not torch.equal(merge_nearest(network, keep)(images()), second(images()))


def test_the_order_of_units_does_not_matter():
    """Oracle: a permutation of the units, and of the mask."""
    network, order = drawn("lenet300"), torch.randperm(12)
    keep = torch.arange(12) < 5
    mixed = copy.deepcopy(network)
    with torch.no_grad():
        mixed.fc1.weight.copy_(network.fc1.weight[order])
        mixed.fc1.bias.copy_(network.fc1.bias[order])
        mixed.fc2.weight.copy_(network.fc2.weight[:, order])
    for merge in (
        merge_nearest,
        lambda net, kept: merge_least_squares(net, kept, images(), ridge=0.1),
    ):
        straight = merge(network, {"hidden1": keep})(images())
        permuted = merge(mixed, {"hidden1": keep[order]})(images())
        torch.testing.assert_close(permuted, straight, atol=1e-5, rtol=1e-5)
    by_clusters = [merge_clusters(one, {"hidden1": 0.2}) for one in (network, mixed)]
    assert by_clusters[0].widths == by_clusters[1].widths


def test_a_chain_is_one_component_but_two_clusters():
    """Oracle: by eye: units at 0°, 40°, 81°, threshold cos 45°; no two pairs tie."""
    angle = torch.tensor([0.0, 40.0, 81.0]).deg2rad()
    rows = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert cluster_map(rows, 0.7).k == 2
    assert cluster_map(rows, 0.7, linkage=connected_components).k == 1
    c = cluster_map(rows, 0.7, scale=projection_scale).unmerge
    torch.testing.assert_close(c[1], torch.stack([angle[1].cos(), torch.tensor(0.0)]))


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
@pytest.mark.parametrize("sequential", [True, False])
def test_units_that_others_reproduce_are_lost_without_loss(name, sequential):
    """Oracle: the network before; a unit is twice another one, which is what is solved for."""
    network = with_twins(name, 2.0)
    merged = merge_least_squares(
        network, halves(network), images(), ridge=1e-6, sequential=sequential
    )
    torch.testing.assert_close(merged(images()), network(images()), atol=2e-3, rtol=2e-3)


def test_least_squares_is_that_of_the_next_layers_inputs():
    """Oracle: ``numpy.linalg.lstsq`` of fc2's outputs on the hidden units kept, and ones."""
    network, keep = drawn("lenet300"), torch.arange(12) < 5
    h = F.relu(network.fc1(images(200).flatten(1))).detach()
    target = network.fc2(h).detach()
    columns = torch.cat([h[:, keep], torch.ones(200, 1)], dim=1).double().numpy()
    theirs, *_ = np.linalg.lstsq(columns, target.double().numpy(), rcond=None)
    merged = merge_least_squares(network, {"hidden1": keep}, images(200), ridge=0)
    ours = merged.fc2(h[:, keep]).detach()
    np.testing.assert_allclose(ours, columns @ theirs, atol=1e-4)


def test_in_sequence_it_solves_for_the_networks_own_values_from_what_is_left():
    """Oracle: ``numpy.linalg.lstsq`` of the logits on the narrowed network's second layer."""
    network, keep = drawn("lenet300"), halves(drawn("lenet300"))
    first = merge_least_squares(network, {"hidden1": keep["hidden1"]}, images(200), ridge=1e-9)
    h = F.relu(first.fc2(F.relu(first.fc1(images(200).flatten(1)))))[:, keep["hidden2"]].detach()
    columns = torch.cat([h, torch.ones(200, 1)], dim=1).double().numpy()
    logits = network(images(200)).detach().double().numpy()
    theirs, *_ = np.linalg.lstsq(columns, logits, rcond=None)
    both = merge_least_squares(network, keep, images(200), ridge=1e-9)
    np.testing.assert_allclose(both(images(200)).detach(), columns @ theirs, atol=1e-4)
    at_once = merge_least_squares(network, keep, images(200), ridge=1e-9, sequential=False)
    error = [(one(images(200)).detach().numpy() - logits).std() for one in (both, at_once)]
    assert error[0] < error[1]  # what was lost before is made up for


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
def test_on_its_images_least_squares_is_nearer_than_pruning_or_merging(name):
    """Oracle: the mean squared difference of the logits, for the last width."""
    network = drawn(name)
    label = list(network.widths)[-1]
    keep = {label: halves(network)[label]}
    logits = network(images(200))

    def error(one: Network) -> float:
        return (one(images(200)) - logits).square().mean().item()

    solved = error(merge_least_squares(network, keep, images(200), ridge=1e-9))
    assert solved < min(error(remove_units(network, keep)), error(merge_nearest(network, keep)))


@pytest.mark.parametrize("scale", [None, norm_ratio_scale, projection_scale])
def test_a_strong_ridge_gives_what_it_pulls_to_with_the_means_right(scale):
    """Oracle: pruning, or merging; the mean of fc2's outputs on the images is the network's."""
    network, keep = drawn("lenet300"), {"hidden1": torch.arange(12) < 5}
    solved = merge_least_squares(network, keep, images(), ridge=1e9, scale=scale)
    plain = remove_units(network, keep)
    if scale is not None:
        plain = merge_nearest(network, keep, scale=scale)
    torch.testing.assert_close(solved.fc2.weight, plain.fc2.weight)
    flat = images().flatten(1)
    ours = solved.fc2(F.relu(solved.fc1(flat))).mean(dim=0)
    torch.testing.assert_close(ours, network.fc2(F.relu(network.fc1(flat))).mean(dim=0))


def test_where_zeros_pad_a_map_no_bias_is_changed():
    """Oracle: BatchNorm and its layer keep what they had; the head behind the mean does not."""
    network, keep = drawn("student"), halves(drawn("student"))
    solved = merge_least_squares(network, keep, images(), ridge=0.1)
    pruned = remove_units(network, keep)
    for ours, theirs in zip(solved.norms, pruned.norms, strict=True):
        assert torch.equal(ours.bias, theirs.bias)
        assert torch.equal(ours.running_mean, theirs.running_mean)
    assert not torch.equal(solved.head.bias, pruned.head.bias)


@each_network
def test_the_network_is_left_as_it_is(name):
    """Oracle: a copy of its state, and its mode."""
    network = drawn(name).train()
    before = copy.deepcopy(network.state_dict())
    keep = {label: torch.ones(n, dtype=torch.bool) for label, n in network.widths.items()}
    made = [merge_nearest(network, keep), merge_clusters(network, dict.fromkeys(keep, 1.0))]
    made += [merge_nearest(network, {}), merge_clusters(network, {})]
    if name != "residual":
        made.append(merge_least_squares(network, keep, images(), ridge=0.1))
    for one in made:
        assert one.training
        for value in one.state_dict().values():
            value.zero_()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_candidate_of_the_least_divergence_is_chosen():
    """Oracle: ``torch.nn.functional.kl_div``; the network itself has none."""
    network = drawn("lenet300")
    candidates = {n: remove_units(network, {"hidden1": torch.arange(12) < n}) for n in (3, 8, 10)}
    p = network(images()).log_softmax(dim=1)
    loss = {
        n: F.kl_div(one(images()).log_softmax(1), p, reduction="batchmean", log_target=True)
        for n, one in candidates.items()
    }
    assert closest_outputs(network, candidates, images()) == min(loss, key=loss.get)
    assert closest_outputs(network, candidates | {"same": network}, images()) == "same"


def test_the_divergence_is_from_the_networks_own_probabilities():
    """Oracle: by eye: KL(p ‖ q) wants all of p's modes, KL(q ‖ p) one of them."""

    def answering(*first: float) -> Network:
        network = drawn("lenet300")
        rest = [(1 - sum(first)) / (10 - len(first))] * (10 - len(first))
        with torch.no_grad():
            network.fc3.weight.zero_()
            network.fc3.bias.copy_(torch.tensor([*first, *rest]).log())
        return network

    candidates = {"one mode": answering(0.98), "uniform": answering(0.1)}
    assert closest_outputs(answering(0.495, 0.495), candidates, images()) == "uniform"


@pytest.mark.parametrize(
    ("kind", "label"), [(LeNet300, "hidden1"), (LeNet5, "conv1"), (LeNet5, "conv2")]
)
def test_a_constant_in_the_bias_is_a_constant_in_the_values(kind, label):
    """Oracle: the reading layer on values with the constant added."""
    torch.manual_seed(0)
    network = kind()
    _, layer = only_reader(network, label)
    offset = torch.randn(network.widths[label], dtype=torch.float64)
    x = torch.rand(
        3, *((layer.weight.shape[1], 7, 7) if label == "conv1" else layer.weight[0].shape)
    )
    repeat = layer.weight.shape[1] // len(offset)
    e = offset.float().repeat_interleave(repeat)
    expected = layer(x + (e[:, None, None] if label == "conv1" else e)).detach()
    absorb_offset(network, label, offset)
    torch.testing.assert_close(layer(x).detach(), expected, atol=1e-4, rtol=1e-4)


def test_padded_maps_and_layers_without_bias_take_no_constant():
    """Oracle: the documented error; an offset of 0 is no change."""
    network = ConvStudent()
    before = network.head.bias.detach().clone()
    absorb_offset(network, "conv1", torch.zeros(8, dtype=torch.float64))
    with pytest.raises(ValueError, match="offset must be 0 for 'conv1'"):
        absorb_offset(network, "conv1", torch.ones(8, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"offset must be \(32,\)"):
        absorb_offset(network, "conv3", torch.ones(8, dtype=torch.float64))
    for dtype in (torch.float16, torch.float32):
        absorb_offset(network, "conv3", torch.ones(32, dtype=dtype))
    summed = network.head.weight.sum(dim=1).detach()
    torch.testing.assert_close(network.head.bias.detach(), before + 2 * summed)
    with pytest.raises(ValueError, match="offset must be 0 for 'stem'"):  # 1×1: no padding, no bias
        absorb_offset(SeparableStudent(), "stem", torch.ones(16))


def merges(network, keep):
    yield lambda: merge_nearest(network, keep)
    yield lambda: merge_least_squares(network, keep, images(), ridge=0.1)


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        ({"hidden1": torch.zeros(12, dtype=torch.bool)}, ValueError, "leave a unit"),
        ({"hidden1": torch.ones(11, dtype=torch.bool)}, ValueError, "12"),
        ({"hidden1": torch.ones(12)}, TypeError, "must hold bool"),
        ({"hidden1": torch.ones(2, 6, dtype=torch.bool)}, ValueError, r"got shape \(2, 6\)"),
        ({"pixels": torch.ones(12, dtype=torch.bool)}, ValueError, "label must be one of"),
        ([torch.ones(12, dtype=torch.bool)], TypeError, "keep must be Mapping"),
    ],
)
def test_bad_masks_are_refused(keep, error, message):
    """Oracle: the documented errors; the network is what it was."""
    network = drawn("lenet300")
    before = copy.deepcopy(network.state_dict())
    for merge in merges(network, keep):
        with pytest.raises(error, match=message):
            merge()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_what_cannot_be_merged_is_refused_with_the_reason():
    """Oracle: the documented errors."""
    network = drawn("lenet300")
    keep = halves(network)
    with pytest.raises(ValueError, match=r"threshold must be in \[-1, 1\], got 1.01"):
        merge_nearest(network, keep, threshold=1.01)
    with pytest.raises(ValueError, match=r"threshold must be in \[-1, 1\], got -1.5"):
        merge_clusters(network, {"hidden1": -1.5})
    with pytest.raises(ValueError, match="ridge must be at least 0, got"):
        merge_least_squares(network, keep, images(), ridge=-0.1)
    with pytest.raises(TypeError, match=r"images must be torch.float32 as .*, got torch.float64"):
        merge_least_squares(network, keep, images().double(), ridge=0.1)
    with pytest.raises(ValueError, match=r"images must be \(n, 1, 28, 28\), got shape \(30, 784\)"):
        merge_least_squares(network, keep, images().flatten(1), ridge=0.1)
    with pytest.raises(TypeError, match=r"candidates\['chain'\] must be Network"):
        closest_outputs(network, {"chain": network.chain()}, images())
    with pytest.raises(ValueError, match="images must be finite"):
        merge_least_squares(network, keep, images() / 0, ridge=0.1)
    with pytest.raises(ValueError, match="label must be one of"):
        merge_clusters(network, {"pixels": 0.5})
    with pytest.raises(ValueError, match="candidates must be one or more"):
        closest_outputs(network, {}, images())
    with torch.no_grad():
        network.fc1.weight[3] = 0
        network.fc1.bias[3] = 0
    with pytest.raises(ValueError, match="got row 3 of 0"):
        merge_nearest(network, keep)
    with pytest.raises(ValueError, match="got row 3 of 0"):
        nearest_map(incoming_rows(network, "hidden1"), keep["hidden1"])


def test_layers_that_cannot_be_merged_are_named():
    """Oracle: the documented errors: depthwise filters, a stream, blocks."""
    separable = SeparableStudent().eval()
    keep = {"stem": torch.arange(16) < 8}
    for merge in merges(separable, keep):
        with pytest.raises(ValueError, match=r"'depthwise.0' is a depthwise convolution"):
            merge()
    residual = drawn("residual")
    with pytest.raises(ValueError, match="'stream' is read by several layers"):
        merge_least_squares(residual, {"stream": torch.arange(8) < 4}, images(), ridge=0.1)
    with pytest.raises(ValueError, match="'inner1' is read inside a block"):
        merge_least_squares(residual, {"inner1": torch.arange(6) < 4}, images(), ridge=0.1)


def test_a_merged_network_differs_from_its_masked_twin_by_the_units_that_stand_in():
    """Oracle: pruning masks; merging over the highest threshold is the same."""
    network, keep = drawn("lenet300"), halves(drawn("lenet300"))
    masked = silence_units(network, keep)(images())
    merged = merge_nearest(network, keep, threshold=1.0)(images())
    torch.testing.assert_close(merged, masked)
