"""Scales of merged ReLU units: quadrature, sampling, brute force over inputs and factors."""

import math
from functools import partial

import pytest
import torch
from draws import normal
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from reference_impl import merging

double = partial(normal, dtype=torch.float64)
SCALES = [merging.projection_scale, merging.norm_ratio_scale, merging.gaussian_scale]


@pytest.mark.equation("eq-merge-bound")
@given(st.integers(0, 2**31 - 1))
def test_no_input_exceeds_the_bound(seed):
    """Oracle: 200 random inputs for 8 random pairs."""
    kept, gone = double(2, 8, 3, seed=seed)
    x = double(200, 3, seed=seed + 1)
    for scale in SCALES:
        c = scale(kept, gone)
        error = ((x @ gone.T).relu() - c * (x @ kept.T).relu()).abs()
        bound = merging.error_bound(kept, gone, c) * x.norm(dim=1, keepdim=True)
        assert (error <= bound + 1e-12).all()


@pytest.mark.parametrize("scale", SCALES)
def test_parallel_units_merge_exactly(scale):
    """Oracle: ReLU passes a positive factor."""
    kept = double(4, 5)
    c = torch.tensor([0.1, 1.0, 2.5, 7.0], dtype=torch.float64)
    torch.testing.assert_close(scale(kept, c[:, None] * kept), c, rtol=1e-6, atol=1e-9)


@pytest.mark.equation("eq-merge-kernel", "eq-merge-kappa")
@pytest.mark.parametrize("cosine", [-0.9, 0.0, 0.33, 0.8])
def test_kappa_is_the_mean_product_by_quadrature(cosine):
    """Oracle: ``scipy.integrate.quad`` over the angle; E r² = 2 of a plane Gaussian."""
    theta = math.acos(cosine)

    def product(phi):
        return max(math.cos(phi), 0) * max(math.cos(phi - theta), 0)

    integral, _ = quad(product, theta - math.pi / 2, math.pi / 2)
    found = merging.kappa(torch.tensor(cosine, dtype=torch.float64)).item()
    assert found == pytest.approx(2 * 2 * integral / (2 * math.pi), abs=1e-9)


@pytest.mark.equation("eq-merge-relative")
def test_relative_errors_are_those_of_samples():
    """Oracle: Monte Carlo with 400,000 Gaussian inputs."""
    x = double(400_000, 2)
    cosine = torch.tensor([-0.5, 0.2, 0.7], dtype=torch.float64)
    for ratio in (cosine, torch.ones_like(cosine), merging.kappa(cosine)):
        gone = (x @ torch.stack([cosine, (1 - cosine**2).sqrt()])).relu()
        error = (gone - ratio * x[:, :1].relu()).square().mean(0) / gone.square().mean(0)
        torch.testing.assert_close(merging.relative_error(cosine, ratio), error, atol=0.02, rtol=0)


# in float16 the squares of 300 overflow
@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float16, 300.0), (torch.float32, 1e-30), (torch.float32, 1e30)]
)
@pytest.mark.parametrize("scale", SCALES)
def test_small_large_and_half_weights_have_the_factors_of_others(scale, dtype, size):
    """Oracle: both rows divided by ``size``, in float64; the bound is homogeneous of degree 1."""
    kept = torch.tensor([[1.0, 0.0], [0.6, 0.3]], dtype=torch.float64)
    gone = torch.tensor([[1.0, 0.3], [-0.6, 0.3]], dtype=torch.float64)
    c = scale((size * kept).to(dtype), (size * gone).to(dtype))
    assert c.dtype == dtype
    bound = merging.error_bound((size * kept).to(dtype), (size * gone).to(dtype), c)
    assert bound.dtype == dtype
    exact, eps = scale(kept, gone), torch.finfo(dtype).eps
    expected = exact, merging.error_bound(kept, gone, exact)
    found = c.double(), bound.double() / size
    torch.testing.assert_close(found, expected, rtol=4 * eps, atol=2 * eps)


ONE, UNITS = torch.ones(3, dtype=torch.float64), torch.tensor([0, 1, 2])
NORM = {"gamma": 3e-4 * ONE, "beta": 300 * ONE, "mean": 300 * ONE, "variance": 1e-7 * ONE}


@pytest.mark.parametrize(
    "formula",
    [
        lambda to: merging.kappa(to(ONE - 0.01)),
        lambda to: merging.relative_error(to(ONE / 3), to(300 * ONE)),
        lambda to: merging.pair_saliency(to(1e-4 * torch.eye(3)), to(1e-3 * torch.eye(3))),
        lambda to: torch.stack(
            merging.normalised_relation(
                to(ONE), (UNITS, UNITS.flip(0)), eps=1e-7, **{k: to(v) for k, v in NORM.items()}
            )
        ),
    ],
    ids=["kappa", "relative-error", "saliency", "batch-norm"],
)
def test_half_precision_is_computed_in_32_bits(formula):
    """Oracle: float64 of the same rounded numbers, whose squares float16 cannot hold."""
    exact = formula(lambda x: x.half().double())
    torch.testing.assert_close(formula(lambda x: x.half()).double(), exact, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_gradients_pass_and_of_two_dtypes_the_wider_is_returned(scale):
    """Oracle: ``torch.autograd.gradcheck``; ``torch.promote_types``."""
    kept, gone = (double(3, 4, seed=seed).abs() for seed in (1, 2))
    assert torch.autograd.gradcheck(lambda rows: scale(rows, gone), kept.requires_grad_())
    assert scale(kept.detach().half(), gone.float()).dtype == torch.float32


AROUND = torch.linspace(0, 2 * math.pi, 3601, dtype=torch.float64)
PLANE = torch.stack([AROUND.cos(), AROUND.sin()], dim=1)


def pair(degrees):
    """Return a_i of length 2 and a_j of length 3, as one row each."""
    theta = math.radians(degrees)
    kept = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    return kept, torch.tensor([[3 * math.cos(theta), 3 * math.sin(theta)]], dtype=torch.float64)


def worst(kept, gone, c):
    """Return the largest error over all directions of the plane, for each factor."""
    return ((PLANE @ gone.T).relu() - c * (PLANE @ kept.T).relu()).abs().amax(dim=0)


@pytest.mark.equation("eq-merge-projection", "eq-merge-norm-ratio", "eq-merge-bounds")
@pytest.mark.equation("eq-merge-worst")
@given(degrees=st.floats(5, 175))
@example(degrees=90.0)
def test_no_factor_has_a_smaller_worst_case_than_projection(degrees):
    """Oracle: 300 factors, 3,601 directions; ‖a_j‖ sin θ up to 90°, 2‖a_j‖ sin(θ/2) for norms."""
    theta, (kept, gone) = math.radians(degrees), pair(degrees)
    least = 3 * math.sin(theta) if degrees <= 90 else 3.0
    c, ratio = merging.projection_scale(kept, gone), merging.norm_ratio_scale(kept, gone)
    assert worst(kept, gone, c).item() == pytest.approx(least, rel=1e-3)
    assert merging.error_bound(kept, gone, c).item() == pytest.approx(least)
    assert worst(kept, gone, torch.linspace(0, 3, 301)).min() > least * (1 - 1e-3)
    assert ratio.item() == pytest.approx(3 / 2)
    assert merging.error_bound(kept, gone, ratio).item() == pytest.approx(6 * math.sin(theta / 2))
    if 10 < degrees < 85:  # there the bound of the norm ratio is not tight
        assert worst(kept, gone, ratio).item() == pytest.approx(least, rel=1e-3)


@pytest.mark.equation("eq-merge-best")
@pytest.mark.parametrize("degrees", [5, 60, 90, 150])
def test_no_factor_has_a_smaller_mean_square_than_kappas(degrees):
    """Oracle: quadrature of the squared error over the angle, minimized over the factor."""
    kept, gone = pair(degrees)
    theta = math.radians(degrees)

    def mean_square(c):
        def squared(phi):
            h_i, h_j = max(2 * math.cos(phi), 0), max(3 * math.cos(phi - theta), 0)
            return (h_j - c * h_i) ** 2

        kinks = sorted({-math.pi / 2, math.pi / 2, theta - math.pi / 2})
        return quad(squared, -math.pi, math.pi, points=kinks)[0]

    best = minimize_scalar(mean_square, bounds=(0, 3), method="bounded", options={"xatol": 1e-9})
    assert merging.gaussian_scale(kept, gone).item() == pytest.approx(best.x, abs=1e-5)
