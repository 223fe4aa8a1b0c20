"""Losses without a weight or a unit against networks from which it is really gone."""

import pytest
import torch
import torch.nn.functional as F
from chains import drawn, examples, refused

from reference_impl.compress import loss_without_units, loss_without_weights, remove_units
from reference_impl.data import Examples
from reference_impl.models import Network

SEEN = examples(30)
WHERE = {
    "lenet300": {"hidden1": "relu1", "hidden2": "relu2"},
    "lenet5": {"conv1": "pool1", "conv2": "pool2", "hidden": "relu1"},
    "student": {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3"},
}


def loss(network: Network, seen: Examples) -> float:
    with torch.no_grad():
        return F.cross_entropy(network.double()(seen.images.double()), seen.labels).item()


@pytest.mark.parametrize("name", WHERE)
def test_units_are_as_if_really_removed(name: str) -> None:
    """Oracle: a smaller network, built without the unit; BatchNorm in evaluation mode."""
    network = drawn(name)
    whole = loss(network, SEEN)
    for label, place in WHERE[name].items():
        found = loss_without_units(network.train(), place, SEEN)
        for i in range(network.widths[label]):
            keep = torch.arange(network.widths[label]) != i
            small = remove_units(network, {label: keep}).eval()
            assert found[i].item() == pytest.approx(loss(small, SEEN) - whole, abs=1e-9)


@pytest.mark.equation("eq-importance-truth")
@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("lenet5", {"conv2": [0, 7, 149], "fc2": [0, 39], "conv1": [3]}),
        ("student", {"conv2": [0, 5], "head": [99]}),
    ],
)
def test_weights_are_as_if_set_to_zero(name: str, which: dict[str, list[int]]) -> None:
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
        flat = network.eval().chain().get_submodule(place).weight.data.view(-1)
        for change, q in zip(found.tolist(), weights, strict=True):
            value = flat[q].clone()
            flat[q] = 0
            assert change == pytest.approx(loss(network, SEEN) - whole, abs=1e-12)
            flat[q] = value


LENET = drawn("lenet300")


def without(place: str, weight: int) -> None:
    loss_without_weights(LENET, place, torch.tensor([weight]), SEEN)


test_places_and_weights_that_are_not_there_are_refused = refused(
    (ValueError, "place must be one of", lambda: loss_without_units(LENET, "relu9", SEEN)),
    (ValueError, "place must be one of", lambda: loss_without_units(LENET, "fc3", SEEN)),
    (ValueError, "a weight", lambda: without("relu1", 0)),
    (ValueError, "below 100", lambda: without("fc3", 100)),
    (ValueError, "which must be at least 0, got -1", lambda: without("fc3", -1)),
)
