"""Gradients, curvature and contributions against autograd, image by image, and gates."""

import copy

import pytest
import torch
import torch.nn.functional as F
from chains import drawn, examples, refused
from torch.autograd.functional import hessian
from torch.func import functional_call

from reference_impl.compress import (
    curvature_diagonal,
    mean_gradients,
    mean_square_gradients,
    unit_contributions,
)

each_network = pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
SEEN = examples(6)
WHERE = {
    "lenet300": {"hidden1": "relu1", "hidden2": "relu2"},
    "student": {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3"},
}


@each_network
def test_gradients_are_autograds(name: str) -> None:
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
def test_curvature_is_the_exact_hessians_diagonal(name: str) -> None:
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


def test_statistics_are_in_the_networks_precision() -> None:
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
    """Oracle: d ℓ_i / d m_j at m = 1, with unit j's values multiplied by m_j; finite differences.

    In float64, one gate and one image at a time.
    """
    network = drawn(name).double()
    wide = copy.copy(SEEN)  # past the check that refuses float64 images: for differences
    object.__setattr__(wide, "images", SEEN.images.double())
    found = unit_contributions(network, places, wide)
    h = 1e-6
    for label, place in places.items():
        for i, j in ((0, 0), (3, 5), (5, network.widths[label] - 1)):
            losses = []
            for gate in (1 + h, 1 - h):
                x = wide.images[i : i + 1]
                for module_name, module in network.chain().named_children():
                    x = module(x)
                    if module_name == place:
                        x = x.clone()
                        x[:, j] *= gate
                losses.append(F.cross_entropy(x, SEEN.labels[i : i + 1]).item())
            slope = (losses[0] - losses[1]) / (2 * h)
            assert found[label][i, j].item() == pytest.approx(slope, abs=1e-8, rel=1e-5)


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


LENET = drawn("lenet300")


def contribute(**places: str) -> None:
    unit_contributions(LENET, places, SEEN)


test_places_that_are_not_those_of_the_units_are_refused = refused(
    (ValueError, "places must be one or more", contribute),
    (ValueError, "got 'x'", lambda: contribute(x="relu1")),
    (ValueError, "relu9", lambda: contribute(hidden1="relu9")),
    (ValueError, "12 units", lambda: contribute(hidden1="relu2")),
)
