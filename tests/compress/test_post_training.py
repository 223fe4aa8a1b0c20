"""Bias correction against the means it restores; AdaRound and recipes against their parts."""

from functools import partial

import pytest
import torch
from chains import BYTES, NARROW, conv_chain, images, inputs_of, refused, same_state, weights_of
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl import compress
from reference_impl.compress.adaround import as_rows, patches
from reference_impl.quantization import (
    AdaRoundSettings,
    IntegerGrid,
    affine_from_range,
    mse_range,
    symmetric_from_range,
)

CHAIN = conv_chain(0, norms=False)
X = images(8)


def quantized(chain: nn.Sequential, x: torch.Tensor) -> nn.Sequential:
    return compress.quantize_layers(chain, weights_of(chain), inputs_of(chain, x, IntegerGrid(4)))


def layer_means(chain: nn.Sequential, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the mean output of each channel of each linear or convolutional layer."""
    outputs = compress.outputs_at(chain, ["conv1", "grouped", "depthwise", "fc1", "fc2"], x)
    return {name: y.transpose(0, 1).flatten(1).double().mean(1) for name, y in outputs.items()}


@pytest.mark.equation("eq-ptq-bias")
@pytest.mark.parametrize("seed", range(3))
def test_correction_makes_every_mean_error_zero(seed):
    """Oracle: the means of each channel in the chain, over the same images."""
    chain = conv_chain(seed, norms=False)
    x = images(40, seed)
    plain = quantized(chain, x)
    corrected = compress.correct_biases(plain, chain, x)
    expected, before, after = (layer_means(one, x) for one in (chain, plain, corrected))
    assert torch.equal(plain.fc1.layer.weight, corrected.fc1.layer.weight)
    assert set(expected) == set(compress.weight_layers(chain))
    worst = 0.0
    for name, mean in expected.items():
        unit = mean.abs().max()
        assert ((after[name] - mean).abs() <= 1e-5 * unit).all(), name
        worst = max(worst, float((before[name] - mean).abs().max() / unit))
    assert worst > 1e-3


def test_a_layer_without_a_bias_gets_one():
    """Oracle: the same layer with a bias of 0."""
    bare, zero = nn.Linear(3, 2, bias=False), nn.Linear(3, 2)
    with torch.no_grad():
        zero.weight.copy_(bare.weight)
        zero.bias.zero_()
    x = torch.rand(9, 3, generator=torch.Generator().manual_seed(0))
    chains = [nn.Sequential(layer) for layer in (bare, zero)]
    shifts = [compress.correct_biases(quantized(c, x), c, x)[0].layer.bias for c in chains]
    torch.testing.assert_close(*shifts)


def test_estimators_and_quantizers_are_used():
    """Oracle: the same functions called by hand."""
    grid = IntegerGrid(2)
    estimate = partial(mse_range, grid=grid)
    found = compress.weight_quantizers(
        CHAIN, grid, axes=(), estimate=estimate, from_range=affine_from_range
    )["fc1"]
    expected = affine_from_range(*estimate(CHAIN.fc1.weight.detach()), grid)
    assert (found.scale, found.zero_point) == (expected.scale, expected.zero_point)
    inputs = compress.input_quantizers(CHAIN, X, grid, estimate=estimate)
    name, x = next(iter(compress.layer_inputs(CHAIN, X)))
    assert torch.equal(inputs[name].scale, affine_from_range(*estimate(x), grid).scale)


def test_a_recipe_is_its_steps_in_order():
    """Oracle: its steps by hand: quantize; equalize, clip, quantize, correct; AdaRound."""
    weights, inputs = weights_of(CHAIN), inputs_of(CHAIN, X)
    defaults = compress.weight_quantizers(CHAIN, NARROW), compress.input_quantizers(CHAIN, X, BYTES)
    for found, expected in zip(defaults, (weights, inputs), strict=True):
        assert all(torch.equal(found[name].scale, one.scale) for name, one in expected.items())
    plain = compress.PostTraining(bits=3)(CHAIN, X)
    assert same_state(plain, compress.quantize_layers(CHAIN, weights, inputs))
    assert torch.equal(plain(X), compress.quantize_layers(CHAIN, weights, inputs)(X))
    full = compress.PostTraining(bits=3, clipped=True, equalized=True, corrected=True, input_bits=6)
    source = compress.equalize(CHAIN)
    estimate = partial(mse_range, grid=NARROW, from_range=symmetric_from_range)
    clipped = compress.weight_quantizers(source, NARROW, estimate=estimate)
    quantized = compress.quantize_layers(source, clipped, inputs_of(source, X, IntegerGrid(6)))
    assert same_state(full(CHAIN, X), compress.correct_biases(quantized, source, X))
    adaptive = compress.PostTraining(bits=3, adaptive=True)
    chain = nn.Sequential(nn.AvgPool2d(7), nn.Flatten(), nn.Linear(16, 3))
    expected = compress.adaround(chain, weights_of(chain), inputs_of(chain, X), X)
    assert same_state(adaptive(chain, X), expected)


FEW = AdaRoundSettings(steps=60, learning_rate=0.1)


@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
)
def test_patches_times_weights_are_the_layer(groups, kernel, stride, padding, dilation):
    """Oracle: torch's convolution of any geometry, and its linear layer."""
    torch.manual_seed(0)
    for axes, kind in enumerate((nn.Conv1d, nn.Conv2d, nn.Conv3d), start=1):
        conv = kind(4, 8, kernel, stride, padding, dilation, groups, bias=False)
        x = normal(3, 4, *(7, 6, 5)[:axes])
        weight = conv.weight.view(groups, 8 // groups, -1)
        torch.testing.assert_close(patches(conv, x) @ weight.mT, as_rows(conv, conv(x)))
    layer, x = nn.Linear(5, 3, bias=False), normal(4, 5)
    torch.testing.assert_close(patches(layer, x) @ layer.weight.T, as_rows(layer, layer(x)))


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 6, 3, padding=1, groups=2)])
def test_layer_loss_is_the_mean_squared_error_of_the_layer(layer):
    """Oracle: another weight put into the layer, its outputs compared, their mean taken off."""
    x = normal(*(30, 4) if isinstance(layer, nn.Linear) else (30, 4, 5, 5)).abs()
    y = layer(x).detach()
    loss = compress.layer_loss(layer, y, x, batch_size=7)
    other = layer.weight.detach() + 0.1 * normal(*layer.weight.shape, seed=2)
    rows = other.view(loss.cross.shape)
    with torch.no_grad():
        layer.weight.copy_(other)
        layer.bias.copy_(loss.bias(rows).flatten())
        error = as_rows(layer, layer(x) - y).double()
    assert error.mean(1).abs().max() < 1e-5
    assert loss.total(rows) == pytest.approx(error.square().mean(1).sum().item(), rel=1e-3)
    if isinstance(layer, nn.Linear):  # on sequences it is one on all their elements
        sequences = compress.layer_loss(layer, y.view(5, 6, 3), x.view(5, 6, 4))
        torch.testing.assert_close(sequences.cross, loss.cross)
        large = compress.layer_loss(layer, y, 1000 * x.half())  # float16 would not hold the squares
        torch.testing.assert_close(large.cross, 1000 * loss.cross, rtol=0.01, atol=1)


@pytest.mark.parametrize("seed", range(2))
def test_first_layer_is_never_worse_than_the_nearest(seed):
    """Oracle: the mean squared error of the first layer's output, the bias corrected in both."""
    chain = conv_chain(seed, norms=False)
    x = images(16, seed)
    weights, inputs = weights_of(chain), inputs_of(chain, x)
    with torch.no_grad():
        y = chain[0](x)
        errors = []
        nearest = compress.quantize_layers(chain, weights, inputs)
        for ours in (compress.adaround(chain, weights, inputs, x, FEW), nearest):
            error = ours[0](x) - y
            errors.append((error - error.mean((0, 2, 3), keepdim=True)).square().mean())
    assert errors[0] <= errors[1] * (1 + 1e-4)


def test_every_layer_keeps_its_mean_and_its_grid():
    """Oracle: the means in the chain; the weights' own quantizers, for which Ŵ is a fixed point."""
    chain = conv_chain(5, norms=False)
    x = images(32)
    weights = weights_of(chain)
    ours = compress.adaround(chain, weights, inputs_of(chain, x), x, FEW)
    moved = 0
    y = y_hat = x
    with torch.no_grad():
        for (name, module), full in zip(ours.named_children(), chain, strict=True):
            y, y_hat = full(y), module(y_hat)
            if isinstance(module, compress.QuantizedLayer):
                axes = [axis for axis in range(y.ndim) if axis != 1]
                torch.testing.assert_close(y_hat.mean(axes), y.mean(axes), rtol=1e-3, atol=1e-4)
                weight = module.layer.weight
                assert torch.equal(weights[name].round_trip(weight), weight)
                nearest = weights[name].round_trip(full.weight.detach())
                moved += int((nearest != weight).sum())
    assert set(weights) == set(compress.weight_layers(chain))
    assert moved > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_chains_of_other_dtypes_keep_their_dtype_and_their_grid(dtype):
    """Oracle: a round trip leaves the weights as they are; one affine scale a tensor."""
    chain = conv_chain(2, norms=False).to(dtype)
    x = images(8).to(dtype)
    weights = compress.weight_quantizers(chain, NARROW, axes=(), from_range=affine_from_range)
    result = compress.adaround(chain, weights, None, x, FEW)
    assert result(x).dtype == dtype
    for module in result:
        if isinstance(module, compress.QuantizedLayer):
            weight = module.layer.weight.detach()
            assert torch.equal(module.weight_quantizer.round_trip(weight), weight)


def test_the_search_sees_the_rounded_inputs():
    """Oracle: with coarse inputs the mean of the output is still that in full precision."""
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(784, 3)).eval()
    inputs = inputs_of(chain, images(16), IntegerGrid(1))
    x = images(16).square()
    with torch.no_grad():
        ours, theirs = compress.adaround(chain, weights_of(chain), inputs, x, FEW)(x), chain(x)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"corrected": True}, {"adaptive": True}])
def test_what_was_frozen_stays_frozen(settings):
    """Oracle: no parameter asked for a gradient before."""
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(784, 3)).eval().requires_grad_(False)
    made = compress.PostTraining(bits=4, **settings)(chain, images(8))
    assert not any(parameter.requires_grad for parameter in made.parameters())


WEIGHTS = weights_of(CHAIN)
UNLIKE = "got .'conv1', 'grouped', "
PLAIN, BOTH = quantized(CHAIN, X), {"corrected": True, "adaptive": True}
OTHER = {"x": WEIGHTS["fc1"]}
CONV, REFLECTED = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")


def of_shapes(outputs: tuple[int, ...], inputs: tuple[int, ...]) -> None:
    compress.layer_loss(CONV, torch.rand(outputs), torch.rand(inputs))


test_what_does_not_belong_together_is_refused = refused(
    (ValueError, r"quantize_layers, got \[\]", lambda: compress.correct_biases(CHAIN, CHAIN, X)),
    (ValueError, UNLIKE, lambda: compress.correct_biases(PLAIN, CHAIN[:3], X)),
    (
        ValueError,
        "network must have an unquantized linear",
        lambda: compress.correct_biases(PLAIN, PLAIN, X),
    ),
    (ValueError, "must be False with adaptive", lambda: compress.PostTraining(bits=4, **BOTH)),
    (ValueError, "weights must name", lambda: compress.adaround(CHAIN, OTHER, None, X)),
    (ValueError, "inputs must name the layers", lambda: compress.adaround(CHAIN, WEIGHTS, {}, X)),
    (ValueError, "got .*padding=same", lambda: patches(nn.Conv2d(1, 1, 3, padding="same"), X)),
    (ValueError, "padding_mode=reflect", lambda: patches(REFLECTED, X)),
    (ValueError, "of Conv2d", lambda: of_shapes((2, 4, 5, 5), (2, 1, 28, 28))),
    (ValueError, "of Conv2d", lambda: of_shapes((2, 4, 8, 8), (2, 3, 10, 10))),
)
