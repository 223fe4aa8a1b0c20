"""Merged networks: exact twins, functional forms by hand, brute force, invariances, bad input."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from chains import drawn, images, refused
from torch import nn

from reference_impl import merging
from reference_impl.compress import (
    absorb_offset,
    closest_outputs,
    cluster_map,
    incoming_rows,
    merge_clusters,
    merge_least_squares,
    merge_nearest,
    remove_units,
    values_read,
)
from reference_impl.compress.graph import dependency_graph, only_reader
from reference_impl.models import Network

pytestmark = pytest.mark.usefixtures("one_thread")

SCALES = [merging.projection_scale, merging.norm_ratio_scale, merging.gaussian_scale]
each_network = pytest.mark.parametrize("name", ["lenet300", "lenet5", "student", "residual"])
FIRST_FIVE = torch.arange(12) < 5
X, MANY = images(30), images(200)


def halves(network: Network) -> dict[str, torch.Tensor]:
    return {label: torch.arange(n) < n // 2 for label, n in network.widths.items()}


def with_twins(name: str, factor: float) -> Network:
    """Return a network in which the second half of each width is ``factor`` times the first.

    After BatchNorm the filters are ``factor`` times those, of other statistics, and S = 3.
    """
    network = drawn(name)
    written = {
        key
        for label in network.widths
        for key in dependency_graph(network).ends(label, written=True)
    }
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key not in written:
                continue
            first, second = value.chunk(2)
            if key.endswith("running_var"):
                second.copy_(factor**2 * (first + 1e-5) - 1e-5)  # so that σ_j = s σ_i
            elif "norm" in key and not key.endswith("running_mean"):
                second.copy_(3 * first)  # γ and β
            else:
                second.copy_(factor * first)
    return network


@pytest.mark.equation("eq-merge-exact")
@each_network
@pytest.mark.parametrize("scale", SCALES)
def test_parallel_units_merge_exactly(name, scale):
    """Oracle: the network before: dense, convolutional, behind BatchNorm, in a stream."""
    network = with_twins(name, 2.5)
    merged = merge_nearest(network, halves(network), scale=scale, threshold=0.99)
    assert merged.widths == {label: n // 2 for label, n in network.widths.items()}
    expected = network(X)
    torch.testing.assert_close(merged(X), expected, atol=1e-3, rtol=1e-3)
    pruned = remove_units(network, halves(network))(X)
    assert (pruned - expected).abs().max() > 100 * (merged(X) - expected).abs().max()
    clustered = merge_clusters(network, dict.fromkeys(network.widths, 0.9999), scale=scale)
    assert all(clustered.widths[label] <= n // 2 for label, n in network.widths.items())
    torch.testing.assert_close(clustered(X), expected, atol=1e-3, rtol=1e-3)


def test_the_merged_network_is_the_one_in_which_units_are_replaced():
    """Oracle: a forward pass of LeNet-300-100 with each unit that goes read as c times another."""
    network = drawn("lenet300")
    rows, keep = incoming_rows(network, "hidden1"), FIRST_FIVE
    unit = F.normalize(rows, dim=1)
    nearest = (unit @ unit[:5].T).argmax(dim=1)
    cosine = (unit @ unit[:5].T).amax(dim=1)
    c = rows.norm(dim=1) / rows[nearest].norm(dim=1)
    threshold = cosine[~keep].sort().values[2:4].mean().item()  # some are pruned
    c[cosine < threshold] = 0
    h = F.relu(network.fc1(X.flatten(1)))
    h = torch.where(keep, h, c * h[:, nearest])
    expected = network.fc3(F.relu(network.fc2(h)))
    merged = merge_nearest(network, {"hidden1": keep}, threshold=threshold)
    torch.testing.assert_close(merged(X), expected)


@each_network
def test_above_every_similarity_merging_is_pruning(name):
    """Oracle: ``remove_units``; no two units of these networks are parallel."""
    network, keep = drawn(name), halves(drawn(name))
    pruned = remove_units(network, keep)(X)
    assert torch.equal(merge_nearest(network, keep, threshold=1.0)(X), pruned)
    assert not torch.equal(merge_nearest(network, keep)(X), pruned)


def test_in_sequence_the_second_rows_are_those_of_the_merged_network():
    """Oracle: the second width merged on the network whose first is."""
    network, keep = drawn("lenet300"), halves(drawn("lenet300"))
    first = merge_nearest(network, {"hidden1": keep["hidden1"]})
    second = merge_nearest(first, {"hidden2": keep["hidden2"]})
    at_once = merge_nearest(network, keep, sequential=True)
    assert torch.equal(at_once(X), second(X))
    assert not torch.equal(merge_nearest(network, keep)(X), second(X))


def test_the_order_of_units_does_not_matter():
    """Oracle: a permutation of the units, and of the mask."""
    network, order, keep = drawn("lenet300"), torch.randperm(12), FIRST_FIVE
    mixed = copy.deepcopy(network)
    with torch.no_grad():
        mixed.fc1.weight.copy_(network.fc1.weight[order])
        mixed.fc1.bias.copy_(network.fc1.bias[order])
        mixed.fc2.weight.copy_(network.fc2.weight[:, order])
    for merge in (merge_nearest, lambda net, kept: merge_least_squares(net, kept, X, ridge=0.1)):
        straight = merge(network, {"hidden1": keep})(X)
        permuted = merge(mixed, {"hidden1": keep[order]})(X)
        torch.testing.assert_close(permuted, straight, atol=1e-5, rtol=1e-5)
    by_clusters = [merge_clusters(one, {"hidden1": 0.2}) for one in (network, mixed)]
    assert by_clusters[0].widths == by_clusters[1].widths


def test_a_chain_is_one_component_but_two_clusters():
    """Oracle: by eye: units at 0°, 40°, 81°, threshold cos 45°; no two pairs tie."""
    angle = torch.tensor([0.0, 40.0, 81.0]).deg2rad()
    rows = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert cluster_map(rows, 0.7).k == 2
    assert cluster_map(rows, 0.7, linkage=merging.connected_components).k == 1


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
@pytest.mark.parametrize("sequential", [True, False])
def test_units_that_others_reproduce_are_lost_without_loss(name, sequential):
    """Oracle: the network before; a unit is twice another one, which is what is solved for."""
    network = with_twins(name, 2.0)
    merged = merge_least_squares(network, halves(network), X, ridge=1e-6, sequential=sequential)
    torch.testing.assert_close(merged(X), network(X), atol=2e-3, rtol=2e-3)


def by_numpy(h: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Return what ``numpy.linalg.lstsq`` makes of a target from these values, and ones."""
    columns = torch.cat([h, torch.ones(len(h), 1)], dim=1).double().detach().numpy()
    theirs, *_ = np.linalg.lstsq(columns, target.double().detach().numpy(), rcond=None)
    return columns @ theirs


def test_least_squares_is_that_of_the_next_layers_inputs():
    """Oracle: ``numpy.linalg.lstsq`` of fc2's outputs on the hidden units kept, and ones."""
    network, keep = drawn("lenet300"), FIRST_FIVE
    h = F.relu(network.fc1(MANY.flatten(1)))
    merged = merge_least_squares(network, {"hidden1": keep}, MANY, ridge=0)
    ours = merged.fc2(h[:, keep]).detach()
    np.testing.assert_allclose(ours, by_numpy(h[:, keep], network.fc2(h)), atol=1e-4)


def test_in_sequence_it_solves_for_the_networks_own_values_from_what_is_left():
    """Oracle: ``numpy.linalg.lstsq`` of the logits on the narrowed network's second layer."""
    network, keep = drawn("lenet300"), halves(drawn("lenet300"))
    first = merge_least_squares(network, {"hidden1": keep["hidden1"]}, MANY, ridge=1e-9)
    h = F.relu(first.fc2(F.relu(first.fc1(MANY.flatten(1)))))[:, keep["hidden2"]]
    logits = network(MANY).detach()
    both, at_once = (
        merge_least_squares(network, keep, MANY, ridge=1e-9, sequential=sequential)(MANY).detach()
        for sequential in (True, False)
    )
    np.testing.assert_allclose(both, by_numpy(h, logits), atol=1e-4)
    assert (both - logits).std() < (at_once - logits).std()  # what was lost before is made up for


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
def test_on_its_images_least_squares_is_nearer_than_pruning_or_merging(name):
    """Oracle: the mean squared difference of the logits, for the last width."""
    network = drawn(name)
    label = list(network.widths)[-1]
    keep = {label: halves(network)[label]}
    logits = network(MANY)

    def error(one: Network) -> float:
        return (one(MANY) - logits).square().mean().item()

    solved = error(merge_least_squares(network, keep, MANY, ridge=1e-9))
    assert solved < min(error(remove_units(network, keep)), error(merge_nearest(network, keep)))


@pytest.mark.parametrize("scale", [None, merging.norm_ratio_scale, merging.projection_scale])
def test_a_strong_ridge_gives_what_it_pulls_to_with_the_means_right(scale):
    """Oracle: pruning, or merging; the mean of fc2's outputs on the images is the network's."""
    network, keep = drawn("lenet300"), {"hidden1": FIRST_FIVE}
    solved = merge_least_squares(network, keep, X, ridge=1e9, scale=scale)
    plain = remove_units(network, keep)
    if scale is not None:
        plain = merge_nearest(network, keep, scale=scale)
    torch.testing.assert_close(solved.fc2.weight, plain.fc2.weight)
    flat = X.flatten(1)
    ours = solved.fc2(F.relu(solved.fc1(flat))).mean(dim=0)
    torch.testing.assert_close(ours, network.fc2(F.relu(network.fc1(flat))).mean(dim=0))


def test_where_zeros_pad_a_map_no_bias_is_changed():
    """Oracle: BatchNorm and its layer keep what they had; the head behind the mean does not."""
    network, keep = drawn("student"), halves(drawn("student"))
    solved = merge_least_squares(network, keep, X, ridge=0.1)
    pruned = remove_units(network, keep)
    for ours, theirs in ((solved.norm2, pruned.norm2), (solved.norm3, pruned.norm3)):
        assert torch.equal(ours.bias, theirs.bias)
        assert torch.equal(ours.running_mean, theirs.running_mean)
    assert not torch.equal(solved.head.bias, pruned.head.bias)


def test_the_candidate_of_the_least_divergence_is_chosen():
    """Oracle: ``torch.nn.functional.kl_div``; the network itself has none."""
    network = drawn("lenet300")
    candidates = {n: remove_units(network, {"hidden1": torch.arange(12) < n}) for n in (3, 8, 10)}
    p = network(X).log_softmax(dim=1)
    loss = {
        n: F.kl_div(one(X).log_softmax(1), p, reduction="batchmean", log_target=True)
        for n, one in candidates.items()
    }
    assert closest_outputs(network, candidates, X) == min(loss, key=loss.get)
    assert closest_outputs(network, candidates | {"same": network}, X) == "same"


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
    assert closest_outputs(answering(0.495, 0.495), candidates, X) == "uniform"


@pytest.mark.parametrize(
    ("name", "label"), [("lenet300", "hidden1"), ("lenet5", "conv1"), ("lenet5", "conv2")]
)
def test_a_constant_in_the_bias_is_a_constant_in_the_values(name, label):
    """Oracle: the reading layer on values with the constant added."""
    network = drawn(name)
    _, layer = only_reader(network, label)
    offset = torch.randn(network.widths[label], dtype=torch.float64)
    x = torch.rand(3, layer.weight.shape[1], *((7, 7) if label == "conv1" else ()))
    e = offset.float().repeat_interleave(layer.weight.shape[1] // len(offset))
    expected = layer(x + e.view(-1, *[1] * (x.ndim - 2))).detach()
    absorb_offset(network, label, offset)
    torch.testing.assert_close(layer(x).detach(), expected, atol=1e-4, rtol=1e-4)


class Concatenated(nn.Module):
    """A layer that reads two widths at once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.reader = nn.Linear(4, 3), nn.Linear(4, 6), nn.Linear(9, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.reader(torch.cat([self.first(x), self.second(x)], dim=-1).relu())


@pytest.mark.parametrize("shape", [(40, 4), (8, 5, 4)])
def test_a_width_that_is_concatenated_is_reproduced_by_its_own_values(shape):
    """Oracle: the network, in which one unit is another's copy and one is constant; its values."""
    torch.manual_seed(0)
    network, x = Concatenated().eval(), torch.randn(shape)
    with torch.no_grad():
        network.second.weight[1:3] = torch.stack([network.second.weight[0], torch.zeros(4)])
        network.second.bias[1:3] = torch.stack([network.second.bias[0], torch.tensor(2.0)])
        expected = network.second(x).relu().flatten(0, -2)
        torch.testing.assert_close(values_read(network, "second", x), expected)
    keep = {"second": torch.tensor([True, False, False, True, True, True])}
    merged = merge_least_squares(network, keep, x, ridge=0)
    assert merged.second.out_features == 4
    torch.testing.assert_close(merged(x), network(x))


def test_an_offset_of_0_is_no_change_and_any_precision_counts():
    """Oracle: the head's bias and the sums of its rows."""
    network = drawn("student")
    before = network.head.bias.detach().clone()
    absorb_offset(network, "conv1", torch.zeros(6, dtype=torch.float64))
    for dtype in (torch.float16, torch.float32):
        absorb_offset(network, "conv3", torch.ones(10, dtype=dtype))
    summed = network.head.weight.sum(dim=1).detach()
    torch.testing.assert_close(network.head.bias.detach(), before + 2 * summed)


LENET, STUDENT, SEPARABLE, DEAD = map(drawn, ("lenet300", "student", "separable", "lenet300"))
DEAD.fc1.weight.data[3], DEAD.fc1.bias.data[3] = 0, 0
LINES = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 3, padding=1)).eval()
ROW = "got row 3 of 0"

test_what_cannot_be_merged_is_refused_with_the_reason = refused(
    (ValueError, ROW, lambda: merge_nearest(DEAD, {"hidden1": FIRST_FIVE})),
    (ValueError, "candidates must be one or more", lambda: closest_outputs(LENET, {}, X)),
    (ValueError, "0 for 'conv1'", lambda: absorb_offset(STUDENT, "conv1", torch.ones(6))),
    (ValueError, r"must be \(10,\)", lambda: absorb_offset(STUDENT, "conv3", torch.ones(6))),
    (
        ValueError,
        "0 for '0'",
        lambda: absorb_offset(LINES, "0", torch.ones(4), torch.ones(1, 1, 9)),
    ),
    (ValueError, "0 for 'stem'", lambda: absorb_offset(SEPARABLE, "stem", torch.ones(6))),  # 1×1
)
