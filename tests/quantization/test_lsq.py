"""Learned steps against torch's learnable fake-quantize, gradcheck, closed forms and by hand."""

import math

import numpy as np
import pytest
import torch
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    gradient_factor,
    initial_scale,
    learned_fake_quantize,
    round_straight_through,
    scale_gradient,
    to_quantizer,
)


@st.composite
def cases(draw, *, zero_points=True):
    """Draw x, s, z, grid, a row a part: some clipped, none at a tie, fractional zero points."""
    source = generator(draw(st.integers(0, 2**31)))
    grid = IntegerGrid(draw(st.integers(2, 8)), signed=draw(st.booleans()))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 60))
    scale, share = torch.rand(2, rows, 1, generator=source) + 0.05
    zero_point = (grid.q_min + (share - 0.05) * grid.steps) * zero_points
    zero_point = torch.where(near_tie(zero_point), zero_point.floor(), zero_point)
    width = draw(st.floats(0.3, 2.0)) * grid.steps
    x = torch.randn(rows, columns, generator=source) * width * scale / 2
    return torch.where(near_tie(x / scale), 0.0, x), scale, zero_point, grid


def near_tie(u):
    """Return where u is half an odd integer, up to what float32 cannot resolve."""
    return (u - u.floor() - 0.5).abs() < 1e-4


def assert_same_gradients(ours, theirs, inputs, **tolerances):
    seed = normal(*ours.shape).to(ours.dtype)
    found, expected = (torch.autograd.grad(x_hat, inputs, seed) for x_hat in (ours, theirs))
    torch.testing.assert_close(found, expected, **tolerances)


@pytest.mark.equation("eq-qat-quantizer", "eq-qat-zero", "eq-qat-step")
@pytest.mark.parametrize("per_channel", [False, True])
@given(case=cases(), factor=st.floats(0.01, 10))
def test_gradients_are_torchs(per_channel, case, factor):
    """Oracle: torch._fake_quantize_learnable_per_tensor_affine and …_per_channel, with its factor.

    Left out are negative zero points and ties: there torch's backward rounds otherwise than its
    own forward, see below.
    """
    x, scale, zero_point, grid = case
    zero_point = zero_point.abs() if grid.signed else zero_point
    if per_channel:
        zero_point = zero_point.round()
    else:
        scale, zero_point = scale[:1], zero_point[:1]
        x = torch.where(near_tie(x / scale), 0.0, x)
    x, s, z = x.requires_grad_(), scale.requires_grad_(), zero_point.requires_grad_()
    ours = learned_fake_quantize(x, scale_gradient(s, factor), scale_gradient(z, factor), grid)
    parts, ends = (s.flatten(), z.flatten()), (grid.q_min, grid.q_max, factor)
    if per_channel:
        torchs = torch._fake_quantize_learnable_per_channel_affine(x, *parts, 0, *ends)
    else:
        torchs = torch._fake_quantize_learnable_per_tensor_affine(x, *parts, *ends)
    assert torch.equal(ours, torchs)
    size = float(normal(*x.shape).abs().sum()) * max(1.0, factor) * (1 + grid.steps)
    assert_same_gradients(ours, torchs, (x, s, z), rtol=1e-4, atol=1e-6 * size)


@given(case=cases())
def test_gradients_are_those_of_the_derivation(case):
    """Oracle: autograd through the formula, with rounding's residual held constant.

    Not through ``clamp``: its gradient is 0 on the bounds, where a good part of the codes lies.
    """
    x, scale, zero_point, grid = (*(t.double().requires_grad_() for t in case[:3]), case[3])
    z = round_straight_through(zero_point)
    code = round_straight_through(x / scale) + z
    low, high = (torch.full_like(code, end) for end in (grid.q_min, grid.q_max))
    clipped = torch.where(code < low, low, torch.where(code > high, high, code))
    derived = scale * (clipped - z)
    ours = learned_fake_quantize(x, scale, zero_point, grid)
    assert_same_gradients(ours, derived, (x, scale, zero_point), rtol=1e-9, atol=1e-9)


@given(case=cases())
def test_values_are_those_of_the_frozen_quantizer(case):
    """Oracle: AffineQuantizer.round_trip, bit for bit: what is deployed is what was trained."""
    x, scale, zero_point, grid = case
    quantizer = AffineQuantizer(scale, zero_point.round().int(), grid)
    assert torch.equal(learned_fake_quantize(x, scale, zero_point, grid), quantizer.round_trip(x))
    assert torch.equal(to_quantizer(scale, zero_point, grid).zero_point, quantizer.zero_point)


@pytest.mark.equation("eq-qat-euler")
@given(case=cases(zero_points=False), factor=st.floats(0.1, 10))
def test_the_map_is_homogeneous(case, factor):
    """Oracle: symmetry; (c x, c s) gives c x̂, and Euler: x̂ = x ∂x̂/∂x + s ∂x̂/∂s."""
    x, s, z, grid = (*(t.double().requires_grad_() for t in case[:3]), case[3])
    x_hat = learned_fake_quantize(x, s, z, grid)
    to_x, to_s = torch.autograd.grad(x_hat.sum(), (x, s))
    slack = 1e-9 * float(x.detach().abs().sum())
    total = (x * to_x).sum() + (s * to_s).sum()
    torch.testing.assert_close(total, x_hat.sum(), rtol=1e-9, atol=slack)
    bigger = learned_fake_quantize(factor * x, factor * s, z, grid)
    torch.testing.assert_close(bigger, factor * x_hat)


@pytest.mark.parametrize(
    ("x", "z", "value", "torchs", "ours"),
    # clipped: x̂ and ∂x̂/∂s are q_max − z; −½ is rounded to 0, torch's backward adds z = 1 first
    [(100.0, -3.7, 11, 10, 11), (100.0, 2.5, 5, 4, 5), (-0.5, 1.0, 0, -0.5, 0.5)],
)
def test_torchs_backward_rounds_zero_points_and_ties_in_its_own_way(x, z, value, torchs, ours):
    """Oracle: torch itself; its forward rounds to the nearest even, its backward cuts z + ½ off."""
    grid, s = IntegerGrid(4, signed=True), torch.tensor([1.0], requires_grad=True)
    x, z = torch.tensor([x]), torch.tensor([z])
    theirs = torch._fake_quantize_learnable_per_tensor_affine(x, s, z, grid.q_min, grid.q_max, 1.0)
    found = learned_fake_quantize(x, s, z, grid)
    assert (theirs.item(), found.item()) == (value, value)
    assert torch.autograd.grad(theirs, s)[0].item() == torchs
    assert torch.autograd.grad(found, s)[0].item() == ours


def test_no_gradient_is_computed_for_constants():
    """Oracle: by hand; a constant has none, and x still has its own."""
    x = torch.tensor([0.3, 9.0], requires_grad=True)
    learned_fake_quantize(x, torch.tensor(0.5), torch.tensor(0.0), IntegerGrid(2)).sum().backward()
    assert x.grad.tolist() == [1, 0]


@pytest.mark.equation("eq-qat-start")
@given(bits=st.integers(2, 8))
def test_first_step_is_twice_the_mean_magnitude_over_the_root(bits):
    """Oracle: NumPy's mean of magnitudes, row by row and over all; a step of zeros is 1."""
    grid, x = IntegerGrid(bits, signed=True), normal(4, 100)
    factor = 2 / math.sqrt(2 ** (bits - 1) - 1)
    means = np.abs(x.numpy()).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(initial_scale(x, grid, axes=0), factor * means, rtol=1e-5)
    assert initial_scale(x, grid).item() == pytest.approx(factor * means.mean(), rel=1e-5)
    assert initial_scale(torch.zeros(3), grid).item() == 1
    alone = initial_scale(torch.tensor([3.0, 0.0]).half(), grid, axes=0)
    torch.testing.assert_close(alone, torch.tensor([3 * factor, 1.0]))


@pytest.mark.equation("eq-qat-ratio")
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("n", [100, 10_000])
def test_a_step_moves_about_root_n_q_max_times_as_fast_as_its_weights(n, bits):
    """Oracle: (|∇s| / s) / (‖∇w‖ / ‖w‖) for gradients that are coin tosses, over 200 draws."""
    source = generator(n + bits)
    grid = IntegerGrid(bits, signed=True, narrow=True)
    w = torch.randn(n, generator=source).requires_grad_()
    s = initial_scale(w, grid).requires_grad_()
    w_hat = learned_fake_quantize(w, s, torch.zeros_like(s), grid)
    total = 0.0
    for _ in range(200):
        tosses = torch.randn(n, generator=source).sign()
        to_w, to_s = torch.autograd.grad(w_hat, (w, s), tosses, retain_graph=True)
        total += (to_s.norm() / s.norm()) / (to_w.norm() / w.norm())
    assert 0.2 < total.item() / 200 / (0.5 / gradient_factor(n, grid)) < 1.5


@pytest.mark.equation("eq-qat-factor")
def test_gradient_factor_by_hand():
    """Oracle: 1/√(16 · 4) and so on, by hand."""
    assert gradient_factor(12, IntegerGrid(3, signed=True)) == 1 / 6
    assert gradient_factor(1, IntegerGrid(2, signed=True)) == 1
    assert gradient_factor(3, IntegerGrid(2)) == pytest.approx(1 / 3)


@given(factor=st.floats(0, 100))
def test_scaling_a_gradient_leaves_the_value(factor):
    """Oracle: equality, and the gradient of a square times the factor."""
    value = torch.tensor([0.1, -7.3], requires_grad=True)
    scaled = scale_gradient(value, factor)
    assert torch.equal(scaled, value)
    scaled.square().sum().backward()
    torch.testing.assert_close(value.grad, factor * 2 * value.detach())
