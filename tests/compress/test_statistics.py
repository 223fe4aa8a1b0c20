"""Gradients, their squares and the curvature against autograd, image by image."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.functional import hessian
from torch.func import functional_call

from reference_impl.compress import curvature_diagonal, mean_gradients, mean_square_gradients
from reference_impl.data import Examples
from reference_impl.models import ConvStudent, LeNet5, LeNet300, Network


def examples(n: int, seed: int = 0) -> Examples:
    draws = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 28, 28, generator=draws)
    return Examples(images, torch.randint(10, (n,), generator=draws))


def networks() -> list[Network]:
    torch.manual_seed(0)
    nets = [LeNet300((6, 5)), LeNet5((2, 3), 4), ConvStudent((2, 3, 4))]
    for norm in nets[-1].norms:
        torch.nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
    return nets


@pytest.mark.parametrize("network", networks(), ids=lambda n: type(n).__name__)
def test_gradients_are_autograds(network: Network) -> None:
    """Oracle: backward, of all images and of each alone, BatchNorm in evaluation mode."""
    seen = examples(7)
    found = mean_gradients(network, seen, batch_size=3)
    squares = mean_square_gradients(network, seen, batch_size=3)
    names, parameters = zip(*network.named_parameters(), strict=True)
    network.eval()
    losses = F.cross_entropy(network(seen.images), seen.labels, reduction="none")
    whole = torch.autograd.grad(losses.mean(), parameters, retain_graph=True)
    each = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
    for i, name in enumerate(names):
        assert torch.allclose(found[name], whole[i], rtol=1e-4, atol=1e-6)
        expected = torch.stack([one[i].square() for one in each]).mean(dim=0)
        assert torch.allclose(squares[name], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("network", networks(), ids=lambda n: type(n).__name__)
def test_curvature_is_the_exact_hessians_diagonal(network: Network) -> None:
    """Oracle: autograd's Hessian of the mean loss by one parameter after the other, in float64.

    Equation: eq-importance-curvature.
    """
    network = network.double().eval()
    seen = examples(5, seed=1)
    images = seen.images.double()
    found = curvature_diagonal(network, images, batch_size=2)
    state = {name: value.detach() for name, value in network.state_dict().items()}
    for name, value in network.named_parameters():
        if value.numel() > 500:
            continue  # the first layer of LeNet300: 4704²

        def loss(x: torch.Tensor, name: str = name) -> torch.Tensor:
            logits = functional_call(network, {**state, name: x}, (images,))
            return F.cross_entropy(logits, seen.labels)

        exact = hessian(loss, value.detach()).reshape(value.numel(), -1).diagonal()
        assert torch.allclose(found[name].flatten(), exact, rtol=1e-6, atol=1e-12)


def test_statistics_are_in_the_networks_precision() -> None:
    """Oracle: float32's own; the images may have another precision than the network."""
    network, seen = networks()[-1], examples(4)
    wide = copy.deepcopy(network).double()
    pairs = (
        (mean_gradients(network, seen), mean_gradients(wide, seen)),
        (mean_square_gradients(network, seen), mean_square_gradients(wide, seen)),
        (curvature_diagonal(network, seen.images), curvature_diagonal(wide, seen.images)),
        (curvature_diagonal(network, seen.images.double()), curvature_diagonal(wide, seen.images)),
    )
    for narrow, exact in pairs:
        for name, value in exact.items():
            assert (narrow[name].dtype, value.dtype) == (torch.float32, torch.float64)
            assert torch.allclose(narrow[name].double(), value, rtol=1e-3, atol=1e-6)


def test_the_network_is_left_as_it_is() -> None:
    """Oracle: its state, mode and gradients before, and torch's generator."""
    network = networks()[-1].train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    seen = examples(4)
    mean_gradients(network, seen)
    mean_square_gradients(network, seen)
    curvature_diagonal(network, seen.images)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_bad_input_is_refused() -> None:
    """Oracle: the message names what is wrong."""
    network, seen = LeNet300((3, 2)), examples(2)
    for gather in (mean_gradients, mean_square_gradients):
        with pytest.raises(TypeError, match="network must be Network"):
            gather(torch.nn.Linear(2, 2), seen)
        with pytest.raises(TypeError, match="examples must be Examples"):
            gather(network, seen.images)
        with pytest.raises(ValueError, match="batch_size must be at least 1"):
            gather(network, seen, batch_size=0)
    with pytest.raises(TypeError, match="network must be Network"):
        curvature_diagonal(None, seen.images)
    with pytest.raises(ValueError, match="images must not be empty"):
        curvature_diagonal(network, seen.images[:0])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        curvature_diagonal(network, seen.images, batch_size=0)
