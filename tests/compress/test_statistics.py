"""Gradients, curvature and contributions against autograd, image by image, and gates."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.functional import hessian
from torch.func import functional_call

from reference_impl.compress import (
    curvature_diagonal,
    mean_gradients,
    mean_square_gradients,
    unit_contributions,
)
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


DRAWS = torch.Generator().manual_seed(0)
EXAMPLES = Examples(torch.rand(6, 1, 28, 28, generator=DRAWS), torch.tensor([0, 1, 2, 3, 4, 9]))
LENET = {"hidden1": "relu1", "hidden2": "relu2"}
STUDENT = {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3"}


@pytest.mark.parametrize(("kind", "places"), [(LeNet300, LENET), (ConvStudent, STUDENT)])
def test_contributions_are_derivatives_by_gates(kind, places):
    """Oracle: d ℓ_i / d m_j at m = 1, with unit j's values multiplied by m_j; finite differences.

    In float64, one gate and one image at a time.

    Equation: eq-stability-importance.
    """
    torch.manual_seed(0)
    network = kind().double().eval()
    found = unit_contributions(network, places, as_doubles())
    h = 1e-6
    for label, place in places.items():
        for i, j in ((0, 0), (3, 5), (5, network.widths[label] - 1)):
            losses = []
            for gate in (1 + h, 1 - h):
                x = EXAMPLES.images[i : i + 1].double()
                for name, module in network.chain().named_children():
                    x = module(x)
                    if name == place:
                        x = x.clone()
                        x[:, j] *= gate
                losses.append(F.cross_entropy(x, EXAMPLES.labels[i : i + 1]).item())
            slope = (losses[0] - losses[1]) / (2 * h)
            assert found[label][i, j].item() == pytest.approx(slope, abs=1e-8, rel=1e-5)


def as_doubles():
    """Return the examples in float64, past the check that refuses them: for differences."""
    examples = copy.copy(EXAMPLES)
    object.__setattr__(examples, "images", EXAMPLES.images.double())
    return examples


def test_batches_change_no_contribution_and_the_network_is_left_as_it_is():
    """Oracle: one image at a time; the state and the modes before."""
    network = ConvStudent().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = unit_contributions(network, STUDENT, EXAMPLES)
    single = unit_contributions(network, STUDENT, EXAMPLES, batch_size=1)
    for label, values in whole.items():
        assert values.shape == (6, network.widths[label])
        torch.testing.assert_close(values, single[label], atol=1e-6, rtol=1e-4)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
    assert all(p.grad is None for p in network.parameters())


def test_contributions_need_no_trainable_parameter():
    """Oracle: the same network with gradients allowed, and a caller under `no_grad`."""
    network = LeNet300().eval()
    expected = unit_contributions(network, LENET, EXAMPLES)
    with torch.no_grad():
        found = unit_contributions(network.requires_grad_(requires_grad=False), LENET, EXAMPLES)
    assert all(torch.equal(found[label], expected[label]) for label in LENET)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: mean_gradients(n.fc1, EXAMPLES), TypeError, "network must be Network"),
        (lambda n: mean_gradients(n, EXAMPLES.images), TypeError, "examples must be Examples"),
        (lambda n: mean_square_gradients(n, EXAMPLES, batch_size=0), ValueError, "batch_size must"),
        (
            lambda n: curvature_diagonal(n, EXAMPLES.images[:0]),
            ValueError,
            "images must not be emp",
        ),
        (lambda n: unit_contributions(n, ["relu1"], EXAMPLES), TypeError, "places must be Mapping"),
        (lambda n: unit_contributions(n, {}, EXAMPLES), ValueError, "places must be one or more"),
        (lambda n: unit_contributions(n, {"x": "relu1"}, EXAMPLES), ValueError, "got 'x'"),
        (lambda n: unit_contributions(n, {"hidden1": "relu9"}, EXAMPLES), ValueError, "relu9"),
        (lambda n: unit_contributions(n, {"hidden1": "relu2"}, EXAMPLES), ValueError, "300 units"),
    ],
)
def test_bad_input_is_named_and_the_modes_are_as_before(call, error, message):
    """Oracle: the messages."""
    network = LeNet300()
    with pytest.raises(error, match=message):
        call(network)
    assert network.training
    assert network.chain().relu1.training
