"""Bias correction against the means it has to restore."""

import pytest
import torch
from chains import NARROW, conv_chain, images, inputs_of, refused, weights_of
from torch import nn

from reference_impl.compress import QuantizedLayer, correct_biases, quantize_layers, weight_layers
from reference_impl.quantization import AffineQuantizer, IntegerGrid


def quantized(chain: nn.Sequential, x: torch.Tensor) -> nn.Sequential:
    return quantize_layers(chain, weights_of(chain), inputs_of(chain, x, IntegerGrid(4)))


def layer_means(chain: nn.Sequential, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the mean output of each channel of each linear or convolutional layer."""
    found = {}
    with torch.no_grad():
        for name, module in chain.named_children():
            x = module(x)
            if isinstance(module, QuantizedLayer | nn.Conv2d | nn.Linear):
                found[name] = x.transpose(0, 1).flatten(1).double().mean(1)
    return found


@pytest.mark.equation("eq-ptq-bias")
@pytest.mark.parametrize("seed", range(3))
def test_correction_makes_every_mean_error_zero(seed: int) -> None:
    """Oracle: the means of each channel in the chain, over the same images."""
    chain = conv_chain(seed, norms=False)
    x = images(40, seed)
    plain = quantized(chain, x)
    corrected = correct_biases(plain, chain, x)
    expected, before, after = (layer_means(one, x) for one in (chain, plain, corrected))
    assert set(expected) == set(weight_layers(chain))
    worst = 0.0
    for name, mean in expected.items():
        unit = mean.abs().max()
        assert ((after[name] - mean).abs() <= 1e-5 * unit).all(), name
        worst = max(worst, float((before[name] - mean).abs().max() / unit))
    assert worst > 1e-3


def test_one_layer_by_hand() -> None:
    """Oracle: Ŵ − W = (−0.4, 0.2) and E x = (1, 2), so that b grows by 0.4 − 0.4 = 0 … and 0.3."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.4, 1.8], [2.3, 1.0]]))
        layer.bias.fill_(1)
    chain = nn.Sequential(layer)
    weight = AffineQuantizer(torch.tensor(1.0), torch.tensor(0), NARROW)
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
    chains = [nn.Sequential(layer) for layer in (bare, zero)]
    shifts = [correct_biases(quantized(c, x), c, x)[0].layer.bias for c in chains]
    torch.testing.assert_close(*shifts)


CHAIN = conv_chain(0, norms=False)
X = images(4)
PLAIN = quantized(CHAIN, X)

UNLIKE = "got .'conv1', 'grouped', .* quantized"

test_chains_that_are_not_one_are_refused = refused(
    (ValueError, r"quantize_layers, got \[\]", lambda: correct_biases(CHAIN, CHAIN, X)),
    (ValueError, UNLIKE, lambda: correct_biases(PLAIN, CHAIN[:3], X)),
    (ValueError, "chain must have a linear", lambda: correct_biases(PLAIN, PLAIN, X)),
)
