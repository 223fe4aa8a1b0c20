"""Scales of merged ReLU units: quadrature, sampling, and bounds on random units."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from reference_impl.merging import (
    error_bound,
    gaussian_scale,
    kappa,
    norm_ratio_scale,
    projection_scale,
    relative_error,
)

SCALES = [projection_scale, norm_ratio_scale, gaussian_scale]


@given(st.integers(0, 2**31 - 1))
def test_no_input_exceeds_the_bound(seed: int) -> None:
    """Oracle: 200 random inputs for 8 random pairs.

    Equation: eq-merge-bound.
    """
    draws = torch.Generator().manual_seed(seed)
    kept, gone = torch.randn(2, 8, 3, generator=draws, dtype=torch.float64)
    x = torch.randn(200, 3, generator=draws, dtype=torch.float64)
    for scale in SCALES:
        c = scale(kept, gone)
        error = ((x @ gone.T).relu() - c * (x @ kept.T).relu()).abs()
        assert (error <= error_bound(kept, gone, c) * x.norm(dim=1, keepdim=True) + 1e-12).all()


@pytest.mark.parametrize("scale", SCALES)
def test_parallel_units_merge_exactly(scale) -> None:
    """Oracle: ReLU passes a positive factor."""
    kept = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    c = torch.tensor([0.1, 1.0, 2.5, 7.0], dtype=torch.float64)
    torch.testing.assert_close(scale(kept, c[:, None] * kept), c, rtol=1e-6, atol=1e-9)


def test_bounds_are_the_sines_of_the_angle() -> None:
    """Oracle: ‖a_j‖ sin θ up to 90° for the projection, 2‖a_j‖ sin(θ/2) for the ratio of norms.

    Equation: eq-merge-projection, eq-merge-norm-ratio, eq-merge-bounds.
    """
    theta = torch.linspace(0.1, 3.0, 30, dtype=torch.float64)
    kept = torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(30, 2)
    gone = 3 * torch.stack([theta.cos(), theta.sin()], dim=1)
    torch.testing.assert_close(norm_ratio_scale(kept, gone), torch.full_like(theta, 3 / 2))
    ratio = error_bound(kept, gone, norm_ratio_scale(kept, gone))
    torch.testing.assert_close(ratio, 6 * (theta / 2).sin())
    projected = error_bound(kept, gone, projection_scale(kept, gone))
    expected = torch.where(theta <= math.pi / 2, 3 * theta.sin(), 3.0)
    torch.testing.assert_close(projected, expected)


@pytest.mark.parametrize("cosine", [-0.9, 0.0, 0.33, 0.8])
def test_kappa_is_the_mean_product_by_quadrature(cosine: float) -> None:
    """Oracle: ``scipy.integrate.quad`` over the angle; E r² = 2 of a plane Gaussian.

    Equation: eq-merge-kernel, eq-merge-kappa.
    """
    theta = math.acos(cosine)

    def product(phi: float) -> float:
        return max(math.cos(phi), 0) * max(math.cos(phi - theta), 0)

    integral, _ = quad(product, theta - math.pi / 2, math.pi / 2)
    found = kappa(torch.tensor(cosine, dtype=torch.float64)).item()
    assert found == pytest.approx(2 * 2 * integral / (2 * math.pi), abs=1e-9)


def test_relative_errors_are_those_of_samples() -> None:
    """Oracle: Monte Carlo with 400,000 Gaussian inputs.

    Equation: eq-merge-relative.
    """
    x = torch.randn(400_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cosine = torch.tensor([-0.5, 0.2, 0.7], dtype=torch.float64)
    for ratio in (cosine, torch.ones_like(cosine), kappa(cosine)):
        gone = (x @ torch.stack([cosine, (1 - cosine**2).sqrt()])).relu()
        error = (gone - ratio * x[:, :1].relu()).square().mean(0) / gone.square().mean(0)
        torch.testing.assert_close(relative_error(cosine, ratio), error, atol=0.02, rtol=0)


WEIGHTS = [
    (torch.float16, 300.0),  # squares overflow
    (torch.float32, 1e-30),
    (torch.float32, 1e30),
]


@pytest.mark.parametrize(("dtype", "size"), WEIGHTS)
@pytest.mark.parametrize("scale", SCALES)
def test_small_large_and_half_weights_have_the_factors_of_others(scale, dtype, size) -> None:
    """Oracle: both rows divided by ``size``, in float64; the bound is homogeneous of degree 1."""
    kept = torch.tensor([[1.0, 0.0], [0.6, 0.3]], dtype=torch.float64)
    gone = torch.tensor([[1.0, 0.3], [-0.6, 0.3]], dtype=torch.float64)
    c = scale((size * kept).to(dtype), (size * gone).to(dtype))
    assert c.dtype == dtype
    rounding = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 2 * torch.finfo(dtype).eps}
    torch.testing.assert_close(c.double(), scale(kept, gone), **rounding)
    bound = error_bound((size * kept).to(dtype), (size * gone).to(dtype), c)
    assert bound.dtype == dtype
    torch.testing.assert_close(
        bound.double() / size, error_bound(kept, gone, scale(kept, gone)), **rounding
    )


@pytest.mark.parametrize("scale", SCALES)
def test_gradients_pass_and_of_two_dtypes_the_wider_is_returned(scale) -> None:
    """Oracle: ``torch.autograd.gradcheck``; ``torch.promote_types``."""
    kept, gone = torch.rand(2, 3, 4, dtype=torch.float64).unbind()
    kept, gone = kept.contiguous().requires_grad_(), gone.contiguous()
    assert torch.autograd.gradcheck(lambda rows: scale(rows, gone), kept)
    assert scale(kept.detach().half(), gone.float()).dtype == torch.float32


ONES = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: projection_scale(0 * ONES, ONES), ValueError, "kept must be without a zero row"),
        (
            lambda: norm_ratio_scale(ONES, ONES.T),
            ValueError,
            "kept must have the",
        ),
        (lambda: gaussian_scale(ONES, ONES.int()), TypeError, "gone must hold floating-point"),
        (
            lambda: error_bound(ONES, ONES, -ONES[:, 0]),
            ValueError,
            "scale must be at least 0, got -1",
        ),
        (lambda: relative_error(ONES, ONES[0]), ValueError, "cosine must have the shape of ratio"),
        (lambda: kappa(torch.tensor(1.5)), ValueError, r"cosine must be in \[-1, 1\], got 1.5"),
    ],
)
def test_bad_input_is_refused(call, error, text):
    """Oracle: the message names what is wrong."""
    with pytest.raises(error, match=text):
        call()
