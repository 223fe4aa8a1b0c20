"""No factor does better than projection at worst, or than κ on average: by brute force."""

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from reference_impl.merging import error_bound, gaussian_scale, norm_ratio_scale, projection_scale

AROUND = torch.linspace(0, 2 * math.pi, 3601, dtype=torch.float64)
PLANE = torch.stack([AROUND.cos(), AROUND.sin()], dim=1)


def pair(degrees: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a_i of length 2 and a_j of length 3, as one row each."""
    theta = math.radians(degrees)
    kept = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    return kept, torch.tensor([[3 * math.cos(theta), 3 * math.sin(theta)]], dtype=torch.float64)


def worst(degrees: float, c: float) -> float:
    """Return the largest error over all directions of the plane."""
    kept, gone = pair(degrees)
    return ((PLANE @ gone.T).relu() - c * (PLANE @ kept.T).relu()).abs().max().item()


@pytest.mark.parametrize("degrees", [10, 45, 80, 90, 120, 170])
def test_no_factor_has_a_smaller_worst_case_than_projection(degrees: float) -> None:
    """Oracle: 300 factors, 3,601 directions, and ‖a_j‖ sin θ, or ‖a_j‖ beyond 90°.

    Equation: eq-merge-worst.
    """
    kept, gone = pair(degrees)
    c = projection_scale(kept, gone)
    least = 3 * math.sin(math.radians(degrees)) if degrees <= 90 else 3.0
    assert worst(degrees, c.item()) == pytest.approx(least, rel=1e-3)
    assert error_bound(kept, gone, c).item() == pytest.approx(least)
    tried = [worst(degrees, r) for r in torch.linspace(0, 3, 301).tolist()]
    assert min(tried) > least * (1 - 1e-3)


@pytest.mark.parametrize("degrees", [10, 45, 80])
def test_the_bound_of_the_norm_ratio_is_not_tight(degrees: float) -> None:
    """Oracle: 3,601 directions; the worst case is the projection's up to 90°."""
    kept, gone = pair(degrees)
    c = norm_ratio_scale(kept, gone)
    found = worst(degrees, c.item())
    assert found == pytest.approx(3 * math.sin(math.radians(degrees)), rel=1e-3)
    assert found < 0.999 * error_bound(kept, gone, c).item()


@pytest.mark.parametrize("degrees", [5, 60, 90, 150])
def test_no_factor_has_a_smaller_mean_square_than_kappas(degrees: float) -> None:
    """Oracle: quadrature of the squared error over the angle, minimised over the factor.

    Equation: eq-merge-best.
    """
    kept, gone = pair(degrees)
    theta = math.radians(degrees)

    def mean_square(c: float) -> float:
        def squared(phi: float) -> float:
            h_i, h_j = max(2 * math.cos(phi), 0), max(3 * math.cos(phi - theta), 0)
            return (h_j - c * h_i) ** 2

        kinks = sorted({-math.pi / 2, math.pi / 2, theta - math.pi / 2})
        return quad(squared, -math.pi, math.pi, points=kinks)[0]

    best = minimize_scalar(mean_square, bounds=(0, 3), method="bounded", options={"xatol": 1e-9})
    assert gaussian_scale(kept, gone).item() == pytest.approx(best.x, abs=1e-5)
