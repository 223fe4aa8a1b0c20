"""What is deployed computes what was trained, BatchNorm folded or not."""

import copy

import pytest
import torch
from chains import twice_used_chain
from torch import nn

from reference_impl.compress import (
    Bits,
    LearnedLayer,
    QuantizedLayer,
    deploy,
    edge_bits,
    learn_layers,
    learned_quantizers,
)
from reference_impl.compress.fold import norm_factor
from reference_impl.models import ConvStudent, LeNet5, LeNet300, Network, SeparableStudent

IMAGES = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def after_some_training(kind: type[Network], bits: int, seed: int = 0) -> nn.Sequential:
    """Return a learned chain whose every parameter and buffer has moved from its start."""
    torch.manual_seed(seed)
    chain = kind().chain()
    for module in chain:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)  # negative ones too
            nn.init.normal_(module.bias)
    learned = learn_layers(chain.eval(), IMAGES, edge_bits(chain, Bits(bits, bits))).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.01)
    for part in IMAGES.split(8):
        optimizer.zero_grad()
        learned(part).square().mean().backward()
        optimizer.step()
    return learned.eval()


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("kind", [LeNet300, LeNet5])
def test_without_batch_norm_the_deployed_network_is_the_trained_one_bit_for_bit(
    kind: type[Network], bits: int
) -> None:
    """Oracle: the trained chain itself; LeNet-5 has learned zero points."""
    learned = after_some_training(kind, bits)
    deployed = deploy(learned)
    assert not any(isinstance(module, LearnedLayer) for module in deployed.modules())
    with torch.no_grad():
        assert torch.equal(deployed(IMAGES), learned(IMAGES))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [ConvStudent, SeparableStudent])
def test_with_batch_norm_folded_the_function_stays(kind: type[Network], seed: int) -> None:
    """Oracle: the trained chain, in float64 to keep codes from flipping at ties."""
    learned = after_some_training(kind, 3, seed).double()
    images = IMAGES.double()
    with torch.no_grad():
        expected = learned(images)
    deployed = deploy(learned)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    with torch.no_grad():
        found = deployed(images)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_learned_layer_in_two_places_is_deployed_in_both() -> None:
    """Oracle: the learned chain itself, in float64 to keep codes from flipping at ties."""
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    chain = twice_used_chain()
    first, conv, norm, relu, *_, mean, flatten, last = learn_layers(
        chain, x, edge_bits(chain, Bits(3, 3))
    ).double()
    learned = nn.Sequential(first, conv, norm, relu, conv, norm, relu, mean, flatten, last).eval()
    with torch.no_grad():
        deployed, expected = deploy(learned), learned(x.double())
        torch.testing.assert_close(deployed(x.double()), expected, rtol=1e-9, atol=1e-9)
    assert len(deployed) == len(learned) - 2


def test_folding_keeps_the_codes_and_negates_them_where_gamma_is_negative() -> None:
    """Oracle: the codes of the trained weight times the sign of γ, exactly.

    Equation: eq-qat-fold.
    """
    learned = after_some_training(ConvStudent, 2)
    deployed = deploy(learned)
    signs = set()
    for number in (1, 2, 3):
        trained = learned.get_submodule(f"conv{number}")
        layer = deployed.get_submodule(f"conv{number}")
        norm = learned.get_submodule(f"norm{number}")
        assert isinstance(trained, LearnedLayer)
        assert isinstance(layer, QuantizedLayer)
        codes = trained.weight_quantizer.frozen().quantize(trained.layer.weight.detach())
        found = layer.weight_quantizer.quantize(layer.layer.weight.detach())
        sign = norm.weight.detach().sign()
        signs |= set(sign.tolist())
        assert torch.equal(found, (codes * sign.view(-1, 1, 1, 1)).to(codes.dtype))
        step = norm_factor(norm).abs() * trained.weight_quantizer.scale.detach().flatten()
        torch.testing.assert_close(
            layer.weight_quantizer.scale.flatten().double(), step.double(), rtol=1e-6, atol=0
        )
    assert signs == {-1.0, 1.0}


def test_a_channel_with_gamma_zero_is_constant() -> None:
    """Oracle: BatchNorm's shift β is all that is left of it."""
    learned = after_some_training(ConvStudent, 3)
    with torch.no_grad():
        learned.get_submodule("norm1").weight[2] = 0
    deployed = deploy(learned)
    with torch.no_grad():
        torch.testing.assert_close(deployed(IMAGES), learned(IMAGES), rtol=1e-4, atol=1e-4)
        first = deployed[:1](IMAGES)[:, 2]
    beta = learned.get_submodule("norm1").bias[2].item()
    torch.testing.assert_close(first, torch.full_like(first, beta))


def test_the_learned_chain_is_left_as_it_is() -> None:
    """Oracle: a copy made before."""
    learned = after_some_training(ConvStudent, 4)
    before = copy.deepcopy(learned.state_dict())
    deployed = deploy(learned)
    with torch.no_grad():
        for parameter in deployed.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in learned.state_dict().items())
    assert len(list(learned_quantizers(learned))) == 8
