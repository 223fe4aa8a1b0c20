"""Layers with learned quantizers: their bits, their start, and what training may change."""

import copy

import pytest
import torch
from chains import drawn, images, refused, same_state
from torch import nn

from reference_impl.compress import (
    Bits,
    LearnedLayer,
    LearnedQuantizer,
    deploy,
    edge_bits,
    input_start,
    keep_scales_positive,
    learn_layers,
    learned_layers,
    learned_quantizers,
)
from reference_impl.models import MODELS
from reference_impl.quantization import AffineQuantizer, IntegerGrid, initial_scale

X = images(16)
TWO_BITS = AffineQuantizer(torch.tensor(0.5), torch.tensor(1), IntegerGrid(2))


def chain_of(name: str = "lenet300") -> nn.Sequential:
    chain: nn.Sequential = drawn(name).chain()
    return chain


def learned_chain(name: str = "lenet300", bits: int = 4) -> nn.Sequential:
    chain = chain_of(name)
    return learn_layers(chain, X, edge_bits(chain, Bits(bits, bits)))


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "student"])
def test_eight_bits_everywhere_change_little(name: str) -> None:
    """Oracle: the chain in full precision, after steps of the range's maximum."""
    torch.manual_seed(0)
    chain = MODELS[name]().chain().eval()
    learned = learn_layers(chain, X, edge_bits(chain, Bits(8, 8)))
    for layer in learned_layers(learned).values():
        top = layer.layer.weight.detach().flatten(1).abs().amax(1)
        scale = layer.weight_quantizer.scale
        scale.data = (top / layer.weight_quantizer.grid.q_max).view_as(scale)
    with torch.no_grad():
        expected, found = chain(X), learned(X)
    assert (found - expected).abs().max() < 0.05 * expected.std() + 0.01


def test_a_layer_computes_on_restored_values() -> None:
    """Oracle: AffineQuantizer and F.conv2d, put together by hand."""
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    grid = IntegerGrid(3, signed=True, narrow=True)
    scale = torch.full((3, 1, 1, 1), 0.07)
    weight = AffineQuantizer(scale, torch.zeros(3, 1, 1, 1, dtype=torch.int32), grid)
    inputs = AffineQuantizer(torch.tensor(0.3), torch.tensor(1), IntegerGrid(2))
    learned = LearnedLayer(layer, LearnedQuantizer(weight, 18), LearnedQuantizer(inputs, 50))
    x = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    w_hat = weight.round_trip(layer.weight.detach())
    expected = torch.nn.functional.conv2d(inputs.round_trip(x), w_hat, layer.bias, 2, 1)
    assert torch.equal(learned(x), expected)


def test_layers_come_by_name_with_eight_bits_at_the_edges() -> None:
    """Oracle: the grids by hand; a chain may have none, such as the control of a training."""
    learned = learned_chain(bits=2)
    outer = (IntegerGrid(8, signed=True, narrow=True), IntegerGrid(8))
    inner = (IntegerGrid(2, signed=True, narrow=True), IntegerGrid(2))
    grids = {
        name: (layer.weight_quantizer.grid, layer.input_quantizer.grid)
        for name, layer in learned_layers(learned).items()
    }
    assert grids == {"fc1": outer, "fc2": inner, "fc3": outer}
    assert [q.grid for q in learned_quantizers(learned)] == [*outer, *inner, *outer]
    assert learned_layers(chain_of()) == {}
    one = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert edge_bits(one, Bits(2, 3), edges=5) == {"1": Bits(5, 5)}


def test_steps_start_where_lsq_starts() -> None:
    """Oracle: 2 E|x|/√q_max on the weight and on the layer's input; factors 1/√(N q_max)."""
    layer = learned_layers(learned_chain())["fc2"]
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
def test_zero_points_are_learned_where_inputs_go_below_zero_only(name, expected) -> None:
    """Oracle: LeNet-5's second convolution reads no ReLU, LeNet-300-100's layers all do."""
    layers = learned_layers(learned_chain(name)).values()
    assert [isinstance(x.input_quantizer.zero_point, nn.Parameter) for x in layers] == expected
    for layer in layers:
        assert not isinstance(layer.weight_quantizer.zero_point, nn.Parameter)
        assert not layer.weight_quantizer.zero_point.any()


def test_a_signed_input_starts_in_the_middle_of_the_grid() -> None:
    """Oracle: by hand; the mean 2 has the middle code, and s is LSQ's of x − 2."""
    grid = IntegerGrid(4)
    x = torch.tensor([[-1.0, 5.0], [1.0, 3.0]])  # E|x| = 2.5, E|x − 2| = 2
    start = input_start(x, grid)
    step = 2 * 2 / 7**0.5
    assert start.scale.item() == pytest.approx(step)
    assert start.zero_point.item() == round(7.5 - 2 / step)
    never = input_start(x.abs(), grid)
    assert never.zero_point.item() == 0
    torch.testing.assert_close(never.scale, initial_scale(x.abs(), grid))


def test_the_gradient_of_a_step_is_multiplied_by_the_factor() -> None:
    """Oracle: torch's learnable fake-quantize with the factor as grad_factor."""
    x = torch.randn(20, generator=torch.Generator().manual_seed(1))
    start = AffineQuantizer(torch.tensor(0.5), torch.tensor(0), IntegerGrid(3, signed=True))
    quantizer = LearnedQuantizer(start, n=20)
    quantizer(x).sum().backward()
    s = torch.tensor([0.5], requires_grad=True)
    torch._fake_quantize_learnable_per_tensor_affine(
        x, s, torch.zeros(1), -4, 3, (20 * 3) ** -0.5
    ).sum().backward()
    torch.testing.assert_close(quantizer.scale.grad, s.grad[0], rtol=1e-5, atol=1e-5)


def test_a_learned_zero_point_gets_a_gradient_and_a_fixed_one_none() -> None:
    """Oracle: −s for each clipped value, times the factor, by hand."""
    x = torch.tensor([-9.0, 0.1, 9.0, 9.0])
    free = LearnedQuantizer(TWO_BITS, n=3, learn_zero_point=True)
    free(x).sum().backward()
    assert free.zero_point.grad.item() == pytest.approx(-1.5 * (3 * 3) ** -0.5)
    fixed = LearnedQuantizer(TWO_BITS, n=3)
    fixed(x).sum().backward()
    assert fixed.zero_point.grad is None
    assert [name for name, _ in fixed.named_parameters()] == ["scale"]


def test_a_step_of_training_moves_every_parameter_and_none_of_the_chains() -> None:
    """Oracle: a dead one would have no gradient, or zero everywhere; a copy made before."""
    for name in ("lenet5", "student"):
        chain = chain_of(name)
        before = copy.deepcopy(chain)
        learned = learn_layers(chain, X, edge_bits(chain, Bits(3, 3))).train()
        learned(X).square().mean().backward()
        for key, parameter in learned.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.any() or key.endswith("zero_point"), key
        torch.optim.SGD(learned.parameters(), lr=0.1).step()
        assert same_state(chain, before)
        assert not chain.training


def test_steps_at_and_below_zero_are_lifted_and_counted() -> None:
    """Oracle: by hand; a thousandth of the first step."""
    learned = learned_chain()
    quantizers = list(learned_quantizers(learned))
    assert len(quantizers) == 6
    first = quantizers[0].scale.min().item()
    assert keep_scales_positive(learned) == 0
    with torch.no_grad():
        quantizers[0].scale[:3] = torch.tensor([-1.0, 0.0, first / 2000]).view(3, 1)
    assert keep_scales_positive(learned) == 3
    assert quantizers[0].scale.min().item() == pytest.approx(first / 1000)
    assert keep_scales_positive(learned) == 0


def test_frozen_computes_the_same() -> None:
    """Oracle: the learned quantizer itself, bit for bit, with a fractional zero point."""
    quantizer = LearnedQuantizer(TWO_BITS, n=3, learn_zero_point=True)
    x = torch.linspace(-3, 3, 101)
    for z in (-0.7, 0.5, 1.5, 2.4, 9.0):
        with torch.no_grad():
            quantizer.zero_point.fill_(z)
        assert torch.equal(quantizer(x), quantizer.frozen().round_trip(x))
        assert quantizer.frozen().zero_point.item() == min(max(round(z), 0), 3)


CHAIN = chain_of()
OTHER = {**edge_bits(CHAIN, Bits(4, 4)), "fc9": Bits(2, 2)}
NAMES = r"bits must name the layers \['fc1', 'fc2', 'fc3'\], got .*fc9"

test_chains_that_cannot_be_learned_or_deployed_are_refused = refused(
    (ValueError, NAMES, lambda: learn_layers(CHAIN, X, OTHER)),
    (ValueError, "chain must have a learned layer", lambda: deploy(CHAIN)),
    (ValueError, "chain must be in evaluation mode", lambda: deploy(learned_chain().train())),
)
