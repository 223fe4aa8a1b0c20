"""Networks of quantized layers against torch's functions on restored values, written by hand."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from chains import FLAT_MODELS, NARROW, drawn, images, inputs_of, refused, weights_of
from torch import Tensor, nn

from reference_impl.compress import QuantizedLayer, layer_inputs, quantize_layers, weight_layers
from reference_impl.models import MODELS
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    min_max_range,
    symmetric_from_range,
)

X = images(3)


def small() -> nn.Sequential:
    """Return a chain with both kinds of layers, batch norm and a ReLU in two places."""
    torch.manual_seed(0)
    relu = nn.ReLU()
    parts = OrderedDict(conv=nn.Conv2d(1, 4, 3, padding=1, stride=2), norm=nn.BatchNorm2d(4))
    parts |= OrderedDict(relu1=relu, flatten=nn.Flatten(), first=nn.Linear(784, 5))
    return nn.Sequential(parts | OrderedDict(relu2=relu, second=nn.Linear(5, 3)))


def test_a_linear_layer_computes_with_restored_values() -> None:
    """Oracle: F.linear of torch's fake-quantize of weight and input; its own copy of the layer."""
    layer = nn.Linear(6, 4)
    before = layer.weight.detach().clone()
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    weight = symmetric_from_range(*min_max_range(layer.weight, axes=0), NARROW)
    inputs = affine_from_range(*min_max_range(x), IntegerGrid(8))
    w_hat = torch.fake_quantize_per_channel_affine(
        layer.weight, weight.scale.flatten(), weight.zero_point.flatten(), 0, -3, 3
    )
    zero = inputs.zero_point.item()
    x_hat = torch.fake_quantize_per_tensor_affine(x, inputs.scale.item(), zero, 0, 255)
    quantized = QuantizedLayer(layer, weight, inputs)
    assert torch.equal(quantized(x), F.linear(x_hat, w_hat, layer.bias))
    assert torch.equal(QuantizedLayer(layer, weight, None)(x), F.linear(x, w_hat, layer.bias))
    assert torch.equal(layer.weight, before)
    assert quantized.layer.weight.data_ptr() != layer.weight.data_ptr()


def test_a_convolution_keeps_its_stride_padding_and_groups() -> None:
    """Oracle: F.conv2d with the same arguments, on restored values."""
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=2)
    x = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(1))
    weight = symmetric_from_range(*min_max_range(layer.weight, axes=0), NARROW)
    inputs = affine_from_range(*min_max_range(x), IntegerGrid(8))
    expected = F.conv2d(
        inputs.round_trip(x), weight.round_trip(layer.weight), layer.bias, 2, 1, 2, 2
    )
    assert torch.equal(QuantizedLayer(layer, weight, inputs)(x), expected)


@pytest.mark.parametrize("name", FLAT_MODELS)
def test_every_network_with_fine_grids_is_almost_itself(name: str) -> None:
    """Oracle: the network, whose logits 16-bit codes change by less than a thousandth."""
    torch.manual_seed(0)
    network = MODELS[name]().eval()
    chain = network.chain()
    layers = [module for module in chain if isinstance(module, nn.Linear | nn.Conv2d)]
    assert list(weight_layers(chain).values()) == layers
    weights = weights_of(chain, IntegerGrid(16, signed=True))
    found = quantize_layers(chain, weights, inputs_of(chain, X, IntegerGrid(16)))(X)
    logits = network(X)
    assert 0 < (found - logits).abs().max() < 1e-3 * logits.abs().max()


def test_the_inputs_are_those_of_the_layers_in_evaluation_mode() -> None:
    """Oracle: torch's forward hooks; in training mode the batch would decide."""
    chain = small().eval()
    seen: dict[str, Tensor] = {}
    for name, layer in weight_layers(chain).items():
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    chain(X)
    yielded = dict(layer_inputs(small().train(), X))
    assert list(yielded) == ["conv", "first", "second"]
    for name, x in yielded.items():
        assert torch.equal(x, seen[name])
        assert not x.requires_grad


def test_observing_leaves_the_chain_and_the_callers_gradients_alone() -> None:
    """Oracle: mode, running statistics and gradient mode, looked at between two layers."""
    chain = small()
    chain.norm.eval()
    modes = [module.training for module in chain.modules()]
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    for _ in layer_inputs(chain, X):
        assert torch.is_grad_enabled()
        assert [module.training for module in chain.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in chain.state_dict().items())


def test_a_module_in_two_places_stays_in_both() -> None:
    """Oracle: the layers in order, written out; a ReLU that is dropped changes the result."""
    chain = small().eval()
    found = quantize_layers(chain, weights_of(chain))
    names = ["conv", "norm", "relu1", "flatten", "first", "relu2", "second"]
    every = [name for name, _ in found.named_modules(remove_duplicate=False)]
    assert [name for name in every if name and "." not in name] == names
    layers = weight_layers(chain)
    quantized = {n: one.round_trip(layers[n].weight) for n, one in weights_of(chain).items()}
    x = F.conv2d(X, quantized["conv"], chain.conv.bias, 2, 1)
    x = F.relu(chain.norm(x)).flatten(1)
    x = F.relu(F.linear(x, quantized["first"], chain.first.bias))
    assert torch.equal(found(X), F.linear(x, quantized["second"], chain.second.bias))


def test_layers_without_a_quantizer_stay_as_they_are() -> None:
    """Oracle: the chain with one weight replaced by hand."""
    chain = small().eval()
    found = quantize_layers(
        chain, {"first": weights_of(chain)["first"]}, {"first": inputs_of(chain, X)["first"]}
    )
    quantized = [name for name, m in found.named_children() if isinstance(m, QuantizedLayer)]
    assert quantized == ["first"]
    assert torch.equal(found.conv.weight, chain.conv.weight)
    assert torch.equal(found.second.weight, chain.second.weight)
    assert torch.equal(found.first.layer.bias, chain.first.bias)


def test_inputs_of_a_quantized_chain_are_seen_before_their_rounding() -> None:
    """Oracle: the outputs of the layers before, run by hand."""
    chain = small().eval()
    found = quantize_layers(chain, weights_of(chain), inputs_of(chain, X))
    seen = dict(layer_inputs(found, X))
    assert list(seen) == ["conv", "first", "second"]
    assert torch.equal(seen["conv"], X)
    assert torch.equal(seen["first"], found[:4](X))
    assert not torch.equal(seen["first"], found.first.input_quantizer.round_trip(seen["first"]))


@pytest.mark.parametrize("strict", [False, True])
def test_a_quantized_network_can_be_exported(strict: bool) -> None:
    """Oracle: the logits of the module itself, bit for bit; values are not looked at on the way."""
    chain = drawn("lenet5").chain().eval()
    quantized = quantize_layers(chain, weights_of(chain), inputs_of(chain, X))
    exported = torch.export.export(quantized, (X,), strict=strict).module()
    assert torch.equal(exported(X), quantized(X))


ROWS = AffineQuantizer(torch.ones(4, 1), torch.zeros(4, 1, dtype=torch.int32), NARROW)
CHAIN = nn.Sequential(OrderedDict(fc=nn.Linear(6, 4)))
ONES = torch.ones(2, 6)


def rows(*weights: str, inputs: tuple[str, ...] = ()) -> None:
    quantize_layers(CHAIN, dict.fromkeys(weights, ROWS), dict.fromkeys(inputs, ROWS))


@pytest.mark.parametrize(
    ("block", "inner"),
    [
        (nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(1, 1, 1))), "block.1.0"),
        (nn.Sequential(QuantizedLayer(nn.Linear(6, 4), ROWS, None)), "block.0.layer"),
    ],
)
def test_a_weight_layer_inside_another_module_is_refused(block: nn.Module, inner: str) -> None:
    """Oracle: its name; left as it is, it would be a float layer in a quantized network."""
    chain = nn.Sequential(OrderedDict(block=block, fc=nn.Linear(6, 4)))
    message = rf"chain must have each Linear or Conv2d as a module of its own, got \['{inner}'\]"
    for call in (
        lambda: weight_layers(chain),
        lambda: next(layer_inputs(chain, ONES)),
        lambda: quantize_layers(chain, {"fc": ROWS}),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_modules_without_weight_layers_may_hold_others() -> None:
    """Oracle: the names; a block of a norm and a ReLU has nothing to quantize."""
    block = nn.Sequential(nn.BatchNorm1d(6), nn.ReLU())
    chain = nn.Sequential(OrderedDict(block=block, fc=nn.Linear(6, 4))).eval()
    assert list(weight_layers(chain)) == ["fc"]
    found = quantize_layers(chain, {"fc": ROWS})
    assert [name for name, _ in layer_inputs(found, ONES)] == ["fc"]


EMPTY, TWO = nn.Sequential(nn.ReLU()), r"the layers of weights, \['fc'\], got \['fc', 'fc2'\]"

test_names_and_shapes_that_do_not_fit_are_refused = refused(
    (ValueError, r"broadcasts, got \(6, 4\)", lambda: QuantizedLayer(nn.Linear(4, 6), ROWS, None)),
    (ValueError, "convolutional layer, got none", lambda: weight_layers(EMPTY)),
    (ValueError, "quantized or not, got none", lambda: next(layer_inputs(EMPTY, ONES))),
    (ValueError, r"weights must name .*\['fc'\], got \['fc2'\]", lambda: rows("fc2")),
    (ValueError, TWO, lambda: rows("fc", inputs=("fc", "fc2"))),
    (ValueError, r"the layers of weights, \['fc'\], got \[\]", lambda: rows("fc")),
)
