"""What is seen and measured inside of networks: against layer by layer, autograd, and removal."""

import copy

import pytest
import torch
import torch.nn.functional as F
from chains import drawn, examples, images, refused
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from reference_impl.compress import (
    Tapped,
    curvature_diagonal,
    layer_inputs,
    loss_without_units,
    loss_without_weights,
    mean_gradients,
    mean_square_gradients,
    outputs_at,
    remove_units,
    unit_contributions,
    values_read,
)
from reference_impl.data import Examples
from reference_impl.models import MODELS, Network

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = images(7)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_last_place_gives_the_networks_logits(name):
    """Oracle: the network itself, bit by bit."""
    model = drawn(name)
    outputs = outputs_at(model, [], IMAGES)
    assert [tuple(output.shape) for output in outputs.values()] == [(7, 10)]
    with torch.no_grad():
        assert torch.equal(*outputs.values(), model(IMAGES))


def test_named_places_give_what_the_next_layers_take():
    """Oracle: `layer_inputs`, an independent walk over the chain."""
    chain = drawn("student")
    outputs = outputs_at(chain, ["pool2", "flatten", "pool1"], IMAGES)
    taken = dict(layer_inputs(chain, IMAGES))
    assert list(outputs) == ["pool1", "pool2", "flatten", "head"]
    for place, layer in [("pool1", "conv2"), ("pool2", "conv3"), ("flatten", "head")]:
        torch.testing.assert_close(outputs[place], taken[layer])
    parts = outputs_at(chain, ["flatten"], IMAGES, batch_size=3)
    for place, value in parts.items():
        torch.testing.assert_close(value, outputs[place])
        assert not value.requires_grad


def test_gradients_reach_the_network():
    """Oracle: the gradient of a sum of tapped features, taken from the network's own weight."""
    model = drawn("lenet300")
    Tapped(model, ["relu1"])(IMAGES)["relu1"].sum().backward()
    assert model.fc1.weight.grad.abs().sum() > 0
    assert model.fc2.weight.grad is None


def test_the_values_are_those_that_the_next_layer_reads():
    """Oracle: LeNet-5's forward pass, after the pooling; a row per image and position."""
    network = drawn("lenet5")
    h = F.max_pool2d(network.conv1(IMAGES), 2).detach()
    ours = values_read(network, "conv1", IMAGES)
    assert ours.shape == (7 * 12 * 12, 6)
    torch.testing.assert_close(ours.view(7, 12, 12, 6), h.permute(0, 2, 3, 1))
    h = F.max_pool2d(network.conv2(h), 2).detach()
    after_flatten = values_read(network, "conv2", IMAGES)
    torch.testing.assert_close(after_flatten.view(7, 4, 4, 8), h.permute(0, 2, 3, 1))
    h = F.relu(network.fc1(h.flatten(1)))
    torch.testing.assert_close(values_read(network, "hidden", IMAGES), h.detach())


def test_batch_norm_answers_in_evaluation_mode():
    """Oracle: the same in evaluation mode."""
    network = drawn("student")
    expected = values_read(network, "conv2", IMAGES)
    assert torch.equal(values_read(network.train(), "conv2", IMAGES), expected)


each_network = pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
SEEN = examples(6)
WHERE = {
    "lenet300": {"hidden1": "relu1", "hidden2": "relu2"},
    "lenet5": {"conv1": "pool1", "conv2": "pool2", "hidden": "relu1"},
    "student": {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3"},
}


@each_network
def test_gradients_are_autograds(name):
    """Oracle: backward, of all images and of each alone, BatchNorm in evaluation mode."""
    network = drawn(name)
    found = mean_gradients(network.train(), SEEN, batch_size=4)
    squares = mean_square_gradients(network.train(), SEEN, batch_size=4)
    names, parameters = zip(*network.eval().named_parameters(), strict=True)
    losses = F.cross_entropy(network(SEEN.images), SEEN.labels, reduction="none")
    whole = torch.autograd.grad(losses.mean(), parameters, retain_graph=True)
    each = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
    for i, key in enumerate(names):
        assert torch.allclose(found[key], whole[i], rtol=1e-4, atol=1e-6)
        expected = torch.stack([one[i].square() for one in each]).mean(dim=0)
        assert torch.allclose(squares[key], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.equation("eq-importance-curvature")
@each_network
def test_curvature_is_the_exact_hessians_diagonal(name):
    """Oracle: autograd's Hessian of the mean loss by one parameter after the other, in float64."""
    network = drawn(name).double()
    seen = examples(5, seed=1)
    images = seen.images.double()
    found = curvature_diagonal(network, images, batch_size=2)
    state = {key: value.detach() for key, value in network.state_dict().items()}
    for key, value in network.named_parameters():
        if value.numel() > 500:
            continue  # the first layers of the LeNets

        def loss(x: torch.Tensor, key: str = key) -> torch.Tensor:
            logits = functional_call(network, {**state, key: x}, (images,))
            return F.cross_entropy(logits, seen.labels)

        exact = hessian(loss, value.detach()).reshape(value.numel(), -1).diagonal()
        assert torch.allclose(found[key].flatten(), exact, rtol=1e-6, atol=1e-12)


def test_statistics_are_in_the_networks_precision():
    """Oracle: float32's own; the images may have another precision than the network."""
    network = drawn("student")
    wide = copy.deepcopy(network).double()
    pairs = (
        (mean_gradients(network, SEEN), mean_gradients(wide, SEEN)),
        (mean_square_gradients(network, SEEN), mean_square_gradients(wide, SEEN)),
        (curvature_diagonal(network, SEEN.images), curvature_diagonal(wide, SEEN.images)),
        (curvature_diagonal(network, SEEN.images.double()), curvature_diagonal(wide, SEEN.images)),
    )
    for narrow, exact in pairs:
        for name, value in exact.items():
            assert (narrow[name].dtype, value.dtype) == (torch.float32, torch.float64)
            assert torch.allclose(narrow[name].double(), value, rtol=1e-3, atol=1e-6)


@pytest.mark.equation("eq-stability-importance")
@pytest.mark.parametrize(("name", "places"), WHERE.items())
def test_contributions_are_derivatives_by_gates(name, places):
    """Oracle: autograd's d ℓ_i / d m_ij at m = 1, with unit j's values multiplied by m_ij."""
    network = drawn(name)
    found = unit_contributions(network, places, SEEN)
    for label, place in places.items():
        gates = torch.ones(6, network.widths[label], requires_grad=True)
        x = SEEN.images
        for module_name, module in network.named_children():
            x = module(x)
            if module_name == place:
                x = x * gates.view(*gates.shape, *[1] * (x.ndim - 2))
        loss = F.cross_entropy(x, SEEN.labels, reduction="sum")
        (expected,) = torch.autograd.grad(loss, gates)
        torch.testing.assert_close(found[label], expected, rtol=1e-4, atol=1e-6)


def test_what_is_overwritten_in_place_is_seen_as_it_was():
    """Oracle: the same network without in-place operations; in inference mode too; the images."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Hardtanh(-1, 0.5), nn.Conv2d(1, 4, 28), nn.Flatten(), nn.ReLU(), nn.Linear(4, 10))
    )
    expected = unit_contributions(network, {"1": "1"}, SEEN)["1"]
    conv = outputs_at(network, ["1"], SEEN.images)["1"]
    curvature = curvature_diagonal(network, SEEN.images)
    network[0].inplace = network[3].inplace = True
    before = SEEN.images.clone()
    with torch.inference_mode():
        torch.testing.assert_close(unit_contributions(network, {"1": "1"}, SEEN)["1"], expected)
    torch.testing.assert_close(outputs_at(network, ["1"], SEEN.images)["1"], conv)
    torch.testing.assert_close(curvature_diagonal(network, SEEN.images), curvature)
    assert torch.equal(SEEN.images, before)


def test_neither_batches_nor_frozen_parameters_change_a_contribution():
    """Oracle: one image at a time; the same network with gradients allowed, under `no_grad`."""
    network, places = drawn("student"), WHERE["student"]
    whole = unit_contributions(network, places, SEEN)
    single = unit_contributions(network, places, SEEN, batch_size=1)
    with torch.no_grad():
        found = unit_contributions(network.requires_grad_(requires_grad=False), places, SEEN)
    for label, values in whole.items():
        assert values.shape == (6, network.widths[label])
        torch.testing.assert_close(values, single[label], atol=1e-6, rtol=1e-4)
        assert torch.equal(found[label], values)


def loss(network: Network, seen: Examples) -> float:
    with torch.no_grad():
        return F.cross_entropy(network.double()(seen.images.double()), seen.labels).item()


@pytest.mark.parametrize("name", WHERE)
def test_units_are_as_if_really_removed(name):
    """Oracle: a smaller network, built without the unit; BatchNorm in evaluation mode."""
    network = drawn(name)
    whole = loss(network, SEEN)
    for label, place in WHERE[name].items():
        found = loss_without_units(network.train(), place, SEEN)
        for i in range(network.widths[label]):
            keep = torch.arange(network.widths[label]) != i
            small = remove_units(network, {label: keep}).eval()
            assert found[i].item() == pytest.approx(loss(small, SEEN) - whole, abs=1e-9)


def test_units_on_the_last_axis_are_removed_and_differentiated_there():
    """Oracle: weights set to 0, and autograd's derivative by gates; 28 tokens of 28 units."""
    torch.manual_seed(0)
    mixer = nn.Flatten(1, 2), nn.Linear(28, 28), nn.ReLU(), nn.Linear(28, 2)
    network = nn.Sequential(*mixer, nn.Flatten(), nn.Linear(56, 10))
    losses, whole = loss_without_units(network, "2", SEEN), copy.deepcopy(network).double()
    for i in (0, 27):
        silent = copy.deepcopy(whole)
        with torch.no_grad():
            silent[1].weight[i], silent[1].bias[i] = 0, 0
        truth = [
            F.cross_entropy(n(SEEN.images.double()), SEEN.labels).item() for n in (silent, whole)
        ]
        assert losses[i].item() == pytest.approx(truth[0] - truth[1], abs=1e-12)
    gates = torch.ones(6, 28, requires_grad=True)
    logits = network[3:](network[:3](SEEN.images) * gates[:, None])
    F.cross_entropy(logits, SEEN.labels, reduction="sum").backward()
    found = unit_contributions(network, {"1": "2"}, SEEN)["1"]
    torch.testing.assert_close(found, gates.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.equation("eq-importance-truth")
@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("lenet5", {"conv2": [0, 7, 149], "fc2": [0, 39], "conv1": [3]}),
        ("student", {"conv2": [0, 5], "head": [99]}),
    ],
)
def test_weights_are_as_if_set_to_zero(name, which):
    """Oracle: the network with the weight put to 0, run from its first layer; either layout."""
    network = drawn(name)
    whole = loss(network, SEEN)
    for place, weights in which.items():
        found = loss_without_weights(network.train(), place, torch.tensor(weights), SEEN)
        last = drawn(name).double().to(memory_format=torch.channels_last)
        strides = [value.stride() for value in last.parameters()]
        other = loss_without_weights(last, place, torch.tensor(weights), SEEN)
        torch.testing.assert_close(other, found, atol=1e-12, rtol=0)
        assert [value.stride() for value in last.parameters()] == strides
        flat = network.eval().get_submodule(place).weight.data.view(-1)
        for change, q in zip(found.tolist(), weights, strict=True):
            value = flat[q].clone()
            flat[q] = 0
            assert change == pytest.approx(loss(network, SEEN) - whole, abs=1e-12)
            flat[q] = value


class Pair(nn.Linear):
    """A network with two outputs."""

    def __init__(self) -> None:
        super().__init__(3, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


FEWER = nn.Sequential(nn.Flatten(), nn.Linear(784, 4), nn.ReLU(), nn.Linear(4, 1))
DEEP = nn.Sequential(nn.Linear(3, 3), nn.Flatten(3))
LENET = drawn("lenet300")
CHAIN = LENET


def contribute(**places: str) -> None:
    unit_contributions(LENET, places, SEEN)


def without(place: str, weight: int) -> None:
    loss_without_weights(LENET, place, torch.tensor([weight]), SEEN)


test_places_and_weights_that_are_not_there_are_refused = refused(
    (ValueError, r"names must be of .* got \['relu9'\]", lambda: Tapped(CHAIN, ["relu9"])),
    (ValueError, r"names must be of .* got \['r', 'e'", lambda: Tapped(CHAIN, "relu1")),
    (ValueError, "in Flatten '1': IndexError", lambda: outputs_at(DEEP, ["0"], torch.ones(2, 3))),
    (ValueError, "in Flatten '1': IndexError", lambda: curvature_diagonal(DEEP, torch.ones(2, 3))),
    (ValueError, "must return one tensor, got ", lambda: outputs_at(Pair(), [], torch.ones(2, 3))),
    (
        ValueError,
        r"logits .* got torch.Size\(\[1, 4, 3\]",
        lambda: curvature_diagonal(nn.Linear(3, 3), torch.ones(2, 4, 3)),
    ),
    (ValueError, "labels must be", lambda: mean_gradients(FEWER, SEEN)),
    (ValueError, "labels must be", lambda: mean_square_gradients(FEWER, SEEN)),
    (ValueError, "labels must be", lambda: unit_contributions(FEWER, {"1": "2"}, SEEN)),
    (ValueError, "labels must be", lambda: loss_without_units(FEWER, "2", SEEN)),
    (ValueError, "parameters, got none", lambda: curvature_diagonal(nn.ReLU(), torch.ones(2, 3))),
    (TypeError, "images must be torch.float32", lambda: outputs_at(CHAIN, [], IMAGES.double())),
    (ValueError, "places must be one or more", contribute),
    (ValueError, "got 'x'", lambda: contribute(x="relu1")),
    (ValueError, "relu9", lambda: contribute(hidden1="relu9")),
    (ValueError, "12 units", lambda: contribute(hidden1="relu2")),
    (ValueError, "place must be one of", lambda: loss_without_units(LENET, "fc3", SEEN)),
    (ValueError, "a weight", lambda: without("relu1", 0)),
    (ValueError, "below 100", lambda: without("fc3", 100)),
)
