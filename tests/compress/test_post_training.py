"""Recipes of post-training quantization against their steps done one by one."""

from functools import partial

import pytest
import torch
from chains import conv_chain, images
from torch import nn

from reference_impl.compress import (
    PostTraining,
    adaround,
    correct_biases,
    equalize,
    input_quantizers,
    layer_inputs,
    quantize_layers,
    weight_layers,
    weight_quantizers,
)
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    mse_range,
    symmetric_from_range,
)

CHAIN = conv_chain(0, norms=False)
X = images(8)
GRID = IntegerGrid(3, signed=True, narrow=True)


def same(ours: nn.Sequential, theirs: nn.Sequential) -> bool:
    left, right = ours.state_dict(), theirs.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_weight_quantizers_have_the_range_of_each_channel() -> None:
    """Oracle: max |W| of each output channel over q_max = 3."""
    found = weight_quantizers(CHAIN, GRID)
    for name, layer in weight_layers(CHAIN).items():
        top = layer.weight.detach().abs().flatten(1).amax(1)
        torch.testing.assert_close(found[name].scale.flatten(), top / 3)
        assert found[name].zero_point.abs().max() == 0


def test_input_quantizers_have_the_range_of_each_input() -> None:
    """Oracle: the extremes of each layer's input, with 0 among them."""
    found = input_quantizers(CHAIN, X, IntegerGrid(8))
    for name, x in layer_inputs(CHAIN, X):
        width = x.max().clamp(min=0) - x.min().clamp(max=0)
        assert found[name].scale.item() == pytest.approx(width.item() / 255)


def test_estimators_and_quantizers_are_used() -> None:
    """Oracle: the same functions called by hand."""
    estimate = partial(mse_range, grid=IntegerGrid(2))
    found = weight_quantizers(
        CHAIN, IntegerGrid(2), axes=(), estimate=estimate, from_range=affine_from_range
    )
    weight = CHAIN.fc1.weight.detach()
    expected = affine_from_range(*estimate(weight), IntegerGrid(2))
    assert torch.equal(found["fc1"].scale, expected.scale)
    assert torch.equal(found["fc1"].zero_point, expected.zero_point)
    inputs = input_quantizers(CHAIN, X, IntegerGrid(2), estimate=estimate)
    name, x = next(iter(layer_inputs(CHAIN, X)))
    assert torch.equal(inputs[name].scale, affine_from_range(*estimate(x), IntegerGrid(2)).scale)


def test_the_plain_recipe_is_quantize_layers() -> None:
    """Oracle: its steps by hand."""
    ours = PostTraining(bits=3)(CHAIN, X)
    expected = quantize_layers(
        CHAIN, weight_quantizers(CHAIN, GRID), input_quantizers(CHAIN, X, IntegerGrid(8))
    )
    assert same(ours, expected)
    assert torch.equal(ours(X), expected(X))


def test_the_full_recipe_is_its_steps_in_order() -> None:
    """Oracle: its steps by hand: equalize, clip, quantize, correct."""
    recipe = PostTraining(bits=3, clipped=True, equalized=True, corrected=True, input_bits=6)
    source = equalize(CHAIN)
    estimate = partial(mse_range, grid=GRID, from_range=symmetric_from_range)
    quantized = quantize_layers(
        source,
        weight_quantizers(source, GRID, estimate=estimate),
        input_quantizers(source, X, IntegerGrid(6)),
    )
    assert same(recipe(CHAIN, X), correct_biases(quantized, source, X))


def test_the_adaptive_recipe_is_adaround() -> None:
    """Oracle: its steps by hand."""
    expected = adaround(
        CHAIN, weight_quantizers(CHAIN, GRID), input_quantizers(CHAIN, X, IntegerGrid(8)), X
    )
    assert same(PostTraining(bits=3, adaptive=True)(CHAIN, X), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PostTraining(bits=1), ValueError, r"bits must be in \[2, 16\], got 1"),
        (lambda: PostTraining(bits=4, input_bits=0), ValueError, "input_bits must be in"),
        (lambda: PostTraining(bits=4, clipped=1), TypeError, "clipped must be bool"),
        (
            lambda: PostTraining(bits=4, corrected=True, adaptive=True),
            ValueError,
            "corrected must be False with adaptive",
        ),
        (lambda: PostTraining(bits=4)(CHAIN, X[:0]), ValueError, "images must not be empty"),
        (lambda: weight_quantizers(nn.Sequential(), GRID), ValueError, "chain must have a linear"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()
