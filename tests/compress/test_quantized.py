"""Networks of quantized layers against torch's functions on restored values, written by hand."""

import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
from chains import FLAT_MODELS, NARROW, drawn, images, inputs_of, left_alone, refused, weights_of
from draws import normal
from torch import Tensor, nn
from torch.func import functional_call

from reference_impl import compress
from reference_impl.compress import QuantizedLayer, layer_inputs, quantize_layers, weight_layers
from reference_impl.measuring import model_cost
from reference_impl.models import MODELS
from reference_impl.quantization import AffineQuantizer, IntegerGrid

X = images(3)


def small() -> nn.Sequential:
    """Return a chain with both kinds of layers, batch norm and a ReLU in two places."""
    torch.manual_seed(0)
    relu = nn.ReLU()
    parts = OrderedDict(conv=nn.Conv2d(1, 4, 3, padding=1, stride=2), norm=nn.BatchNorm2d(4))
    parts |= OrderedDict(relu1=relu, flatten=nn.Flatten(), first=nn.Linear(784, 5))
    return nn.Sequential(parts | OrderedDict(relu2=relu, second=nn.Linear(5, 3)))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 4), (5, 6)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=2), (2, 4, 9, 9)),
    ],
)
def test_a_layer_computes_with_restored_values(layer, shape):
    """Oracle: the layer on torch's fake-quantize of weight and input; its own copy of the layer."""
    chain, x = nn.Sequential(layer), normal(*shape)
    weight, inputs = weights_of(chain)["0"], inputs_of(chain, x)["0"]
    scale, zero = weight.scale.flatten(), weight.zero_point.flatten()
    w_hat = torch.fake_quantize_per_channel_affine(layer.weight, scale, zero, 0, -3, 3)
    scale, zero = inputs.scale.item(), inputs.zero_point.item()
    x_hat = torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)
    learned = (compress.LearnedQuantizer(one, n=18) for one in (weight, inputs))
    with left_alone(chain):
        quantized = QuantizedLayer(layer, weight, inputs)
        made = {"both": quantized, "learned": compress.LearnedLayer(layer, *learned)}
        made |= {"weight": QuantizedLayer(layer, weight, None)}
        for name, one in made.items():
            seen = x if name == "weight" else x_hat
            expected = functional_call(layer, {"weight": w_hat, "bias": layer.bias}, seen)
            assert torch.equal(one(x), expected), name
    assert quantized.layer.weight.data_ptr() != layer.weight.data_ptr()


@pytest.mark.parametrize("name", FLAT_MODELS)
def test_every_network_with_fine_grids_is_almost_itself(name):
    """Oracle: the network, whose logits 16-bit codes change by less than a thousandth."""
    torch.manual_seed(0)
    network = MODELS[name]().eval()
    chain = network
    layers = [module for module in chain if isinstance(module, nn.Linear | nn.Conv2d)]
    assert list(weight_layers(chain).values()) == layers
    weights = weights_of(chain, IntegerGrid(16, signed=True))
    found = quantize_layers(chain, weights, inputs_of(chain, X, IntegerGrid(16)))(X)
    logits = network(X)
    assert 0 < (found - logits).abs().max() < 1e-3 * logits.abs().max()


def test_observing_gives_the_inputs_of_evaluation_mode_and_leaves_the_chain_alone():
    """Oracle: torch's forward hooks; modes, statistics and gradients, between two layers too."""
    chain, observed = small().eval(), small()
    observed.norm.eval()
    seen: list[tuple[str, Tensor]] = []
    for name, layer in weight_layers(chain).items():
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.append((name, args[0])))
    chain(X)
    with left_alone(observed):
        for found, expected in zip(layer_inputs(observed, X), seen, strict=True):
            assert found[0] == expected[0]
            assert torch.equal(found[1], expected[1])
            assert not found[1].requires_grad
            assert torch.is_grad_enabled()
            assert (observed.training, observed.norm.training) == (True, False)
    assert [name for name, _ in seen] == ["conv", "first", "second"]


def test_layers_without_a_quantizer_stay_as_they_are():
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


def test_inputs_of_a_quantized_chain_are_seen_before_their_rounding():
    """Oracle: the outputs of the layers before, run by hand."""
    chain = small().eval()
    found = quantize_layers(chain, weights_of(chain), inputs_of(chain, X))
    seen = dict(layer_inputs(found, X))
    assert list(seen) == ["conv", "first", "second"]
    assert torch.equal(seen["conv"], X)
    assert torch.equal(seen["first"], found[:4](X))
    assert not torch.equal(seen["first"], found.first.input_quantizer.round_trip(seen["first"]))


@pytest.mark.parametrize("strict", [False, True])
def test_a_quantized_network_can_be_exported(strict):
    """Oracle: the logits of the module itself, bit for bit; values are not looked at on the way."""
    chain = drawn("lenet5").eval()
    quantized = quantize_layers(chain, weights_of(chain), inputs_of(chain, X))
    exported = torch.export.export(quantized, (X,), strict=strict).module()
    assert torch.equal(exported(X), quantized(X))


def tiny(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)).eval()


PIXELS = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def copied(network: nn.Module) -> list[nn.Module]:
    """Return what deepcopy, pickle and torch.save bring back."""
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    return [copy.deepcopy(network), pickle.loads(pickle.dumps(network)), loaded]


def test_a_state_holds_the_quantizers():
    """Oracle: the answers of the network whose state it is, simulated and in integers."""
    first = compress.PostTraining(bits=8)(tiny(0), PIXELS)
    second = compress.PostTraining(bits=8)(tiny(1), PIXELS / 10)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    ours, theirs = compress.integer_network(first), compress.integer_network(second)
    codes = ours.quantize(PIXELS)
    assert torch.equal(theirs.logits(theirs.quantize(PIXELS)), ours.logits(codes))
    for other in (second, *copied(first)):
        assert torch.equal(other(PIXELS), first(PIXELS))


def test_a_state_of_another_grid_is_refused():
    """Oracle: the grids, of rounded and of learned layers."""
    eight, four = (compress.PostTraining(bits=bits)(tiny(0), PIXELS) for bits in (8, 4))
    with pytest.raises(ValueError, match=r"bits=4, .* got IntegerGrid\(bits=8"):
        four.load_state_dict(eight.state_dict())
    learned = [
        compress.learn_layers(tiny(0), PIXELS, dict.fromkeys("13", compress.LayerBits(bits, bits)))
        for bits in (8, 2)
    ]
    with pytest.raises(ValueError, match=r"bits=2, .* got IntegerGrid\(bits=8"):
        learned[1].load_state_dict(learned[0].state_dict())


def test_quantizers_move_with_the_network_and_keep_their_precision():
    """Oracle: the device and the type of the network's own weights; float32 for the steps."""
    network = compress.PostTraining(bits=8)(tiny(0), PIXELS)
    assert network.to("meta")[1].of_input.scale.device.type == "meta"
    wide = compress.PostTraining(bits=8)(tiny(0), PIXELS).double()
    assert wide[1].layer.weight.dtype == torch.float64
    assert wide[1].input_quantizer.scale.dtype == torch.float32


def test_the_cost_of_a_quantized_network_is_that_of_its_layers():
    """Oracle: 16 · 12 + 12 · 4 products, by hand."""
    bits = dict.fromkeys("13", compress.LayerBits(4, 4))
    for network in (
        compress.PostTraining(bits=8)(tiny(0), PIXELS),
        compress.learn_layers(tiny(0), PIXELS, bits),
    ):
        assert model_cost(network, (1, 4, 4)).macs == 240


ROWS = AffineQuantizer(torch.ones(4, 1), torch.zeros(4, 1, dtype=torch.int32), NARROW)
CHAIN = nn.Sequential(OrderedDict(fc=nn.Linear(6, 4)))
ONES = torch.ones(2, 6)


def rows(*weights: str, inputs: tuple[str, ...] = ()) -> None:
    quantize_layers(CHAIN, dict.fromkeys(weights, ROWS), dict.fromkeys(inputs, ROWS))


def holding(block: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(block=block, fc=nn.Linear(6, 4))).eval()


def test_modules_without_weight_layers_may_hold_others():
    """Oracle: the names; a block of a norm and a ReLU has nothing to quantize."""
    chain = holding(nn.Sequential(nn.BatchNorm1d(6), nn.ReLU()))
    assert list(weight_layers(chain)) == ["fc"]
    found = quantize_layers(chain, {"fc": ROWS})
    assert [name for name, _ in layer_inputs(found, ONES)] == ["fc"]


DONE = nn.Sequential(QuantizedLayer(nn.Linear(3, 4), ROWS, None))
EMPTY, TWO = nn.Sequential(nn.ReLU()), r"the layers of weights, \['fc'\], got \['fc', 'fc2'\]"

test_names_and_shapes_that_do_not_fit_are_refused = refused(
    (ValueError, r"broadcasts, got \(6, 4\)", lambda: QuantizedLayer(nn.Linear(4, 6), ROWS, None)),
    (ValueError, "convolutional layer, got none", lambda: weight_layers(EMPTY)),
    (ValueError, "must have an unquantized linear", lambda: weight_layers(DONE)),
    (ValueError, "quantized or not, got none", lambda: next(layer_inputs(EMPTY, ONES))),
    (ValueError, r"weights must name .*\['fc'\], got \['fc2'\]", lambda: rows("fc2")),
    (ValueError, TWO, lambda: rows("fc", inputs=("fc", "fc2"))),
    (ValueError, r"the layers of weights, \['fc'\], got \[\]", lambda: rows("fc")),
)
