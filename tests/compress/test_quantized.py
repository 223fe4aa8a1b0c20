"""Networks of quantized layers against torch's functions on restored values, written by hand."""

import math
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from chains import FLAT_MODELS
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

CODES = IntegerGrid(8)
NARROW = IntegerGrid(4, signed=True, narrow=True)

LAYER = nn.Linear(6, 4)
ROWS = AffineQuantizer(torch.ones(4, 1), torch.zeros(4, 1, dtype=torch.int32), NARROW)
CHAIN = nn.Sequential(OrderedDict(fc=LAYER))
X = torch.ones(2, 6)


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def weights_of(chain: nn.Sequential) -> dict[str, AffineQuantizer]:
    """Return a quantizer per output channel for each weight."""
    return {
        name: symmetric_from_range(*min_max_range(layer.weight, axes=0), NARROW)
        for name, layer in weight_layers(chain).items()
    }


def inputs_of(chain: nn.Sequential, x: Tensor) -> dict[str, AffineQuantizer]:
    """Return a quantizer per tensor for the input of each weight layer."""
    return {
        name: affine_from_range(*min_max_range(seen), CODES)
        for name, seen in layer_inputs(chain, x)
    }


def small() -> nn.Sequential:
    """Return a chain with both kinds of layers, batch norm and a ReLU in two places."""
    torch.manual_seed(0)
    relu = nn.ReLU()
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 4, 3, padding=1, stride=2),
            norm=nn.BatchNorm2d(4),
            relu1=relu,
            flatten=nn.Flatten(),
            first=nn.Linear(784, 5),
            relu2=relu,
            second=nn.Linear(5, 3),
        )
    )


def test_a_linear_layer_computes_with_restored_values() -> None:
    """Oracle: F.linear of torch's fake-quantize of weight and input."""
    layer = nn.Linear(6, 4)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    weight = symmetric_from_range(*min_max_range(layer.weight, axes=0), NARROW)
    inputs = affine_from_range(*min_max_range(x), CODES)
    w_hat = torch.fake_quantize_per_channel_affine(
        layer.weight, weight.scale.flatten(), weight.zero_point.flatten(), 0, -7, 7
    )
    x_hat = torch.fake_quantize_per_tensor_affine(
        x, inputs.scale.item(), inputs.zero_point.item(), 0, 255
    )
    assert torch.equal(QuantizedLayer(layer, weight, inputs)(x), F.linear(x_hat, w_hat, layer.bias))
    assert torch.equal(QuantizedLayer(layer, weight, None)(x), F.linear(x, w_hat, layer.bias))


def test_a_convolution_keeps_its_stride_padding_and_groups() -> None:
    """Oracle: F.conv2d with the same arguments, on restored values."""
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=2)
    x = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(1))
    weight = symmetric_from_range(*min_max_range(layer.weight, axes=0), NARROW)
    inputs = affine_from_range(*min_max_range(x), CODES)
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
    fine = IntegerGrid(16, signed=True)
    weights = {
        layer: symmetric_from_range(*min_max_range(module.weight, axes=0), fine)
        for layer, module in weight_layers(chain).items()
    }
    inputs = {
        layer: affine_from_range(*min_max_range(seen), IntegerGrid(16))
        for layer, seen in layer_inputs(chain, images())
    }
    logits = network(images())
    found = quantize_layers(chain, weights, inputs)(images())
    assert 0 < (found - logits).abs().max() < 1e-3 * logits.abs().max()


def test_the_inputs_are_those_of_the_layers() -> None:
    """Oracle: torch's forward hooks, on the chain in evaluation mode."""
    chain = small().eval()
    seen: dict[str, Tensor] = {}
    for name, layer in weight_layers(chain).items():
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    chain(images())
    yielded = dict(layer_inputs(chain, images()))
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
    for _ in layer_inputs(chain, images()):
        assert torch.is_grad_enabled()
        assert [module.training for module in chain.modules()] == modes
    assert [module.training for module in chain.modules()] == modes
    for name, value in chain.state_dict().items():
        assert torch.equal(value, before[name])


def test_quantizing_leaves_the_chain_as_it_is_and_shares_nothing() -> None:
    """Oracle: the chain's state before, and addresses of the tensors."""
    chain = small()
    chain.norm.eval()
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    found = quantize_layers(chain, weights_of(chain), inputs_of(chain, images()))
    for name, value in chain.state_dict().items():
        assert torch.equal(value, before[name])
    ours = {parameter.data_ptr() for parameter in chain.parameters()}
    assert ours.isdisjoint({parameter.data_ptr() for parameter in found.parameters()})
    assert found.training
    assert found.conv.training
    assert not found.norm.training


@pytest.mark.parametrize("training", [True, False])
def test_each_part_keeps_its_mode(training: bool) -> None:
    """Oracle: the modes of the chain, where one quantized layer differs from the rest."""
    chain = small().train(training)
    chain.conv.train(not training)
    found = quantize_layers(chain, weights_of(chain))
    modes = {name: module.training for name, module in found.named_children()}
    assert found.training is training
    assert modes == dict.fromkeys(modes, training) | {"conv": not training}


def test_a_quantized_layer_is_a_copy() -> None:
    """Oracle: the layer's weight before, and its address."""
    layer = nn.Linear(6, 4)
    before = layer.weight.detach().clone()
    quantizer = symmetric_from_range(*min_max_range(layer.weight, axes=0), NARROW)
    found = QuantizedLayer(layer, quantizer, None)
    assert torch.equal(layer.weight, before)
    assert found.layer.weight.data_ptr() != layer.weight.data_ptr()


def test_observing_takes_batch_norms_kept_statistics() -> None:
    """Oracle: the chain in evaluation mode; in training mode the batch decides."""
    chain = small()
    found = dict(layer_inputs(chain, images()))["first"]
    assert torch.equal(found, chain.eval()[:4](images()))


def test_observing_leaves_the_images_alone() -> None:
    """Oracle: copies made before; a ReLU in place, and what the caller does with an input."""
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    before = x.detach().clone()
    chain = nn.Sequential(OrderedDict(relu=nn.ReLU(inplace=True), fc=nn.Linear(6, 4)))
    ((_, seen),) = layer_inputs(chain, x)
    assert torch.equal(x, before)
    assert torch.equal(seen, before.clamp(min=0))
    assert not seen.requires_grad


class Residual(nn.Module):
    """A module of one's own with a layer inside: y = x + layer(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


@pytest.mark.parametrize(
    ("block", "inner"),
    [
        (nn.Sequential(nn.Linear(6, 6)), "block.0"),
        (nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(1, 1, 1))), "block.1.0"),
        (Residual(), "block.layer"),
        (nn.Sequential(QuantizedLayer(nn.Linear(6, 4), ROWS, None)), "block.0.layer"),
    ],
    ids=["chain", "two deep", "module", "quantized"],
)
def test_a_weight_layer_inside_another_module_is_refused(block: nn.Module, inner: str) -> None:
    """Oracle: its name; left as it is, it would be a float layer in a quantized network."""
    chain = nn.Sequential(OrderedDict(block=block, fc=nn.Linear(6, 4)))
    message = rf"chain must have each Linear or Conv2d as a module of its own, got \['{inner}'\]"
    for call in (
        lambda: weight_layers(chain),
        lambda: next(layer_inputs(chain, X)),
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
    assert [name for name, _ in layer_inputs(found, X)] == ["fc"]


def test_a_module_in_two_places_stays_in_both() -> None:
    """Oracle: the layers in order, written out; a ReLU that is dropped changes the result."""
    chain = small().eval()
    found = quantize_layers(chain, weights_of(chain))
    assert [name for name, _ in found.named_modules(remove_duplicate=False) if "." not in name] == [
        "", "conv", "norm", "relu1", "flatten", "first", "relu2", "second",
    ]  # fmt: skip
    quantized = {
        name: quantizer.round_trip(weight_layers(chain)[name].weight)
        for name, quantizer in weights_of(chain).items()
    }
    x = F.conv2d(images(), quantized["conv"], chain.conv.bias, 2, 1)
    x = F.relu(chain.norm(x)).flatten(1)
    x = F.relu(F.linear(x, quantized["first"], chain.first.bias))
    assert torch.equal(found(images()), F.linear(x, quantized["second"], chain.second.bias))


def test_layers_without_a_quantizer_stay_as_they_are() -> None:
    """Oracle: the chain with one weight replaced by hand."""
    chain = small().eval()
    one = {"first": weights_of(chain)["first"]}
    found = quantize_layers(chain, one, {"first": inputs_of(chain, images())["first"]})
    assert [name for name, m in found.named_children() if isinstance(m, QuantizedLayer)] == [
        "first"
    ]
    assert torch.equal(found.conv.weight, chain.conv.weight)
    assert torch.equal(found.second.weight, chain.second.weight)
    assert torch.equal(found.first.layer.bias, chain.first.bias)


def test_inputs_of_a_quantized_chain_are_seen_before_their_rounding() -> None:
    """Oracle: the outputs of the layers before, run by hand."""
    chain = small().eval()
    found = quantize_layers(chain, weights_of(chain), inputs_of(chain, images()))
    seen = dict(layer_inputs(found, images()))
    assert list(seen) == ["conv", "first", "second"]
    assert torch.equal(seen["conv"], images())
    assert torch.equal(seen["first"], found[:4](images()))
    assert not torch.equal(seen["first"], found.first.input_quantizer.round_trip(seen["first"]))


def test_each_weight_layer_is_found_in_order() -> None:
    """Oracle: the names, written out; and isinstance over each chain."""
    chain = MODELS["lenet5"]().chain()
    assert list(weight_layers(chain)) == ["conv1", "conv2", "fc1", "fc2"]
    for network in FLAT_MODELS.values():
        chain = network().chain()
        expected = [m for m in chain if isinstance(m, nn.Linear | nn.Conv2d)]
        assert list(weight_layers(chain).values()) == expected


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["lenet300", "lenet5"])
def test_a_quantized_network_can_be_exported(name: str, strict: bool) -> None:
    """Oracle: the logits of the module itself, bit for bit; values are not looked at on the way."""
    torch.manual_seed(0)
    chain = MODELS[name]().chain().eval()
    quantized = quantize_layers(chain, weights_of(chain), inputs_of(chain, images()))
    exported = torch.export.export(quantized, (images(),), strict=strict).module()
    assert torch.equal(exported(images()), quantized(images()))


BAD = {
    "no layer": (
        lambda: QuantizedLayer(nn.ReLU(), ROWS, None),
        TypeError,
        "layer must be .*Conv2d, got ReLU",
    ),
    "no input quantizer": (
        lambda: QuantizedLayer(LAYER, ROWS, 8),
        TypeError,
        "inputs must be AffineQuantizer, got int 8",
    ),
    "scales along the wrong axis": (
        lambda: QuantizedLayer(nn.Linear(4, 6), ROWS, None),
        ValueError,
        r"\(4, 1\) broadcasts, got \(6, 4\)",
    ),
    "no chain": (lambda: weight_layers(LAYER), TypeError, "chain must be Sequential, got Linear"),
    "chain without layers": (
        lambda: weight_layers(nn.Sequential(nn.ReLU())),
        ValueError,
        "chain must have a linear or convolutional layer, got none",
    ),
    "observing a chain without layers": (
        lambda: next(layer_inputs(nn.Sequential(nn.ReLU()), X)),
        ValueError,
        "chain must have a weight layer, quantized or not, got none",
    ),
    "observing nan": (
        lambda: layer_inputs(CHAIN, X * math.nan),
        ValueError,
        "images must be finite",
    ),
    "a number for a quantizer": (
        lambda: quantize_layers(CHAIN, {"fc": 4}),
        TypeError,
        r"weights\['fc'\] must be AffineQuantizer, got int 4",
    ),
    "layers of unlike names": (
        lambda: quantize_layers(CHAIN, {"fc2": ROWS, 7: ROWS}),
        TypeError,
        "a key of weights must be str, got int 7",
    ),
    "inputs of an unknown layer": (
        lambda: quantize_layers(CHAIN, {"fc": ROWS}, {"fc": ROWS, "fc2": ROWS}),
        ValueError,
        r"inputs must name the layers of weights, \['fc'\], got \['fc', 'fc2'\]",
    ),
    "range never observed": (
        lambda: quantize_layers(CHAIN, {"fc": ROWS}, {}),
        ValueError,
        r"inputs must name the layers of weights, \['fc'\], got \[\]",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
