"""Layers with learned quantizers: bits, start, what training changes, and what is deployed."""

import pytest
import torch
from chains import drawn, images, learnable, left_alone, refused
from draws import normal
from torch import nn

from reference_impl import compress
from reference_impl.compress.fold import norm_factor
from reference_impl.quantization import AffineQuantizer, IntegerGrid, initial_scale

X = images(16)
TWO_BITS = AffineQuantizer(torch.tensor(0.5), torch.tensor(1), IntegerGrid(2))


def chain_of(name: str = "lenet300") -> nn.Sequential:
    chain: nn.Sequential = drawn(name)
    return chain


def learned_chain(name: str = "lenet300", bits: int = 4) -> nn.Sequential:
    return learnable(chain_of(name), X, bits)


def test_layers_come_by_name_with_eight_bits_at_the_edges():
    """Oracle: the grids by hand; a chain may have none, such as the control of a training."""
    learned = learned_chain(bits=2)
    outer = (IntegerGrid(8, signed=True, narrow=True), IntegerGrid(8))
    inner = (IntegerGrid(2, signed=True, narrow=True), IntegerGrid(2))
    grids = {
        name: (layer.weight_quantizer.grid, layer.input_quantizer.grid)
        for name, layer in compress.learned_layers(learned).items()
    }
    assert grids == {"fc1": outer, "fc2": inner, "fc3": outer}
    assert [q.grid for q in compress.learned_quantizers(learned)] == [*outer, *inner, *outer]
    assert compress.learned_layers(chain_of()) == {}
    one = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    bits = compress.edge_bits(one, compress.LayerBits(2, 3), edges=5)
    assert bits == {"1": compress.LayerBits(5, 5)}


def test_steps_start_where_lsq_starts():
    """Oracle: 2 E|x|/√q_max on the weight and on the layer's input; factors 1/√(N q_max)."""
    layer = compress.learned_layers(learned_chain())["fc2"]
    expected = 2 * layer.layer.weight.detach().abs().mean(1, keepdim=True) / 7**0.5
    torch.testing.assert_close(layer.weight_quantizer.scale.detach(), expected)
    with torch.no_grad():
        step = 2 * chain_of()[:3](X).mean().item() / 15**0.5
    assert layer.input_quantizer.scale.item() == pytest.approx(step, rel=1e-6)
    assert layer.weight_quantizer.factor == pytest.approx((12 * 7) ** -0.5)
    assert layer.input_quantizer.factor == pytest.approx((12 * 15) ** -0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lenet300", [False] * 3), ("lenet5", [False, True, True, False]), ("student", [False] * 4)],
)
def test_zero_points_are_learned_where_inputs_go_below_zero_only(name, expected):
    """Oracle: LeNet-5's second convolution reads no ReLU, LeNet-300-100's layers all do."""
    layers = compress.learned_layers(learned_chain(name)).values()
    assert [isinstance(x.input_quantizer.zero_point, nn.Parameter) for x in layers] == expected
    for layer in layers:
        assert not isinstance(layer.weight_quantizer.zero_point, nn.Parameter)
        assert not layer.weight_quantizer.zero_point.any()


def test_a_signed_input_starts_in_the_middle_of_the_grid():
    """Oracle: by hand; the mean 2 has the middle code, and s is LSQ's of x − 2."""
    grid = IntegerGrid(4)
    x = torch.tensor([[-1.0, 5.0], [1.0, 3.0]])  # E|x| = 2.5, E|x − 2| = 2
    start = compress.input_start(x, grid)
    step = 2 * 2 / 7**0.5
    assert start.scale.item() == pytest.approx(step)
    assert start.zero_point.item() == round(7.5 - 2 / step)
    never = compress.input_start(x.abs(), grid)
    assert never.zero_point.item() == 0
    torch.testing.assert_close(never.scale, initial_scale(x.abs(), grid))


def test_gradients_are_multiplied_by_the_factor_and_a_fixed_zero_point_has_none():
    """Oracle: torch's learnable fake-quantize with the factor as grad_factor."""
    x = normal(20, seed=1)
    start = AffineQuantizer(torch.tensor(0.5), torch.tensor(0), IntegerGrid(3, signed=True))
    free = compress.LearnedQuantizer(start, n=20, learn_zero_point=True)
    fixed = compress.LearnedQuantizer(start, n=20)
    s, z = torch.tensor([0.5], requires_grad=True), torch.zeros(1, requires_grad=True)
    theirs = torch._fake_quantize_learnable_per_tensor_affine(x, s, z, -4, 3, (20 * 3) ** -0.5)
    for one in (free(x), fixed(x), theirs):
        one.sum().backward()
    for ours, expected in ((free.scale, s), (fixed.scale, s), (free.zero_point, z)):
        torch.testing.assert_close(ours.grad, expected.grad[0], rtol=1e-5, atol=1e-5)
    assert fixed.zero_point.grad is None
    assert [name for name, _ in fixed.named_parameters()] == ["scale"]


def test_a_step_of_training_moves_every_parameter_and_none_of_the_chains():
    """Oracle: a dead one would have no gradient, or zero everywhere; a copy made before."""
    for name in ("lenet5", "student"):
        chain = chain_of(name)
        with left_alone(chain):
            learned = learnable(chain, X).train()
            learned(X).square().mean().backward()
            for key, parameter in learned.named_parameters():
                assert parameter.grad is not None, key
                assert parameter.grad.any() or key.endswith("zero_point"), key
            torch.optim.SGD(learned.parameters(), lr=0.1).step()


def test_steps_at_and_below_zero_are_lifted_and_counted():
    """Oracle: by hand; a thousandth of the first step."""
    learned = learned_chain()
    quantizers = list(compress.learned_quantizers(learned))
    assert len(quantizers) == 6
    first = quantizers[0].scale.min().item()
    assert compress.keep_scales_positive(learned) == 0
    with torch.no_grad():
        quantizers[0].scale[:3] = torch.tensor([-1.0, 0.0, first / 2000]).view(3, 1)
    assert compress.keep_scales_positive(learned) == 3
    assert quantizers[0].scale.min().item() == pytest.approx(first / 1000)
    assert compress.keep_scales_positive(learned) == 0


def test_frozen_computes_the_same():
    """Oracle: the learned quantizer itself, bit for bit, with a fractional zero point."""
    quantizer = compress.LearnedQuantizer(TWO_BITS, n=3, learn_zero_point=True)
    x = torch.linspace(-3, 3, 101)
    for z in (-0.7, 0.5, 1.5, 2.4, 9.0):
        with torch.no_grad():
            quantizer.zero_point.fill_(z)
        assert torch.equal(quantizer(x), quantizer.frozen().round_trip(x))
        assert quantizer.frozen().zero_point.item() == min(max(round(z), 0), 3)


def after_some_training(name: str, bits: int) -> nn.Sequential:
    """Return a learned chain whose every parameter and buffer has moved from its start."""
    learned = learned_chain(name, bits).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.01)
    for part in X.split(8):
        optimizer.zero_grad()
        learned(part).square().mean().backward()
        optimizer.step()
    return learned.eval()


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("name", ["lenet300", "lenet5"])
def test_without_batch_norm_the_deployed_network_is_the_trained_one_bit_for_bit(name, bits):
    """Oracle: the trained chain itself; LeNet-5 has learned zero points."""
    learned = after_some_training(name, bits)
    deployed = compress.deploy(learned)
    assert not any(isinstance(module, compress.LearnedLayer) for module in deployed.modules())
    with torch.no_grad():
        assert torch.equal(deployed(X), learned(X))


@pytest.mark.parametrize("name", ["student", "separable"])
def test_with_batch_norm_folded_the_function_stays(name):
    """Oracle: the trained chain, in float64 to keep codes from flipping at ties."""
    learned = after_some_training(name, 3)
    with torch.no_grad():
        expected = learned.double()(X.double())
        deployed = compress.deploy(learned)
        found = deployed(X.double())
    norms = [module for module in learned if isinstance(module, nn.BatchNorm2d)]
    assert len(deployed) == len(learned) - len(norms)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-qat-fold")
def test_folding_keeps_the_codes_and_negates_them_where_gamma_is_negative():
    """Oracle: the codes of the trained weight times the sign of γ, exactly."""
    learned = after_some_training("student", 2)
    deployed = compress.deploy(learned)
    signs = set()
    for number in (1, 2, 3):
        trained = learned.get_submodule(f"conv{number}")
        layer = deployed.get_submodule(f"conv{number}")
        norm = learned.get_submodule(f"norm{number}")
        codes = trained.weight_quantizer.frozen().quantize(trained.layer.weight.detach())
        found = layer.weight_quantizer.quantize(layer.layer.weight.detach())
        sign = norm.weight.detach().sign()
        signs |= set(sign.tolist())
        assert torch.equal(found, (codes * sign.view(-1, 1, 1, 1)).to(codes.dtype))
        step = norm_factor(norm).abs() * trained.weight_quantizer.scale.detach().flatten()
        scale = layer.weight_quantizer.scale.flatten()
        torch.testing.assert_close(scale.double(), step.double(), rtol=1e-6, atol=0)
    assert signs == {-1.0, 1.0}


def test_a_channel_with_gamma_zero_is_constant():
    """Oracle: BatchNorm's shift β is all that is left of it."""
    learned = after_some_training("student", 3)
    with torch.no_grad():
        learned.get_submodule("norm1").weight[2] = 0
    deployed = compress.deploy(learned)
    with torch.no_grad():
        torch.testing.assert_close(deployed(X), learned(X), rtol=1e-4, atol=1e-4)
        first = deployed[:1](X)[:, 2]
    beta = learned.get_submodule("norm1").bias[2].item()
    torch.testing.assert_close(first, torch.full_like(first, beta))


def test_each_step_is_lifted_to_a_thousandth_of_its_own_first_value():
    """Oracle: by hand; a channel of tiny weights does not lower the floor of the others."""
    chain = chain_of()
    with torch.no_grad():
        chain.fc1.weight[0] *= 1e-6
    learned = learnable(chain, X)
    quantizer = compress.learned_layers(learned)["fc1"].weight_quantizer
    first = quantizer.scale.detach().clone()
    with torch.no_grad():
        quantizer.scale.fill_(-1.0)
    assert compress.keep_scales_positive(learned) == len(first)
    torch.testing.assert_close(quantizer.scale.detach(), first / 1000)


CHAIN = chain_of()
OTHER = {**compress.edge_bits(CHAIN, compress.LayerBits(4, 4)), "fc9": compress.LayerBits(2, 2)}
NAMES = r"bits must name the layers \['fc1', 'fc2', 'fc3'\], got .*fc9"

test_chains_that_cannot_be_learned_or_deployed_are_refused = refused(
    (ValueError, NAMES, lambda: compress.learn_layers(CHAIN, X, OTHER)),
    (ValueError, "network must have a learned layer", lambda: compress.deploy(CHAIN)),
    (ValueError, "must be in evaluation mode", lambda: compress.deploy(learned_chain().train())),
)
