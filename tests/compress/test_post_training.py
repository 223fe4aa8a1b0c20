"""Recipes of post-training quantization against their steps done one by one."""

from functools import partial

import pytest
import torch
from chains import NARROW, conv_chain, images, inputs_of, refused, same_state, weights_of
from torch import nn

from reference_impl import compress
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    mse_range,
    symmetric_from_range,
)

CHAIN = conv_chain(0, norms=False)
X = images(8)


def test_quantizers_have_the_range_of_each_channel_and_each_input() -> None:
    """Oracle: max |W| of each output channel over q_max = 3; the extremes of inputs, 0 included."""
    weights, inputs = (
        compress.weight_quantizers(CHAIN, NARROW),
        compress.input_quantizers(CHAIN, X, IntegerGrid(8)),
    )
    for name, layer in compress.weight_layers(CHAIN).items():
        top = layer.weight.detach().abs().flatten(1).amax(1)
        torch.testing.assert_close(weights[name].scale.flatten(), top / 3)
        assert weights[name].zero_point.abs().max() == 0
    for name, x in compress.layer_inputs(CHAIN, X):
        width = x.max().clamp(min=0) - x.min().clamp(max=0)
        assert inputs[name].scale.item() == pytest.approx(width.item() / 255)


def test_estimators_and_quantizers_are_used() -> None:
    """Oracle: the same functions called by hand."""
    grid = IntegerGrid(2)
    estimate = partial(mse_range, grid=grid)
    found = compress.weight_quantizers(
        CHAIN, grid, axes=(), estimate=estimate, from_range=affine_from_range
    )["fc1"]
    expected = affine_from_range(*estimate(CHAIN.fc1.weight.detach()), grid)
    assert torch.equal(found.scale, expected.scale)
    assert torch.equal(found.zero_point, expected.zero_point)
    inputs = compress.input_quantizers(CHAIN, X, grid, estimate=estimate)
    name, x = next(iter(compress.layer_inputs(CHAIN, X)))
    assert torch.equal(inputs[name].scale, affine_from_range(*estimate(x), grid).scale)


def test_a_recipe_is_its_steps_in_order() -> None:
    """Oracle: its steps by hand: quantize; equalize, clip, quantize, correct; AdaRound."""
    weights, inputs = weights_of(CHAIN), inputs_of(CHAIN, X)
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


test_what_a_recipe_cannot_be_is_refused = refused(
    (
        ValueError,
        "corrected must be False with adaptive",
        lambda: compress.PostTraining(bits=4, corrected=True, adaptive=True),
    )
)
