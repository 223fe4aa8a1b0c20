"""Tapped chains against the network itself and against layer by layer."""

import pytest
import torch
import torch.nn.functional as F
from chains import drawn, images, refused
from torch import nn

from reference_impl.compress import Tapped, layer_inputs, outputs_at, values_read
from reference_impl.models import MODELS, LeNet300
from reference_impl.training import predict

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = images(7)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_last_place_gives_the_networks_logits(name):
    """Oracle: the network itself, bit by bit."""
    model = drawn(name)
    outputs = outputs_at(model.chain(), [], IMAGES)
    assert [tuple(output.shape) for output in outputs.values()] == [(7, 10)]
    assert torch.equal(*outputs.values(), predict(model, IMAGES))


def test_named_places_give_what_the_next_layers_take():
    """Oracle: `layer_inputs`, an independent walk over the chain."""
    chain = drawn("student").chain()
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
    Tapped(model.chain(), ["relu1"])(IMAGES)["relu1"].sum().backward()
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


CHAIN = LeNet300((4, 3)).chain()

test_what_a_chain_cannot_be_asked_is_refused = refused(
    (ValueError, r"names must be of .* got \['relu9'\]", lambda: Tapped(CHAIN, ["relu9"])),
    (ValueError, r"names must be of .* got \['r', 'e'", lambda: Tapped(CHAIN, "relu1")),
    (ValueError, "names must be of", lambda: Tapped(nn.Sequential(), [])),
    (TypeError, "images must be torch.float32", lambda: outputs_at(CHAIN, [], IMAGES.double())),
    (ValueError, r"images must be \(n, 1, 28, 28", lambda: outputs_at(CHAIN, [], IMAGES[:, 0])),
)
