"""Contributions of units against one image at a time, a gate at each unit, and removal."""

import copy

import pytest
import torch
import torch.nn.functional as F

from reference_impl.compress import unit_contributions
from reference_impl.data import Examples
from reference_impl.models import ConvStudent, LeNet300

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


def test_batches_do_not_matter_and_the_network_stays_as_it_was():
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
        (lambda n: unit_contributions(n.chain(), LENET, EXAMPLES), TypeError, "network"),
        (lambda n: unit_contributions(n, ["relu1"], EXAMPLES), TypeError, "places must be Mapping"),
        (lambda n: unit_contributions(n, {}, EXAMPLES), ValueError, "places must name some of"),
        (lambda n: unit_contributions(n, {"x": "relu1"}, EXAMPLES), ValueError, r"got \['x'\]"),
        (lambda n: unit_contributions(n, {"hidden1": "relu9"}, EXAMPLES), ValueError, "relu9"),
        (lambda n: unit_contributions(n, {"hidden1": "relu2"}, EXAMPLES), ValueError, "300 units"),
        (lambda n: unit_contributions(n, LENET, EXAMPLES.images), TypeError, "examples"),
        (lambda n: unit_contributions(n, LENET, EXAMPLES, batch_size=0), ValueError, "batch_size"),
    ],
)
def test_bad_input_is_named_and_the_mode_stays(call, error, message):
    """Oracle: the messages."""
    network = LeNet300()
    with pytest.raises(error, match=message):
        call(network)
    assert network.training
    assert network.chain().relu1.training
