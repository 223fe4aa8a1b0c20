"""AdaRound for chains: moments against the layers themselves, losses against the nearest."""

import itertools

import pytest
import torch
from chains import apart, conv_chain, images, twice_used_chain
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl.compress import (
    QuantizedLayer,
    adaround,
    input_quantizers,
    layer_loss,
    quantize_layers,
    weight_layers,
    weight_quantizers,
)
from reference_impl.compress.adaround import as_rows, patches
from reference_impl.quantization import (
    AdaRoundSettings,
    IntegerGrid,
    affine_from_range,
    min_max_range,
)

GRID = IntegerGrid(3, signed=True, narrow=True)
FEW = AdaRoundSettings(steps=60, learning_rate=0.1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
)
def test_patches_times_weights_are_the_convolution(
    groups: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    """Oracle: torch's convolution of any geometry."""
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups, bias=False)
    x = torch.randn(3, 4, 7, 6, generator=generator(0))
    weight = conv.weight.view(groups, 8 // groups, -1)
    torch.testing.assert_close(patches(conv, x) @ weight.mT, as_rows(conv, conv(x)))


def test_patches_of_a_linear_layer_are_its_inputs() -> None:
    """Oracle: torch's linear layer."""
    layer = nn.Linear(5, 3, bias=False)
    x = torch.randn(4, 5, generator=generator(0))
    torch.testing.assert_close(patches(layer, x) @ layer.weight.T, as_rows(layer, layer(x)))


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 6, 3, padding=1, groups=2)])
def test_layer_loss_is_the_mean_squared_error_of_the_layer(layer: nn.Module) -> None:
    """Oracle: another weight put into the layer, its outputs compared, their mean taken off."""
    shape = (30, 4) if isinstance(layer, nn.Linear) else (30, 4, 5, 5)
    x = torch.rand(shape, generator=generator(1))
    y = layer(x).detach()
    loss = layer_loss(layer, y, x, batch_size=7)
    other = layer.weight.detach() + 0.1 * torch.randn(layer.weight.shape, generator=generator(2))
    rows = other.view(loss.cross.shape)
    with torch.no_grad():
        layer.weight.copy_(other)
        layer.bias.copy_(loss.bias(rows).flatten())
        error = as_rows(layer, layer(x) - y).double()
    assert error.mean(1).abs().max() < 1e-5
    assert loss.total(rows) == pytest.approx(error.square().mean(1).sum().item(), rel=1e-3)


def test_first_layer_is_the_best_of_all_roundings() -> None:
    """Oracle: brute force over 2⁴ roundings of a linear layer, by running the chain itself."""
    torch.manual_seed(1)
    chain = nn.Sequential(nn.Linear(4, 1)).eval()
    x = torch.rand(60, 4, generator=generator(3)) + torch.rand(60, 1, generator=generator(4))
    weights = weight_quantizers(chain, GRID)
    ours = adaround(chain, weights, None, x)
    scale, w = weights["0"].scale, chain[0].weight.detach()
    y = chain(x).detach()
    errors = []
    for choice in itertools.product((0.0, 1.0), repeat=4):
        codes = (torch.floor(w * (1 / scale)) + torch.tensor([choice])).clamp(-3, 3)
        y_hat = x @ (scale * codes).T
        errors.append((y - y_hat).var(correction=0).item())
    found = (y - ours(x)).square().mean().item()
    assert found == pytest.approx(min(errors), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_first_layer_is_never_worse_than_the_nearest(seed: int) -> None:
    """Oracle: the mean squared error of the first layer's output, the bias corrected in both."""
    chain = conv_chain(seed, norms=False)
    x = images(16, seed)
    weights = weight_quantizers(chain, GRID)
    inputs = input_quantizers(chain, x, IntegerGrid(8))
    with torch.no_grad():
        y = chain[0](x)
        errors = []
        nearest = quantize_layers(chain, weights, inputs)
        for ours in (adaround(chain, weights, inputs, x, FEW), nearest):
            error = ours[0](x) - y
            errors.append((error - error.mean((0, 2, 3), keepdim=True)).square().mean())
    assert errors[0] <= errors[1] * (1 + 1e-4)


def test_every_layer_keeps_its_mean_and_its_grid() -> None:
    """Oracle: the means in the chain; the weights' own quantizers, for which Ŵ is a fixed point."""
    chain = conv_chain(5, norms=False)
    x = images(32)
    weights = weight_quantizers(chain, GRID)
    inputs = input_quantizers(chain, x, IntegerGrid(8))
    ours = adaround(chain, weights, inputs, x, FEW)
    moved = 0
    y = y_hat = x
    with torch.no_grad():
        for (name, module), full in zip(ours.named_children(), chain, strict=True):
            y, y_hat = full(y), module(y_hat)
            if isinstance(module, QuantizedLayer):
                axes = [axis for axis in range(y.ndim) if axis != 1]
                torch.testing.assert_close(y_hat.mean(axes), y.mean(axes), rtol=1e-3, atol=1e-4)
                assert torch.equal(
                    weights[name].round_trip(module.layer.weight), module.layer.weight
                )
                nearest = weights[name].round_trip(full.weight.detach())
                moved += int((nearest != module.layer.weight).sum())
    assert set(weights) == set(weight_layers(chain))
    assert moved > 0


def test_per_tensor_scales_and_unquantized_inputs_are_accepted() -> None:
    """Oracle: the grid of the one scale."""
    chain = conv_chain(6, norms=False)
    weights = weight_quantizers(chain, GRID, axes=(), from_range=affine_from_range)
    ours = adaround(chain, weights, None, images(8), FEW)
    weight = ours.grouped.layer.weight
    low, high = min_max_range(weight)
    assert torch.equal(weights["grouped"].round_trip(weight), weight)
    assert low.item() >= weights["grouped"].scale.item() * (-3 - 3)
    assert high.item() <= weights["grouped"].scale.item() * (3 + 3)


def test_a_layer_in_two_places_is_rounded_for_each() -> None:
    """Oracle: the same function with a module of its own in each place."""
    chain, x = twice_used_chain(norms=False), images(8)
    found = [
        adaround(c, weight_quantizers(c, GRID), None, x, FEW).state_dict()
        for c in (chain, apart(chain))
    ]
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], value) for name, value in found[1].items())
    assert not torch.equal(found[0]["1.layer.bias"], found[0]["3.layer.bias"])


def test_the_chain_and_torchs_generator_are_left_as_they_are() -> None:
    """Oracle: the state before, and the next random number; calling twice gives the same."""
    chain = conv_chain(1, norms=False).train()
    weights = weight_quantizers(chain, GRID)
    before = {key: value.clone() for key, value in chain.state_dict().items()}
    torch.manual_seed(0)
    one = adaround(chain, weights, None, images(8), FEW)
    drawn = torch.rand(1)
    two = adaround(chain, weights, None, images(8), FEW)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    assert one.training
    assert all(torch.equal(before[key], value) for key, value in chain.state_dict().items())
    for key, value in two.state_dict().items():
        assert torch.equal(one.state_dict()[key], value)


CHAIN = conv_chain(0, norms=False)
WEIGHTS = weight_quantizers(CHAIN, GRID)
X = images(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adaround(CHAIN, WEIGHTS, None, X[:0]), ValueError, "images must not be empty"),
        (lambda: adaround(CHAIN, {"x": WEIGHTS["fc1"]}, None, X), ValueError, "weights must name"),
        (lambda: adaround(CHAIN, WEIGHTS, {}, X), ValueError, "inputs must name the layers"),
        (lambda: adaround(CHAIN, WEIGHTS, None, X, 3), TypeError, "settings must be AdaRound"),
        (lambda: patches(nn.ReLU(), X), TypeError, "layer must be .*Conv2d"),
        (
            lambda: patches(nn.Conv2d(1, 1, 3, padding="same"), X),
            ValueError,
            "padded by a number of zeros, got .*padding=same",
        ),
        (
            lambda: patches(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), X),
            ValueError,
            "padding_mode=reflect",
        ),
        (
            lambda: layer_loss(CHAIN[0], X, X[:3]),
            ValueError,
            "outputs must have the n = . of inputs, got 4",
        ),
        (lambda: layer_loss(CHAIN[0], X.int(), X), TypeError, "outputs must hold floating"),
        (lambda: layer_loss(CHAIN[0], X, X, batch_size=0), ValueError, "batch_size must be"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()


def test_a_module_in_place_does_not_change_the_images() -> None:
    """Oracle: the images before, some of them negative, and a ReLU that overwrites its input."""
    chain = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(784, 3)).eval()
    x = images(4) - 0.5
    before = x.clone()
    adaround(chain, weight_quantizers(chain, GRID), None, x, FEW)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_chains_of_other_dtypes_keep_their_dtype_and_their_grid(dtype: torch.dtype) -> None:
    """Oracle: a round trip leaves the weights as they are, so that they are values of codes."""
    chain = conv_chain(2, norms=False).to(dtype)
    x = images(8).to(dtype)
    result = adaround(chain, weight_quantizers(chain, GRID), None, x, FEW)
    assert result(x).dtype == dtype
    for module in result:
        if isinstance(module, QuantizedLayer):
            weight = module.layer.weight.detach()
            assert torch.equal(module.weight_quantizer.round_trip(weight), weight)


def test_a_linear_layer_on_sequences_is_one_on_all_their_elements() -> None:
    """Oracle: the same vectors as one batch."""
    layer = nn.Linear(5, 3)
    x = torch.randn(4, 7, 5, generator=generator(0))
    y = layer(x).detach()
    ours = layer_loss(layer, y, x)
    theirs = layer_loss(layer, y.flatten(0, 1), x.flatten(0, 1))
    torch.testing.assert_close(ours.cross, theirs.cross)


@pytest.mark.parametrize(
    ("outputs", "inputs"),
    [
        ((2, 4, 5, 5), (2, 1, 28, 28)),
        ((2, 5, 26, 26), (2, 1, 28, 28)),
        ((2, 4, 8, 8), (2, 3, 10, 10)),
    ],
)
def test_shapes_of_another_layer_are_refused(
    outputs: tuple[int, ...], inputs: tuple[int, ...]
) -> None:
    """Oracle: the message has the layer and both shapes."""
    with pytest.raises(ValueError, match="must be those of Conv2d"):
        layer_loss(nn.Conv2d(1, 4, 3), torch.rand(outputs), torch.rand(inputs))


def test_the_search_sees_the_rounded_inputs() -> None:
    """Oracle: with coarse inputs the mean of the output is still that in full precision."""
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(784, 3)).eval()
    x = images(16)
    result = adaround(
        chain,
        weight_quantizers(chain, GRID),
        input_quantizers(chain, x, IntegerGrid(1)),
        x.square(),
        FEW,
    )
    with torch.no_grad():
        ours, theirs = result(x.square()).mean(0), chain(x.square()).mean(0)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
