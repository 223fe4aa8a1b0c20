"""Learned steps against torch's learnable fake-quantize, gradcheck, closed forms and by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

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

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, IntegerGrid]


@st.composite
def cases(draw: st.DrawFn, *, rows: bool = False, zero_points: bool = True) -> Case:
    """Draw x, s, z, grid: some values clipped, none at a tie, fractional zero points."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    grid = IntegerGrid(draw(st.integers(2, 8)), signed=draw(st.booleans()))
    n_rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 60))
    shape = (n_rows, 1) if rows else (1, 1)
    scale = torch.rand(shape, generator=generator) + 0.05
    zero_point = torch.zeros(shape)
    if zero_points:
        share = torch.rand(shape, generator=generator)
        zero_point = grid.q_min + share * grid.steps
        zero_point = torch.where(near_tie(zero_point), zero_point.floor(), zero_point)
    width = draw(st.floats(0.3, 2.0)) * grid.steps
    x = torch.randn(n_rows, columns, generator=generator) * width * scale / 2
    return torch.where(near_tie(x / scale), 0.0, x), scale, zero_point, grid


def near_tie(u: torch.Tensor) -> torch.Tensor:
    """Return where u is half an odd integer, up to what float32 cannot resolve."""
    return (u - u.floor() - 0.5).abs() < 1e-4


def gradients(
    x_hat: torch.Tensor, inputs: tuple[torch.Tensor, ...], seed: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(x_hat, inputs, seed)


def random_like(x: torch.Tensor) -> torch.Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x.dtype)


@given(case=cases(), factor=st.floats(0.01, 10))
def test_per_tensor_gradients_are_torchs(case: Case, factor: float) -> None:
    """Oracle: torch._fake_quantize_learnable_per_tensor_affine, with its factor.

    Left out are negative zero points and ties: there torch's backward rounds otherwise than its
    own forward, see below.

    Equation: eq-qat-quantizer, eq-qat-zero.
    """
    x, scale, zero_point, grid = case
    zero_point = zero_point.abs() if grid.signed else zero_point
    x, s, z = x.requires_grad_(), scale.requires_grad_(), zero_point.requires_grad_()
    ours = learned_fake_quantize(x, scale_gradient(s, factor), scale_gradient(z, factor), grid)
    torchs = torch._fake_quantize_learnable_per_tensor_affine(
        x, s.view(1), z.view(1), grid.q_min, grid.q_max, factor
    )
    assert torch.equal(ours, torchs)
    seed = random_like(x)
    for found, expected in zip(
        gradients(ours, (x, s, z), seed), gradients(torchs, (x, s, z), seed), strict=True
    ):
        size = float(seed.abs().sum()) * max(1.0, factor) * (1 + grid.steps)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * size)


@given(case=cases(rows=True), factor=st.floats(0.01, 10))
def test_per_channel_gradients_are_torchs(case: Case, factor: float) -> None:
    """Oracle: torch._fake_quantize_learnable_per_channel_affine, with its factor."""
    x, scale, zero_point, grid = case
    zero_point = zero_point.abs().round() if grid.signed else zero_point.round()
    x, s, z = x.requires_grad_(), scale.requires_grad_(), zero_point.requires_grad_()
    ours = learned_fake_quantize(x, scale_gradient(s, factor), scale_gradient(z, factor), grid)
    torchs = torch._fake_quantize_learnable_per_channel_affine(
        x, s.flatten(), z.flatten(), 0, grid.q_min, grid.q_max, factor
    )
    assert torch.equal(ours, torchs)
    seed = random_like(x)
    for found, expected in zip(
        gradients(ours, (x, s, z), seed), gradients(torchs, (x, s, z), seed), strict=True
    ):
        size = float(seed.abs().sum()) * max(1.0, factor) * (1 + grid.steps)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * size)


@given(case=cases(rows=True))
def test_gradients_are_those_of_the_derivation(case: Case) -> None:
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
    seed = random_like(x)
    for found, expected in zip(
        gradients(ours, (x, scale, zero_point), seed),
        gradients(derived, (x, scale, zero_point), seed),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(case=cases(zero_points=False))
def test_step_gradient_is_the_closed_form(case: Case) -> None:
    """Oracle: round(x/s) − x/s inside, q_min or q_max outside, element by element, in NumPy.

    Equation: eq-qat-step.
    """
    x, scale, zero_point, grid = case
    x, s = x.double(), scale.double().requires_grad_()
    x_hat = learned_fake_quantize(x, s, zero_point.double(), grid)
    u = (x / s.detach()).numpy()
    q = u.round()
    expected = q - u
    expected[q < grid.q_min] = grid.q_min
    expected[q > grid.q_max] = grid.q_max
    for index in range(x.shape[1]):
        (found,) = torch.autograd.grad(x_hat[0, index], s, retain_graph=True)
        assert found.item() == pytest.approx(expected[0, index], abs=1e-9)


@given(case=cases(rows=True))
def test_values_are_those_of_the_frozen_quantizer(case: Case) -> None:
    """Oracle: AffineQuantizer.round_trip, bit for bit: what is deployed is what was trained."""
    x, scale, zero_point, grid = case
    quantizer = AffineQuantizer(scale, zero_point.round().int(), grid)
    assert torch.equal(learned_fake_quantize(x, scale, zero_point, grid), quantizer.round_trip(x))
    assert torch.equal(to_quantizer(scale, zero_point, grid).zero_point, quantizer.zero_point)


@given(case=cases(zero_points=False), factor=st.floats(0.1, 10))
def test_the_map_is_homogeneous(case: Case, factor: float) -> None:
    """Oracle: symmetry; (c x, c s) gives c x̂, and Euler: x̂ = x ∂x̂/∂x + s ∂x̂/∂s.

    Equation: eq-qat-euler.
    """
    x, s, z, grid = (*(t.double().requires_grad_() for t in case[:3]), case[3])
    x_hat = learned_fake_quantize(x, s, z, grid)
    to_x, to_s = gradients(x_hat, (x, s), torch.ones_like(x_hat))
    total = (x * to_x).sum() + (s * to_s).sum()
    torch.testing.assert_close(
        total, x_hat.sum(), rtol=1e-9, atol=1e-9 * float(x.detach().abs().sum())
    )
    bigger = learned_fake_quantize(factor * x, factor * s, z, grid)
    torch.testing.assert_close(bigger, factor * x_hat)


def held(
    x: torch.Tensor, s: torch.Tensor, point: tuple[torch.Tensor, torch.Tensor], grid: IntegerGrid
) -> torch.Tensor:
    """Return x + s ρ inside and s q_min or s q_max outside, ρ and the sides those of a point."""
    u = point[0] / point[1]
    q = torch.round(u)
    clipped = s * q.clamp(grid.q_min, grid.q_max)
    return torch.where((q < grid.q_min) | (q > grid.q_max), clipped, x + s * (q - u))


def test_gradcheck_passes_with_the_residual_held_constant_and_agrees_with_ours() -> None:
    """Oracle: torch.autograd.gradcheck, finite differences in float64."""
    grid = IntegerGrid(3, signed=True)
    x = torch.linspace(-3.02, 2.97, 40, dtype=torch.float64, requires_grad=True)
    s = torch.tensor([0.51], dtype=torch.float64, requires_grad=True)
    point = (x.detach().clone(), s.detach().clone())  # clones: gradcheck moves x and s in place
    assert gradcheck(lambda x2, s2: held(x2, s2, point, grid), (x, s))
    ours = learned_fake_quantize(x, s, torch.zeros_like(s), grid)
    theirs = held(x, s, point, grid)
    torch.testing.assert_close(ours, theirs)
    seed = random_like(x)
    for found, expected in zip(
        gradients(ours, (x, s), seed), gradients(theirs, (x, s), seed), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_gradcheck_fails_on_the_quantizer_whose_step_derivative_is_the_code() -> None:
    """Oracle: gradcheck's own verdict, and finite differences: ∂x̂/∂s = clip(round(x/s))."""
    grid = IntegerGrid(3, signed=True)
    x = torch.linspace(-3.02, 2.97, 40, dtype=torch.float64)
    s = torch.tensor([0.51], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(s)
    assert not gradcheck(
        lambda s: learned_fake_quantize(x, s, zero, grid), (s,), raise_exception=False
    )
    with torch.no_grad():
        above, below = (learned_fake_quantize(x, s + h, zero, grid) for h in (1e-7, -1e-7))
    codes = torch.round(x / s.detach()).clamp(grid.q_min, grid.q_max)
    torch.testing.assert_close((above - below) / 2e-7, codes, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("z", "backward"), [(-3.7, -3), (-3.2, -2), (3.7, 4), (2.5, 3)])
def test_torchs_backward_rounds_zero_points_in_its_own_way(z: float, backward: int) -> None:
    """Oracle: torch itself; its forward rounds to the nearest even, its backward cuts z + ½ off."""
    grid = IntegerGrid(4, signed=True)
    s = torch.tensor([1.0], requires_grad=True)
    x = torch.tensor([100.0])  # clipped: ∂x̂/∂s = q_max − z tells z
    x_hat = torch._fake_quantize_learnable_per_tensor_affine(
        x, s, torch.tensor([z]), grid.q_min, grid.q_max, 1.0
    )
    assert x_hat.item() == grid.q_max - round(z)
    (to_s,) = torch.autograd.grad(x_hat, s)
    assert to_s.item() == grid.q_max - backward
    ours = learned_fake_quantize(x, s, torch.tensor([z]), grid)
    assert torch.autograd.grad(ours, s)[0].item() == grid.q_max - round(z)


def test_torchs_backward_rounds_ties_in_its_own_way() -> None:
    """Oracle: torch itself; −½ rounds to 0, but its backward adds z = 1 first, and ½ rounds to 0.

    So its ∂x̂/∂s is that of the code below, −1 + ½, while x̂ is that of the code z.
    """
    s = torch.tensor([1.0], requires_grad=True)
    x, z, grid = torch.tensor([-0.5]), torch.tensor([1.0]), IntegerGrid(4)
    torchs = torch._fake_quantize_learnable_per_tensor_affine(x, s, z, 0, grid.q_max, 1.0)
    ours = learned_fake_quantize(x, s, z, grid)
    assert (torchs.item(), ours.item()) == (0, 0)
    assert torch.autograd.grad(torchs, s)[0].item() == -0.5
    assert torch.autograd.grad(ours, s)[0].item() == 0.5


def test_no_gradient_is_computed_for_constants() -> None:
    """Oracle: by hand; a constant has none, and x still has its own."""
    x = torch.tensor([0.3, 9.0], requires_grad=True)
    learned_fake_quantize(x, torch.tensor(0.5), torch.tensor(0.0), IntegerGrid(2)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 0]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_first_step_is_twice_the_mean_magnitude_over_the_root(bits: int) -> None:
    """Oracle: the closed form E|x| = √(2/π) of a standard normal, within 1 %.

    Equation: eq-qat-start.
    """
    grid = IntegerGrid(bits, signed=True)
    x = torch.randn(4, 100_000, generator=torch.Generator().manual_seed(0))
    expected = 2 * math.sqrt(2 / math.pi) / math.sqrt(2 ** (bits - 1) - 1)
    per_row = initial_scale(x, grid, axes=0)
    assert per_row.shape == (4, 1)
    torch.testing.assert_close(per_row, torch.full((4, 1), expected), rtol=0.01, atol=0)
    torch.testing.assert_close(initial_scale(x, grid), per_row.mean(0, keepdim=True))


def test_first_step_of_zeros_and_of_single_elements() -> None:
    """Oracle: by hand."""
    grid = IntegerGrid(3, signed=True)
    assert initial_scale(torch.zeros(3), grid).item() == 1
    alone = initial_scale(torch.tensor([3.0, 0.0]), grid, axes=0)
    torch.testing.assert_close(alone, torch.tensor([6 / math.sqrt(3), 1.0]))
    assert initial_scale(torch.ones(2, dtype=torch.float16), grid).dtype == torch.float32


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("n", [100, 10_000])
def test_a_step_moves_about_root_n_q_max_times_as_fast_as_its_weights(n: int, bits: int) -> None:
    """Oracle: (|∇s| / s) / (‖∇w‖ / ‖w‖) for gradients that are coin tosses, over 200 draws.

    Equation: eq-qat-ratio.
    """
    generator = torch.Generator().manual_seed(n + bits)
    grid = IntegerGrid(bits, signed=True, narrow=True)
    w = torch.randn(n, generator=generator).requires_grad_()
    s = initial_scale(w, grid).requires_grad_()
    w_hat = learned_fake_quantize(w, s, torch.zeros_like(s), grid)
    ratios = []
    for _ in range(200):
        tosses = torch.randn(n, generator=generator).sign()
        to_w, to_s = torch.autograd.grad(w_hat, (w, s), tosses, retain_graph=True)
        ratios.append((to_s.norm() / s.norm()) / (to_w.norm() / w.norm()))
    found = torch.stack(ratios).mean().item() / (0.5 / gradient_factor(n, grid))
    assert 0.2 < found < 1.5


def test_gradient_factor_by_hand() -> None:
    """Oracle: 1/√(16 · 4) and so on, by hand.

    Equation: eq-qat-factor.
    """
    assert gradient_factor(12, IntegerGrid(3, signed=True)) == 1 / 6
    assert gradient_factor(1, IntegerGrid(2, signed=True)) == 1
    assert gradient_factor(3, IntegerGrid(2)) == pytest.approx(1 / 3)


@given(factor=st.floats(0, 100))
def test_scaling_a_gradient_leaves_the_value(factor: float) -> None:
    """Oracle: equality, and the gradient of a square times the factor."""
    value = torch.tensor([0.1, -7.3], requires_grad=True)
    scaled = scale_gradient(value, factor)
    assert torch.equal(scaled, value)
    scaled.square().sum().backward()
    torch.testing.assert_close(value.grad, factor * 2 * value.detach())


ONE, ZERO, GRID = torch.tensor(1.0), torch.tensor(0.0), IntegerGrid(3)
X = torch.tensor([0.5, 1.5])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: learned_fake_quantize(X.int(), ONE, ZERO, GRID), TypeError, "x must hold float"),
        (lambda: learned_fake_quantize(X / 0, ONE, ZERO, GRID), ValueError, "x must be finite"),
        (lambda: learned_fake_quantize(X, -ONE, ZERO, GRID), ValueError, "scale must be above 0"),
        (lambda: learned_fake_quantize(X, ONE / 0, ZERO, GRID), ValueError, "scale must be finite"),
        (
            lambda: learned_fake_quantize(X, ONE, X, GRID),
            ValueError,
            r"scale must have the shape of zero_point, \(2,\)",
        ),
        (lambda: learned_fake_quantize(X, ONE, ZERO / 0, GRID), ValueError, "zero_point must be f"),
        (lambda: learned_fake_quantize(X, ONE, ZERO, 3), TypeError, "grid must be IntegerGrid"),
        (
            lambda: learned_fake_quantize(X, torch.ones(3, 1), torch.zeros(3, 1), GRID),
            ValueError,
            r"x must have a shape to which the scale's shape \(3, 1\) broadcasts, got \(2,\)",
        ),
        (lambda: to_quantizer(-ONE, ZERO, GRID), ValueError, "scale must be above 0"),
        (lambda: initial_scale(X, GRID, axes=1), ValueError, "axes must name each of the 1 axes"),
        (lambda: gradient_factor(0, GRID), ValueError, "n must be at least 1, got 0"),
        (lambda: scale_gradient(X, -1), ValueError, "factor must be at least 0, got -1.0"),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
