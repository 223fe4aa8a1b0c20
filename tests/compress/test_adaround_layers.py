"""AdaRound for chains: moments against the layers themselves, losses against the nearest."""

import itertools

import pytest
import torch
from chains import NARROW, conv_chain, images, inputs_of, refused, weights_of
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl.compress import (
    QuantizedLayer,
    adaround,
    layer_loss,
    quantize_layers,
    weight_layers,
    weight_quantizers,
)
from reference_impl.compress.adaround import as_rows, patches
from reference_impl.quantization import AdaRoundSettings, IntegerGrid, affine_from_range

FEW = AdaRoundSettings(steps=60, learning_rate=0.1)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.sampled_from([1, 3]),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
)
def test_patches_times_weights_are_the_layer(groups, kernel, stride, padding, dilation) -> None:
    """Oracle: torch's convolution of any geometry, and its linear layer."""
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups, bias=False)
    x = normal(3, 4, 7, 6)
    weight = conv.weight.view(groups, 8 // groups, -1)
    torch.testing.assert_close(patches(conv, x) @ weight.mT, as_rows(conv, conv(x)))
    layer, x = nn.Linear(5, 3, bias=False), normal(4, 5)
    torch.testing.assert_close(patches(layer, x) @ layer.weight.T, as_rows(layer, layer(x)))


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 6, 3, padding=1, groups=2)])
def test_layer_loss_is_the_mean_squared_error_of_the_layer(layer: nn.Module) -> None:
    """Oracle: another weight put into the layer, its outputs compared, their mean taken off."""
    x = normal(*(30, 4) if isinstance(layer, nn.Linear) else (30, 4, 5, 5)).abs()
    y = layer(x).detach()
    loss = layer_loss(layer, y, x, batch_size=7)
    other = layer.weight.detach() + 0.1 * normal(*layer.weight.shape, seed=2)
    rows = other.view(loss.cross.shape)
    with torch.no_grad():
        layer.weight.copy_(other)
        layer.bias.copy_(loss.bias(rows).flatten())
        error = as_rows(layer, layer(x) - y).double()
    assert error.mean(1).abs().max() < 1e-5
    assert loss.total(rows) == pytest.approx(error.square().mean(1).sum().item(), rel=1e-3)
    if isinstance(layer, nn.Linear):  # on sequences it is one on all their elements
        sequences = layer_loss(layer, y.view(5, 6, 3), x.view(5, 6, 4))
        torch.testing.assert_close(sequences.cross, loss.cross)


def test_first_layer_is_the_best_of_all_roundings() -> None:
    """Oracle: brute force over 2⁴ roundings of a linear layer, by running the chain itself."""
    torch.manual_seed(1)
    chain = nn.Sequential(nn.Linear(4, 1)).eval()
    x = torch.rand(60, 4) + torch.rand(60, 1)
    weights = weights_of(chain)
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


@pytest.mark.parametrize("seed", range(2))
def test_first_layer_is_never_worse_than_the_nearest(seed: int) -> None:
    """Oracle: the mean squared error of the first layer's output, the bias corrected in both."""
    chain = conv_chain(seed, norms=False)
    x = images(16, seed)
    weights, inputs = weights_of(chain), inputs_of(chain, x)
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
    weights = weights_of(chain)
    ours = adaround(chain, weights, inputs_of(chain, x), x, FEW)
    moved = 0
    y = y_hat = x
    with torch.no_grad():
        for (name, module), full in zip(ours.named_children(), chain, strict=True):
            y, y_hat = full(y), module(y_hat)
            if isinstance(module, QuantizedLayer):
                axes = [axis for axis in range(y.ndim) if axis != 1]
                torch.testing.assert_close(y_hat.mean(axes), y.mean(axes), rtol=1e-3, atol=1e-4)
                weight = module.layer.weight
                assert torch.equal(weights[name].round_trip(weight), weight)
                nearest = weights[name].round_trip(full.weight.detach())
                moved += int((nearest != weight).sum())
    assert set(weights) == set(weight_layers(chain))
    assert moved > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_chains_of_other_dtypes_keep_their_dtype_and_their_grid(dtype: torch.dtype) -> None:
    """Oracle: a round trip leaves the weights as they are; one affine scale a tensor."""
    chain = conv_chain(2, norms=False).to(dtype)
    x = images(8).to(dtype)
    weights = weight_quantizers(chain, NARROW, axes=(), from_range=affine_from_range)
    result = adaround(chain, weights, None, x, FEW)
    assert result(x).dtype == dtype
    for module in result:
        if isinstance(module, QuantizedLayer):
            weight = module.layer.weight.detach()
            assert torch.equal(module.weight_quantizer.round_trip(weight), weight)


def test_the_search_sees_the_rounded_inputs() -> None:
    """Oracle: with coarse inputs the mean of the output is still that in full precision."""
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Flatten(), nn.Linear(784, 3)).eval()
    inputs = inputs_of(chain, images(16), IntegerGrid(1))
    x = images(16).square()
    with torch.no_grad():
        ours, theirs = adaround(chain, weights_of(chain), inputs, x, FEW)(x), chain(x)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=1e-4, rtol=0)


CHAIN = conv_chain(0, norms=False)
WEIGHTS, X = weights_of(CHAIN), images(4)
CONV, REFLECTED = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")


def of_shapes(outputs: tuple[int, ...], inputs: tuple[int, ...]) -> None:
    layer_loss(CONV, torch.rand(outputs), torch.rand(inputs))


test_what_does_not_belong_together_is_refused = refused(
    (ValueError, "weights must name", lambda: adaround(CHAIN, {"x": WEIGHTS["fc1"]}, None, X)),
    (ValueError, "inputs must name the layers", lambda: adaround(CHAIN, WEIGHTS, {}, X)),
    (ValueError, "got .*padding=same", lambda: patches(nn.Conv2d(1, 1, 3, padding="same"), X)),
    (ValueError, "padding_mode=reflect", lambda: patches(REFLECTED, X)),
    (ValueError, "of Conv2d", lambda: of_shapes((2, 4, 5, 5), (2, 1, 28, 28))),
    (ValueError, "of Conv2d", lambda: of_shapes((2, 4, 8, 8), (2, 3, 10, 10))),
)
