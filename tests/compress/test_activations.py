"""Tapped chains against the network itself and against layer by layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import Tapped, layer_inputs, outputs_at, values_read
from reference_impl.models import MODELS, ConvStudent, LeNet5
from reference_impl.training import predict

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_last_place_gives_the_networks_logits(name):
    """Oracle: the network itself, bit by bit."""
    model = MODELS[name]().eval()
    outputs = outputs_at(model.chain(), [], IMAGES)
    assert [tuple(output.shape) for output in outputs.values()] == [(7, 10)]
    assert torch.equal(*outputs.values(), predict(model, IMAGES))


def test_named_places_give_what_the_next_layers_take():
    """Oracle: `layer_inputs`, an independent walk over the chain."""
    model = MODELS["student"]().eval()
    outputs = outputs_at(model.chain(), ["pool2", "flatten", "pool1"], IMAGES)
    taken = dict(layer_inputs(model.chain(), IMAGES))
    assert list(outputs) == ["pool1", "pool2", "flatten", "head"]
    for place, layer in [("pool1", "conv2"), ("pool2", "conv3"), ("flatten", "head")]:
        torch.testing.assert_close(outputs[place], taken[layer])


def test_batches_change_the_outputs_by_no_more_than_rounding():
    """Oracle: all images at once."""
    chain = MODELS["student"]().chain()
    whole, parts = (outputs_at(chain, ["relu3"], IMAGES, batch_size=size) for size in (7, 3))
    for place in ("relu3", "head"):
        torch.testing.assert_close(parts[place], whole[place])


def test_the_modes_and_statistics_of_the_network_stay():
    """Oracle: a copy of its state; a chain of which one module alone trains."""
    model = MODELS["student"]().train()
    chain = model.chain()
    chain.norm2.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outputs = outputs_at(chain, ["relu1"], IMAGES)
    assert not any(output.requires_grad for output in outputs.values())
    assert model.training
    assert chain.norm1.training
    assert not chain.norm2.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_gradients_reach_the_network():
    """Oracle: the gradient of a sum of tapped features, taken from the network's own weight."""
    model = MODELS["lenet300"]()
    Tapped(model.chain(), ["relu1"])(IMAGES)["relu1"].sum().backward()
    assert model.fc1.weight.grad.abs().sum() > 0
    assert model.fc2.weight.grad is None


def test_the_values_are_those_that_the_next_layer_reads():
    """Oracle: LeNet-5's forward pass, after the pooling; a row per image and position."""
    torch.manual_seed(0)
    network = LeNet5()
    h = F.max_pool2d(network.conv1(IMAGES), 2).detach()
    ours = values_read(network, "conv1", IMAGES)
    assert ours.shape == (7 * 12 * 12, 20)
    torch.testing.assert_close(ours.view(7, 12, 12, 20), h.permute(0, 2, 3, 1))
    h = F.max_pool2d(network.conv2(h), 2).detach()
    after_flatten = values_read(network, "conv2", IMAGES)
    torch.testing.assert_close(after_flatten.view(7, 4, 4, 50), h.permute(0, 2, 3, 1))
    h = F.relu(network.fc1(h.flatten(1)))
    torch.testing.assert_close(values_read(network, "hidden", IMAGES), h.detach())


def test_batch_norm_answers_in_evaluation_mode_and_keeps_its_mode():
    """Oracle: the same in evaluation mode."""
    torch.manual_seed(0)
    network = ConvStudent().train()
    training = values_read(network, "conv2", IMAGES)
    assert network.training
    assert torch.equal(training, values_read(network.eval(), "conv2", IMAGES))


CHAIN = MODELS["lenet300"]().chain()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Tapped(MODELS["lenet300"](), []), TypeError, "chain must be Sequential"),
        (lambda: Tapped(CHAIN, ["relu9"]), ValueError, r"names must be of .* got \['relu9'\]"),
        (lambda: Tapped(CHAIN, "relu1"), ValueError, r"names must be of .* got \['r', 'e'"),
        (lambda: Tapped(nn.Sequential(), []), ValueError, "names must be of"),
        (lambda: outputs_at(CHAIN, [], IMAGES.double()), TypeError, "images must be torch.float32"),
        (lambda: outputs_at(CHAIN, [], IMAGES[:, 0]), ValueError, r"images must be \(n, 1, 28, 28"),
        (lambda: outputs_at(CHAIN, [], IMAGES.long()), TypeError, "images must hold"),
        (lambda: outputs_at(CHAIN, [], IMAGES[:0]), ValueError, "images must not be empty"),
        (lambda: outputs_at(CHAIN, [], IMAGES, batch_size=0), ValueError, "batch_size must"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the message names argument, value and expectation."""
    with pytest.raises(error, match=message):
        call()
