"""The straight-through estimator against torch, autograd on the derivation, and by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    fake_quantize,
    learned_fake_quantize,
    round_straight_through,
    scale_gradient,
)

HALF = AffineQuantizer(torch.tensor(0.5), torch.tensor(1), IntegerGrid(bits=2))


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, AffineQuantizer]:
    """Draw values, some of them clipped, and a quantizer with one step or one per row."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 50))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    grid = IntegerGrid(draw(st.integers(2, 8)), signed=draw(st.booleans()))
    per_row = draw(st.booleans())
    shape = (rows, 1) if per_row else (1, 1)
    scale = torch.rand(shape, generator=generator) + 0.1
    zero_point = torch.randint(grid.q_min, grid.q_max + 1, shape, generator=generator)
    width = draw(st.floats(0.5, 3.0)) * grid.steps
    x = torch.randn(rows, columns, generator=generator) * width * scale / 2
    return x, AffineQuantizer(scale, zero_point.int(), grid)


@given(u=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_rounding_has_torchs_values_and_the_derivative_one(u: list[float]) -> None:
    """Oracle: torch.round bit for bit; the derivative of the identity.

    Equation: eq-qat-residual.
    """
    values = torch.tensor(u, requires_grad=True)
    rounded = round_straight_through(values)
    assert torch.equal(rounded, torch.round(values))
    (gradient,) = torch.autograd.grad(rounded.sum(), values)
    assert torch.equal(gradient, torch.ones_like(values))


@given(case=cases())
def test_values_and_gradient_are_torchs(case: tuple[torch.Tensor, AffineQuantizer]) -> None:
    """Oracle: torch.fake_quantize_per_channel_affine and its backward, bit for bit.

    Equation: eq-qat-ste.
    """
    x, quantizer = case
    rows = len(x)
    x = x.requires_grad_()
    scale = quantizer.scale.expand(rows, 1).flatten()
    zero_point = quantizer.zero_point.expand(rows, 1).flatten()
    grid = quantizer.grid
    torchs = torch.fake_quantize_per_channel_affine(x, scale, zero_point, 0, grid.q_min, grid.q_max)
    ours = fake_quantize(x, quantizer)
    assert torch.equal(ours, torchs)
    seed = torch.arange(1.0, x.numel() + 1).view_as(x)
    (to_ours,) = torch.autograd.grad(ours, x, seed)
    (to_torchs,) = torch.autograd.grad(torchs, x, seed)
    assert torch.equal(to_ours, to_torchs)


@given(case=cases())
def test_values_are_the_quantizers_own(case: tuple[torch.Tensor, AffineQuantizer]) -> None:
    """Oracle: AffineQuantizer.round_trip, bit for bit."""
    x, quantizer = case
    assert torch.equal(fake_quantize(x, quantizer), quantizer.round_trip(x))


@given(case=cases())
def test_gradient_is_that_of_the_derivation(case: tuple[torch.Tensor, AffineQuantizer]) -> None:
    """Oracle: autograd where nothing is clipped, with rounding's residual held constant."""
    x, quantizer = case
    x = x.requires_grad_()
    u = (x * (1 / quantizer.scale)).detach()
    distance = torch.round(u) + quantizer.zero_point  # the code before it is clipped
    below, above = distance < quantizer.grid.q_min, distance > quantizer.grid.q_max
    derived = torch.where(below | above, 0.0, round_straight_through(x / quantizer.scale))
    (expected,) = torch.autograd.grad((quantizer.scale * derived).sum(), x)
    (found,) = torch.autograd.grad(fake_quantize(x, quantizer).sum(), x)
    torch.testing.assert_close(found, expected)


def test_autograds_own_clamp_would_lose_the_end_codes() -> None:
    """Oracle: torch, whose clamp has the derivative 0 on its bounds; ours is 1 there."""
    codes = torch.tensor([0.0, 1.0, 3.0], requires_grad=True)
    (by_clamp,) = torch.autograd.grad(codes.clamp(0, 3).sum(), codes)
    assert by_clamp.tolist() == [0, 1, 0]
    quantizer = AffineQuantizer(torch.tensor(1.0), torch.tensor(0), IntegerGrid(bits=2))
    (ours,) = torch.autograd.grad(fake_quantize(codes, quantizer).sum(), codes)
    assert ours.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("x", "expected"), [(-0.76, 0), (-0.74, 1), (0.0, 1), (1.2, 1), (1.24, 1), (1.26, 0)]
)
def test_inside_ends_half_a_step_beyond_the_last_code(x: float, expected: int) -> None:
    """Oracle: by hand; the codes 0 … 3 stand for −0.5 … 1.0, and half a step is 0.25."""
    value = torch.tensor([x], requires_grad=True)
    fake_quantize(value, HALF).sum().backward()
    assert value.grad.item() == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    """Oracle: the dtype that went in, forward and backward."""
    x = torch.tensor([-3.0, 0.3, 0.9], dtype=dtype, requires_grad=True)
    x_hat = fake_quantize(x, HALF)
    x_hat.sum().backward()
    assert x.grad is not None
    assert (x_hat.dtype, x.grad.dtype) == (dtype, dtype)
    assert x.grad.tolist() == [0, 1, 1]


def test_input_is_left_as_it_was() -> None:
    """Oracle: a copy made before."""
    x = torch.linspace(-2, 2, 9)
    before = x.clone()
    fake_quantize(x, HALF)
    assert torch.equal(x, before)


class FixedLayer(nn.Module):
    """Quantizes by a constant quantizer, as rounding does or with the straight-through gradient."""

    def __init__(self, *, trained: bool) -> None:
        super().__init__()
        self.trained = trained

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return fake_quantize(x, HALF) if self.trained else HALF.round_trip(x)


class LearnedLayer(nn.Module):
    """Quantizes by a learned step and zero point."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.3]))
        self.zero_point = nn.Parameter(torch.tensor([0.4]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return learned_fake_quantize(
            x,
            scale_gradient(self.scale, 0.1),
            round_straight_through(self.zero_point),
            IntegerGrid(4, signed=True),
        )


MODULES = {
    "round trip": FixedLayer(trained=False),
    "straight through": FixedLayer(trained=True),
    "learned": LearnedLayer(),
}


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("strict", [False, True])
def test_quantizers_can_be_exported(module: nn.Module, strict: bool) -> None:
    """Oracle: the module itself, bit for bit, on values that export did not see."""
    x = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    exported = torch.export.export(module, (x[0],), strict=strict).module()
    assert torch.equal(exported(x[1]), module(x[1]))


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_quantizers_can_be_compiled_with_their_gradients(module: nn.Module) -> None:
    """Oracle: the module itself and its gradients, in one graph without breaks."""
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    ours, theirs = module(x), compiled(x)
    assert torch.equal(ours, theirs)
    if ours.requires_grad:
        inputs = (x, *module.parameters())
        for found, expected in zip(
            torch.autograd.grad(theirs.sum(), inputs),
            torch.autograd.grad(ours.sum(), inputs),
            strict=True,
        ):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: round_straight_through(torch.tensor([1])), TypeError, "u must hold floating"),
        (lambda: round_straight_through(torch.tensor([math.nan])), ValueError, "u must be finite"),
        (lambda: fake_quantize([1.0], HALF), TypeError, "x must be a torch.Tensor, got list"),
        (lambda: fake_quantize(torch.tensor([math.inf]), HALF), ValueError, "x must be finite"),
        (lambda: fake_quantize(torch.ones(2), 0.5), TypeError, "quantizer must be AffineQuant"),
        (
            lambda: fake_quantize(
                torch.ones(2, 3),
                AffineQuantizer(torch.ones(2), torch.zeros(2, dtype=torch.int32), HALF.grid),
            ),
            ValueError,
            r"x must have a shape to which the scale's shape \(2,\) broadcasts, got \(2, 3\)",
        ),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: the message names the argument, the value and what was expected."""
    with pytest.raises(error, match=message):
        call()
