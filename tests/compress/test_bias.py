"""Bias correction against the means it has to restore."""

import copy

import pytest
import torch
from chains import apart, conv_chain, images, twice_used_chain
from torch import nn

from reference_impl.compress import (
    QuantizedLayer,
    correct_biases,
    input_quantizers,
    quantize_layers,
    weight_layers,
    weight_quantizers,
)
from reference_impl.compress.bias import output_mean
from reference_impl.quantization import AffineQuantizer, IntegerGrid

GRID = IntegerGrid(3, signed=True, narrow=True)


def quantized(chain: nn.Sequential, x: torch.Tensor) -> nn.Sequential:
    return quantize_layers(
        chain, weight_quantizers(chain, GRID), input_quantizers(chain, x, IntegerGrid(4))
    )


def layer_outputs(chain: nn.Sequential, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the output of each linear or convolutional layer, quantized or not."""
    found = {}
    with torch.no_grad():
        for name, module in chain.named_children():
            x = module(x)
            if isinstance(module, QuantizedLayer | nn.Conv2d | nn.Linear):
                found[name] = x.transpose(0, 1).flatten(1).double().mean(1)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_correction_makes_every_mean_error_zero(seed: int) -> None:
    """Oracle: the means of each channel in the chain, over the same images.

    Equation: eq-ptq-bias.
    """
    chain = conv_chain(seed, norms=False)
    x = images(40, seed)
    plain = quantized(chain, x)
    corrected = correct_biases(plain, chain, x)
    expected = layer_outputs(chain, x)
    assert set(expected) == set(weight_layers(chain))
    before, after = layer_outputs(plain, x), layer_outputs(corrected, x)
    for name, mean in expected.items():
        unit = mean.abs().max()
        assert ((after[name] - mean).abs() <= 1e-5 * unit).all(), name
    assert any(
        ((before[name] - mean).abs() > 1e-3 * mean.abs().max()).any()
        for name, mean in expected.items()
    )


def test_one_layer_by_hand() -> None:
    """Oracle: Ŵ − W = (−0.4, 0.2) and E x = (1, 2), so that b grows by 0.4 − 0.4 = 0 … and 0.3."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.4, 1.8], [2.3, 1.0]]))
        layer.bias.fill_(1)
    chain = nn.Sequential(layer)
    weight = AffineQuantizer(torch.tensor(1.0), torch.tensor(0), GRID)
    x = torch.tensor([[0.0, 4.0], [2.0, 0.0]])
    corrected = correct_biases(quantize_layers(chain, {"0": weight}), chain, x)
    torch.testing.assert_close(corrected[0].layer.bias, torch.tensor([1.0, 1.3]))
    assert torch.equal(corrected[0].layer.weight, torch.tensor([[1.0, 2], [2, 1]]))


def test_a_layer_without_a_bias_gets_one() -> None:
    """Oracle: the same layer with a bias of 0."""
    bare, zero = nn.Linear(3, 2, bias=False), nn.Linear(3, 2)
    with torch.no_grad():
        zero.weight.copy_(bare.weight)
        zero.bias.zero_()
    x = torch.rand(9, 3, generator=torch.Generator().manual_seed(0))
    shifts = []
    for layer in (bare, zero):
        chain = nn.Sequential(layer)
        shifts.append(correct_biases(quantized(chain, x), chain, x)[0].layer.bias)
    torch.testing.assert_close(*shifts)


def test_a_layer_in_two_places_gets_a_bias_for_each() -> None:
    """Oracle: the same function with a module of its own in each place."""
    chain, x = twice_used_chain(norms=False), images(8)
    lone = apart(chain)
    ours = correct_biases(quantized(chain, x), chain, x)
    theirs = correct_biases(quantized(lone, x), lone, x)
    assert len(ours) == len(chain)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    assert not torch.equal(ours[1].layer.bias, ours[3].layer.bias)


def test_both_chains_are_left_as_they_are() -> None:
    """Oracle: their states before."""
    chain = conv_chain(2, norms=False)
    x = images(8)
    plain = quantized(chain, x)
    before = [copy.deepcopy(c.state_dict()) for c in (chain, plain)]
    correct_biases(plain, chain, x)
    for old, now in zip(before, (chain, plain), strict=True):
        assert all(torch.equal(old[key], value) for key, value in now.state_dict().items())


def test_output_mean_is_over_all_axes_but_the_channels() -> None:
    """Oracle: loops."""
    y = torch.rand(3, 2, 4, 5)
    expected = torch.stack([y[:, c].mean() for c in range(2)])
    torch.testing.assert_close(output_mean(y), expected)


CHAIN = conv_chain(0, norms=False)
X = images(4)
PLAIN = quantized(CHAIN, X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: correct_biases(CHAIN.conv1, CHAIN, X), TypeError, "quantized must be Sequential"),
        (lambda: correct_biases(PLAIN, None, X), TypeError, "chain must be Sequential"),
        (lambda: correct_biases(PLAIN, CHAIN, X[:0]), ValueError, "images must not be empty"),
        (
            lambda: correct_biases(CHAIN, CHAIN, X),
            ValueError,
            r"chain after quantize_layers, got \[\]",
        ),
        (
            lambda: correct_biases(PLAIN, CHAIN[:3], X),
            ValueError,
            "got .'conv1', 'grouped', .* quantized",
        ),
        (lambda: correct_biases(PLAIN, PLAIN, X), ValueError, "chain must have a linear"),
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
    correct_biases(quantized(chain, x), chain, x)
    assert torch.equal(x, before)
