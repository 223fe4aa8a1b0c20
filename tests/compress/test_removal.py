"""Losses without a weight or a unit against networks from which it is really gone."""

import pytest
import torch
import torch.nn.functional as F

from reference_impl.compress import loss_without_units, loss_without_weights, remove_units
from reference_impl.data import Examples
from reference_impl.models import ConvStudent, LeNet5, LeNet300, Network


def examples(n: int = 30) -> Examples:
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(n, 1, 28, 28, generator=draws)
    return Examples(images, torch.randint(10, (n,), generator=draws))


def loss(network: Network, seen: Examples) -> float:
    network = network.double().eval()
    with torch.no_grad():
        return F.cross_entropy(network(seen.images.double()), seen.labels).item()


def networks() -> list[tuple[Network, dict[str, str]]]:
    torch.manual_seed(0)
    student = ConvStudent((2, 3, 4))
    for norm in student.norms:
        torch.nn.init.uniform_(norm.bias, 0.1, 1)  # a removed channel puts out 0, not its bias
    return [
        (LeNet300((6, 5)), {"hidden1": "relu1", "hidden2": "relu2"}),
        (LeNet5((2, 3), 4), {"conv1": "pool1", "conv2": "pool2", "hidden": "relu1"}),
        (student, {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3"}),
    ]


@pytest.mark.parametrize(("network", "where"), networks(), ids=lambda n: type(n).__name__)
def test_units_are_as_if_really_removed(network: Network, where: dict[str, str]) -> None:
    """Oracle: a smaller network, built without the unit."""
    seen = examples()
    whole = loss(network, seen)
    for label, place in where.items():
        found = loss_without_units(network, place, seen)
        for i in range(network.widths[label]):
            keep = torch.arange(network.widths[label]) != i
            small = remove_units(network, {label: keep})
            assert found[i].item() == pytest.approx(loss(small, seen) - whole, abs=1e-9)


def test_weights_are_as_if_set_to_zero() -> None:
    """Oracle: the network with the weight put to 0, run from its first layer.

    Equation: eq-importance-truth.
    """
    network, seen = LeNet5((2, 3), 4), examples()
    whole = loss(network, seen)
    for place, which in (("conv2", [0, 7, 149]), ("fc2", [0, 39]), ("conv1", [3])):
        found = loss_without_weights(network, place, torch.tensor(which), seen)
        flat = getattr(network, place).weight.data.view(-1)
        for change, q in zip(found.tolist(), which, strict=True):
            value = flat[q].clone()
            flat[q] = 0
            assert change == pytest.approx(loss(network, seen) - whole, abs=1e-12)
            flat[q] = value


def test_kernels_in_channels_last_are_indexed_as_others() -> None:
    """Oracle: the same network in the usual layout; its own layout stays."""
    network, seen, which = LeNet5((2, 3), 4), examples(), torch.tensor([0, 7, 149])
    expected = loss_without_weights(network, "conv2", which, seen)
    other = network.to(memory_format=torch.channels_last)
    stride = other.conv2.weight.stride()
    found = loss_without_weights(other, "conv2", which, seen)
    assert torch.allclose(found, expected, atol=1e-12)
    assert other.conv2.weight.stride() == stride


def test_batch_norm_answers_in_evaluation_mode() -> None:
    """Oracle: the same network switched to evaluation mode by hand."""
    network, seen, which = networks()[-1][0], examples(), torch.tensor([0, 5])
    units, weights = (
        loss_without_units(network.train(), "relu2", seen),
        loss_without_weights(network.train(), "conv2", which, seen),
    )
    assert torch.equal(units, loss_without_units(network.eval(), "relu2", seen))
    assert torch.equal(weights, loss_without_weights(network.eval(), "conv2", which, seen))


def test_the_network_is_left_as_it_is() -> None:
    """Oracle: its state and mode before."""
    network, seen = LeNet300((6, 5)).train(), examples()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss_without_units(network, "relu1", seen)
    loss_without_weights(network, "fc1", torch.arange(3), seen)
    assert network.training
    assert network.fc1.weight.dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda n, s: loss_without_units(n, "relu9", s), ValueError, "place must be one of"),
        (lambda n, s: loss_without_units(n, "fc3", s), ValueError, "place must be one of"),
        (lambda n, s: loss_without_weights(n, "relu1", torch.arange(2), s), ValueError, "a weight"),
        (
            lambda n, s: loss_without_weights(n, "fc3", torch.tensor([20]), s),
            ValueError,
            "below 20",
        ),
        (
            lambda n, s: loss_without_weights(n, "fc3", torch.tensor([-1]), s),
            ValueError,
            "which must be at least 0, got -1",
        ),
        (lambda n, s: loss_without_weights(n, "fc3", torch.ones(2), s), TypeError, "which must ho"),
    ],
)
def test_bad_input_is_refused(call, error, text) -> None:
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call(LeNet300((3, 2)), examples(2))
