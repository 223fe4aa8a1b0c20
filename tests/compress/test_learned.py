"""Layers with learned quantizers: their bits, their start, and what training may change."""

import copy

import pytest
import torch
from chains import apart, twice_used_chain
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
from reference_impl.models import ConvStudent, LeNet5, LeNet300
from reference_impl.quantization import AffineQuantizer, IntegerGrid, initial_scale

IMAGES = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))
START = AffineQuantizer(torch.tensor([[0.5]]), torch.tensor([[0]]), IntegerGrid(3, signed=True))


def chain_of(kind: type = LeNet300, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    chain: nn.Sequential = kind().chain().eval()
    return chain


def learned_chain(kind: type = LeNet300, bits: int = 4) -> nn.Sequential:
    chain = chain_of(kind)
    return learn_layers(chain, IMAGES, edge_bits(chain, Bits(bits, bits)))


@pytest.mark.parametrize("kind", [LeNet300, LeNet5, ConvStudent])
def test_eight_bits_everywhere_change_little(kind: type) -> None:
    """Oracle: the chain in full precision, after steps of the range's maximum."""
    chain = chain_of(kind)
    learned = learned_chain(kind, bits=8)
    for layer in learned:
        if isinstance(layer, LearnedLayer):
            top = layer.layer.weight.detach().flatten(1).abs().amax(1)
            scale = layer.weight_quantizer.scale
            scale.data = (top / layer.weight_quantizer.grid.q_max).view_as(scale)
    with torch.no_grad():
        expected, found = chain(IMAGES), learned(IMAGES)
    assert (found - expected).abs().max() < 0.05 * expected.std() + 0.01


def test_a_layer_in_two_places_becomes_two() -> None:
    """Oracle: the same function with a module of its own in each place."""
    chain, x = twice_used_chain(), torch.rand(3, 1, 8, 8)
    learned, lone = (learn_layers(c, x, edge_bits(c, Bits(4, 4))) for c in (chain, apart(chain)))
    assert len(learned_layers(learned)) == 4
    with torch.no_grad():
        assert torch.equal(learned(x), lone(x))


def test_a_layer_computes_on_restored_values() -> None:
    """Oracle: AffineQuantizer and F.conv2d, put together by hand."""
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    grid = IntegerGrid(3, signed=True, narrow=True)
    scale = torch.full((3, 1, 1, 1), 0.07)
    weight = AffineQuantizer(scale, torch.zeros(3, 1, 1, 1, dtype=torch.int32), grid)
    inputs = AffineQuantizer(torch.tensor(0.3), torch.tensor(1), IntegerGrid(2))
    learned = LearnedLayer(layer, LearnedQuantizer(weight, 18), LearnedQuantizer(inputs, 50))
    x = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv2d(
        inputs.round_trip(x), weight.round_trip(layer.weight.detach()), layer.bias, 2, 1
    )
    torch.testing.assert_close(learned(x), expected, rtol=0, atol=0)


def test_first_and_last_layer_get_eight_bits() -> None:
    """Oracle: the grids by hand."""
    learned = learned_chain(bits=2)
    grids = [
        (layer.weight_quantizer.grid, layer.input_quantizer.grid)
        for layer in learned
        if isinstance(layer, LearnedLayer)
    ]
    outer = (IntegerGrid(8, signed=True, narrow=True), IntegerGrid(8))
    inner = (IntegerGrid(2, signed=True, narrow=True), IntegerGrid(2))
    assert grids == [outer, inner, outer]


def test_a_chain_of_one_layer_is_an_edge() -> None:
    """Oracle: by hand."""
    chain = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert edge_bits(chain, Bits(2, 3), edges=5) == {"1": Bits(5, 5)}


def test_steps_start_where_lsq_starts() -> None:
    """Oracle: the formula on the weight and on the layer's input, taken by hand."""
    chain = chain_of()
    learned = learned_chain()
    layer = learned.get_submodule("fc2")
    assert isinstance(layer, LearnedLayer)
    weight = layer.layer.weight.detach()
    expected = 2 * weight.abs().mean(1, keepdim=True) / 7**0.5
    torch.testing.assert_close(layer.weight_quantizer.scale.detach(), expected)
    with torch.no_grad():
        x = chain[:3](IMAGES)
    assert layer.input_quantizer.scale.item() == pytest.approx(
        2 * x.mean().item() / 15**0.5, rel=1e-6
    )


def test_gradient_factors_count_weights_of_a_channel_and_features_of_an_example() -> None:
    """Oracle: 1/√(N q_max) by hand: 300 weights a row and 300 features."""
    layer = learned_chain(bits=4).get_submodule("fc2")
    assert isinstance(layer, LearnedLayer)
    assert layer.weight_quantizer.factor == pytest.approx((300 * 7) ** -0.5)
    assert layer.input_quantizer.factor == pytest.approx((300 * 15) ** -0.5)


def test_zero_points_are_learned_where_inputs_go_below_zero_only() -> None:
    """Oracle: LeNet-5's second convolution reads no ReLU, LeNet-300-100's layers all do."""
    for kind, expected in (
        (LeNet300, [False] * 3),
        (LeNet5, [False, True, True, False]),
        (ConvStudent, [False] * 4),
    ):
        layers = [layer for layer in learned_chain(kind) if isinstance(layer, LearnedLayer)]
        found = [isinstance(layer.input_quantizer.zero_point, nn.Parameter) for layer in layers]
        assert found == expected
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
    quantizer = LearnedQuantizer(
        AffineQuantizer(torch.tensor(0.5), torch.tensor(0), IntegerGrid(3, signed=True)), n=20
    )
    quantizer(x).sum().backward()
    s = torch.tensor([0.5], requires_grad=True)
    torch._fake_quantize_learnable_per_tensor_affine(
        x, s, torch.zeros(1), -4, 3, (20 * 3) ** -0.5
    ).sum().backward()
    torch.testing.assert_close(quantizer.scale.grad, s.grad[0], rtol=1e-5, atol=1e-5)


def test_a_learned_zero_point_gets_a_gradient_and_a_fixed_one_none() -> None:
    """Oracle: −s for each clipped value, times the factor, by hand."""
    start = AffineQuantizer(torch.tensor(0.5), torch.tensor(1), IntegerGrid(2))
    x = torch.tensor([-9.0, 0.1, 9.0, 9.0])
    free = LearnedQuantizer(start, n=3, learn_zero_point=True)
    free(x).sum().backward()
    assert free.zero_point.grad.item() == pytest.approx(-1.5 * (3 * 3) ** -0.5)
    fixed = LearnedQuantizer(start, n=3)
    fixed(x).sum().backward()
    assert fixed.zero_point.grad is None
    assert [name for name, _ in fixed.named_parameters()] == ["scale"]


def test_the_chain_is_left_as_it_is() -> None:
    """Oracle: a copy made before; a step of training on the learned chain must not reach it."""
    chain = chain_of(ConvStudent)
    before = copy.deepcopy(chain.state_dict())
    learned = learn_layers(chain, IMAGES, edge_bits(chain, Bits(2, 2))).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.1)
    learned(IMAGES).square().mean().backward()
    optimizer.step()
    after = chain.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not chain.training


def test_every_parameter_gets_a_gradient() -> None:
    """Oracle: a dead one would have none, or zero everywhere."""
    learned = learned_chain(LeNet5, bits=3).train()
    learned(IMAGES).square().mean().backward()
    for name, parameter in learned.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() or name.endswith("zero_point"), name


def test_learned_layers_come_by_name_in_order() -> None:
    """Oracle: by hand; a chain may have none, such as the control of a training."""
    learned = learned_chain()
    assert list(learned_layers(learned)) == ["fc1", "fc2", "fc3"]
    assert learned_layers(chain_of()) == {}
    pairs = [(q.grid.signed, q.grid.bits) for q in learned_quantizers(learned)]
    assert pairs == [(True, 8), (False, 8), (True, 4), (False, 4), (True, 8), (False, 8)]


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
    start = AffineQuantizer(torch.tensor(0.5), torch.tensor(1), IntegerGrid(2))
    quantizer = LearnedQuantizer(start, n=3, learn_zero_point=True)
    x = torch.linspace(-3, 3, 101)
    for z in (-0.7, 0.5, 1.5, 2.4, 9.0):
        with torch.no_grad():
            quantizer.zero_point.fill_(z)
        assert torch.equal(quantizer(x), quantizer.frozen().round_trip(x))
        assert quantizer.frozen().zero_point.item() == min(max(round(z), 0), 3)


CHAIN = chain_of()
ALL = edge_bits(CHAIN, Bits(4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Bits(1, 4), ValueError, r"weight must be in \[2, 8\], got 1"),
        (lambda: Bits(4.0, 4), TypeError, "weight must be an integer, got 4.0"),
        (lambda: LearnedQuantizer(START, 0), ValueError, "n must be at least 1"),
        (
            lambda: LearnedLayer(nn.Linear(2, 2), START, LearnedQuantizer(START, 1)),
            TypeError,
            "weight must be LearnedQuantizer",
        ),
        (
            lambda: learn_layers(CHAIN, IMAGES, {**ALL, "fc9": Bits(2, 2)}),
            ValueError,
            r"bits must name the layers \['fc1', 'fc2', 'fc3'\], got .*fc9",
        ),
        (
            lambda: learn_layers(CHAIN, IMAGES, {**ALL, "fc2": 4}),
            TypeError,
            r"bits\['fc2'\] must be Bits, got int 4",
        ),
        (lambda: edge_bits(CHAIN, Bits(4, 4), edges=1), ValueError, r"edges must be in \[2, 8\]"),
        (lambda: learned_layers(LeNet300()), TypeError, "chain must be Sequential, got LeNet300"),
        (lambda: input_start(IMAGES, 2), TypeError, "grid must be IntegerGrid, got int 2"),
        (lambda: deploy(LeNet300().chain()), ValueError, "chain must have a learned layer"),
        (lambda: deploy(learned_chain().train()), ValueError, "chain must be in evaluation mode"),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the list of bad input; argument, value and expectation are named."""
    with pytest.raises(error, match=message):
        call()


def test_modes_are_kept() -> None:
    """Oracle: the modes of the chain, one BatchNorm of which is frozen while the rest trains."""
    chain = ConvStudent().chain().train()
    chain.norm1.eval()
    learned = learn_layers(chain, IMAGES, edge_bits(chain, Bits(4, 4)))
    modes = {name: module.training for name, module in learned.named_children()}
    assert modes == dict.fromkeys(modes, True) | {"norm1": False}
