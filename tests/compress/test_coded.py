"""Networks with integers for weights: what they compute, before and after BatchNorm is folded."""

import pytest
import torch
from draws import generator
from torch import nn

from reference_impl import compress
from reference_impl.models import LeNet5, LeNet300


def trained_a_little(network: nn.Module) -> nn.Module:
    """Return its coded copy, with statistics of BatchNorm and scales of both signs."""
    torch.manual_seed(0)
    found = compress.coded(network)
    images = torch.rand(16, 1, 28, 28, generator=generator(1))
    for _ in range(3):
        found(images)
    with torch.no_grad():
        for layer in found.modules():
            if isinstance(layer, compress.CodedLayer):
                layer.scale.normal_()
                layer.shift.normal_()
                layer.layer.weight[::3] = 0.2  # an output without weights
    return found.eval()


@pytest.mark.parametrize("network", [LeNet5(conv=(3, 5), hidden=9), LeNet300(hidden=(9, 7))])
def test_a_settled_network_is_an_ordinary_one_that_a_file_can_hold(network):
    """Oracle: the coded network's outputs; the file's parameters are the network's."""
    network = trained_a_little(network)
    images = torch.rand(4, 1, 28, 28, generator=generator(2))
    compress.settle(network)
    plain = compress.plain(network)
    with torch.no_grad():
        torch.testing.assert_close(plain(images), network(images), rtol=1e-4, atol=1e-4)
    read = compress.read_network(compress.write_arithmetic(plain).data)
    assert all(map(torch.equal, read.parameters(), plain.parameters()))


def test_settling_rounds_a_batch_norm():
    """Oracle: BatchNorm in float64; steps within an eighth of an octave, biases within 1/16."""
    layer = compress.CodedLayer(nn.Linear(20, 6))
    torch.manual_seed(0)
    with torch.no_grad():
        layer.scale.uniform_(0.5, 2), layer.shift.normal_()
        layer.mean.normal_(), layer.variance.uniform_(0.5, 2)
        layer.shift[0], layer.mean[0] = 0.3, 0.0
    x = torch.randn(50, 20)
    y = x @ layer.layer.weight.round().T
    a = layer.scale.abs() / (layer.variance + 1e-5).sqrt()
    b = layer.shift - a * layer.mean
    layer.eval()
    torch.testing.assert_close(layer(x), a * y + b, rtol=1e-4, atol=1e-4)
    layer.settle()
    error = (layer(x) - (a * y + b)).abs()
    assert (error <= (2**0.125 - 1) * a * y.abs() + 1 / 16 + 1e-4).all()


def test_the_rate_has_a_gradient_for_every_integer():
    """Oracle: finite differences of the rate with constant prices are its slopes; signs."""
    network = trained_a_little(LeNet300(hidden=(9, 7)))
    compress.network_rate(network).backward()
    for layer in network.modules():
        if isinstance(layer, compress.CodedLayer):
            weight = layer.layer.weight
            assert (weight.grad * weight.detach() >= 0).all()
            assert layer.scale.grad is None
    before = compress.network_rate(network).item()
    compress.settle(network)
    assert compress.network_rate(network).item() > before


def test_networks_without_coded_layers_are_refused():
    """Oracle: an ordinary network."""
    for call in (compress.settle, compress.plain, compress.network_rate):
        with pytest.raises(ValueError, match="must have coded layers, got none"):
            call(LeNet300(hidden=(3, 2)))


def test_networks_that_integers_cannot_stand_for_are_refused():
    """Oracle: one network of each kind; none is changed."""
    alike = nn.Sequential(nn.Linear(3, 2))
    nn.init.zeros_(alike[0].weight)
    with pytest.raises(ValueError, match=r"weights that differ, got one number in \['0'\]"):
        compress.coded(alike)
    network = compress.coded(LeNet300(hidden=(3, 2)))
    with pytest.raises(ValueError, match="network must be settled, got"):
        compress.plain(network)
    compress.settle(network)
    with pytest.raises(ValueError, match="network must not yet be settled, got"):
        compress.settle(network)
    with pytest.raises(ValueError, match=r"x must have 2 axes, got \(5, 4, 3\)"):
        compress.coded(nn.Sequential(nn.Linear(3, 4)))(torch.rand(5, 4, 3))


def test_a_layer_without_outputs_left_has_a_rate():
    """Oracle: one layer with integers, one whose weights all round to 0."""
    network = compress.coded(LeNet300(hidden=(3, 2)))
    compress.settle(network)
    with torch.no_grad():
        network.get_submodule("fc1").layer.weight.mul_(0.01)
    assert compress.network_rate(network).isfinite()
