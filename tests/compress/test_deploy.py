"""What is deployed computes what was trained, BatchNorm folded or not."""

import pytest
import torch
from chains import drawn, images, twice_used_chain
from torch import nn

from reference_impl import compress
from reference_impl.compress.fold import norm_factor

IMAGES = images(32)


def after_some_training(name: str, bits: int) -> nn.Sequential:
    """Return a learned chain whose every parameter and buffer has moved from its start."""
    chain = drawn(name).chain()
    learned = compress.learn_layers(
        chain, IMAGES, compress.edge_bits(chain, compress.Bits(bits, bits))
    ).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.01)
    for part in IMAGES.split(8):
        optimizer.zero_grad()
        learned(part).square().mean().backward()
        optimizer.step()
    return learned.eval()


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("name", ["lenet300", "lenet5"])
def test_without_batch_norm_the_deployed_network_is_the_trained_one_bit_for_bit(name, bits) -> None:
    """Oracle: the trained chain itself; LeNet-5 has learned zero points."""
    learned = after_some_training(name, bits)
    deployed = compress.deploy(learned)
    assert not any(isinstance(module, compress.LearnedLayer) for module in deployed.modules())
    with torch.no_grad():
        assert torch.equal(deployed(IMAGES), learned(IMAGES))


def with_shared_layers() -> nn.Sequential:
    """Return a learned chain whose convolution, norm and ReLU each stand in two places."""
    chain = twice_used_chain()
    learned = compress.learn_layers(chain, IMAGES, compress.edge_bits(chain, compress.Bits(3, 3)))
    return nn.Sequential(*learned[:4], *learned[1:4], *learned[7:]).eval()


@pytest.mark.parametrize("name", ["student", "separable", "twice used"])
def test_with_batch_norm_folded_the_function_stays(name: str) -> None:
    """Oracle: the trained chain, in float64 to keep codes from flipping at ties."""
    learned = with_shared_layers() if name == "twice used" else after_some_training(name, 3)
    with torch.no_grad():
        expected = learned.double()(IMAGES.double())
        deployed = compress.deploy(learned)
        found = deployed(IMAGES.double())
    norms = [module for module in learned if isinstance(module, nn.BatchNorm2d)]
    assert len(deployed) == len(learned) - len(norms)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-qat-fold")
def test_folding_keeps_the_codes_and_negates_them_where_gamma_is_negative() -> None:
    """Oracle: the codes of the trained weight times the sign of γ, exactly."""
    learned = after_some_training("student", 2)
    deployed = compress.deploy(learned)
    signs = set()
    for number in (1, 2, 3):
        trained = learned.get_submodule(f"conv{number}")
        layer = deployed.get_submodule(f"conv{number}")
        norm = learned.get_submodule(f"norm{number}")
        assert isinstance(trained, compress.LearnedLayer)
        assert isinstance(layer, compress.QuantizedLayer)
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
    learned = after_some_training("student", 3)
    with torch.no_grad():
        learned.get_submodule("norm1").weight[2] = 0
    deployed = compress.deploy(learned)
    with torch.no_grad():
        torch.testing.assert_close(deployed(IMAGES), learned(IMAGES), rtol=1e-4, atol=1e-4)
        first = deployed[:1](IMAGES)[:, 2]
    beta = learned.get_submodule("norm1").bias[2].item()
    torch.testing.assert_close(first, torch.full_like(first, beta))
