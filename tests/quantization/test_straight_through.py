"""The straight-through estimator against torch, autograd on the derivation, and by hand."""

import pytest
import torch
from draws import generator, integers, normal
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl import quantization

HALF = quantization.AffineQuantizer(
    torch.tensor(0.5), torch.tensor(1), quantization.IntegerGrid(bits=2)
)
SEEDS = st.integers(0, 2**31)


@st.composite
def cases(draw):
    """Draw values, some of them clipped, and a quantizer with one step or one per row."""
    rows, columns, seed = draw(st.integers(1, 4)), draw(st.integers(1, 50)), draw(SEEDS)
    grid = quantization.IntegerGrid(draw(st.integers(2, 8)), signed=draw(st.booleans()))
    shape = (draw(st.sampled_from([1, rows])), 1)
    scale = torch.rand(shape, generator=generator(seed)) + 0.1
    zero_point = integers(grid.q_min, grid.q_max, *shape, seed=seed)
    width = draw(st.floats(0.5, 3.0)) * grid.steps
    x = normal(rows, columns, seed=seed + 1) * width * scale / 2
    return x, quantization.AffineQuantizer(scale, zero_point.int(), grid)


@pytest.mark.equation("eq-qat-residual")
@given(u=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_rounding_has_torchs_values_and_the_derivative_one(u):
    """Oracle: torch.round bit for bit; the derivative of the identity."""
    values = torch.tensor(u, requires_grad=True)
    rounded = quantization.round_straight_through(values)
    assert torch.equal(rounded, torch.round(values))
    (gradient,) = torch.autograd.grad(rounded.sum(), values)
    assert torch.equal(gradient, torch.ones_like(values))


@pytest.mark.equation("eq-qat-ste")
@given(case=cases())
def test_values_and_gradient_are_torchs(case):
    """Oracle: torch.fake_quantize_per_channel_affine, its backward, and round_trip, bit for bit."""
    x, quantizer = case
    grid, rows, before = quantizer.grid, len(x), x.clone()
    x = x.requires_grad_()
    parts = [p.expand(rows, 1).flatten() for p in (quantizer.scale, quantizer.zero_point)]
    torchs = torch.fake_quantize_per_channel_affine(x, *parts, 0, grid.q_min, grid.q_max)
    ours = quantization.fake_quantize(x, quantizer)
    assert torch.equal(ours, torchs)
    assert torch.equal(ours, quantizer.round_trip(x))
    seed = torch.arange(1.0, x.numel() + 1).view_as(x)
    to_ours, to_torchs = (torch.autograd.grad(y, x, seed)[0] for y in (ours, torchs))
    assert torch.equal(to_ours, to_torchs)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_inside_ends_half_a_step_beyond_the_last_code_and_dtypes_are_kept(dtype):
    """Oracle: by hand; the codes 0 … 3 stand for −0.5 … 1.0, and half a step is 0.25."""
    values = [-3.0, -0.76, -0.74, 0.0, 1.2, 1.24, 1.26]
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    x_hat = quantization.fake_quantize(x, HALF)
    x_hat.sum().backward()
    assert (x_hat.dtype, x.grad.dtype) == (dtype, dtype)
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 1, 0]


class Layer(nn.Module):
    """A function of the input and of parameters."""

    def __init__(self, function, **parameters):
        super().__init__()
        self.function = function
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(torch.tensor([value])))

    def forward(self, x):
        return self.function(x, *self.parameters())


def learned(x, scale, zero_point):
    parts = quantization.scale_gradient(scale, 0.1), quantization.round_straight_through(zero_point)
    return quantization.learned_fake_quantize(x, *parts, quantization.IntegerGrid(4, signed=True))


MODULES = {
    "round trip": Layer(HALF.round_trip),
    "straight through": Layer(lambda x: quantization.fake_quantize(x, HALF)),
    "learned": Layer(learned, scale=0.3, zero_point=0.4),
}


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("strict", [False, True])
def test_quantizers_can_be_exported(module, strict):
    """Oracle: the module itself, bit for bit, on values that export did not see."""
    x = normal(2, 5, 7)
    exported = torch.export.export(module, (x[0],), strict=strict).module()
    assert torch.equal(exported(x[1]), module(x[1]))


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_quantizers_can_be_compiled_with_their_gradients(module):
    """Oracle: the module itself and its gradients, in one graph without breaks."""
    x = normal(5, 7).requires_grad_()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    ours, theirs = module(x), compiled(x)
    assert torch.equal(ours, theirs)
    if ours.requires_grad:
        inputs = (x, *module.parameters())
        found, expected = (torch.autograd.grad(y.sum(), inputs) for y in (theirs, ours))
        torch.testing.assert_close(found, expected)
