"""The quadratic form of a layer's error against the errors themselves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import LayerLoss


def moments_of(
    x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Return E x, E y, E x xᵀ, E y xᵀ and E‖y‖² of (groups, m, k) and (groups, m, o)."""
    m = x.shape[1]
    return x.mean(1), y.mean(1), x.mT @ x / m, y.mT @ x / m, float(y.square().sum() / m)


def example(seed: int, groups: int = 2, m: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, m, 4, generator=draws, dtype=torch.float64) + 1
    weight = torch.randn(groups, 4, 3, generator=draws, dtype=torch.float64)
    noise = torch.randn(groups, m, 3, generator=draws, dtype=torch.float64)
    return x, x @ weight + noise + 2


@given(seed=st.integers(0, 1000))
def test_total_is_the_mean_squared_error_with_the_best_bias(seed: int) -> None:
    """Oracle: the residuals over all examples, their mean taken off.

    Equation: eq-ptq-loss.
    """
    x, y = example(seed)
    loss = LayerLoss.of_moments(*moments_of(x, y))
    weight = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed + 1))
    residual = y - x @ weight.double().mT
    residual = residual - residual.mean(1, keepdim=True)
    expected = residual.square().sum().item() / x.shape[1]
    assert loss.total(weight) == pytest.approx(expected, rel=1e-4)
    assert loss.of(weight).sum().item() + loss.power == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(seed=st.integers(0, 1000))
def test_least_loss_is_that_of_numpys_least_squares(seed: int) -> None:
    """Oracle: numpy.linalg.lstsq with a column of ones for the bias."""
    x, y = example(seed, groups=1)
    loss = LayerLoss.of_moments(*moments_of(x, y))
    design = np.concatenate([x[0].numpy(), np.ones((x.shape[1], 1))], axis=1)
    solution, residuals, *_ = np.linalg.lstsq(design, y[0].numpy(), rcond=None)
    weight = torch.tensor(solution[:-1].T[None], dtype=torch.float32)
    assert loss.total(weight) == pytest.approx(residuals.sum() / x.shape[1], rel=1e-3)
    torch.testing.assert_close(
        loss.bias(weight)[0], torch.tensor(solution[-1]).float(), rtol=1e-3, atol=1e-3
    )
    for other in (weight + 0.1, weight * 0.9):
        assert loss.total(other) > loss.total(weight)


@given(seed=st.integers(0, 1000))
def test_with_the_layers_own_inputs_it_is_the_hessians_form(seed: int) -> None:
    """Oracle: Σ_i Δw_i G Δw_iᵀ by loops over rows and pairs of weights.

    Equation: eq-ptq-taylor, eq-ptq-layer.
    """
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 40, 3, generator=draws, dtype=torch.float64)
    weight = torch.randn(1, 2, 3, generator=draws)
    delta = 0.1 * torch.randn(1, 2, 3, generator=draws)
    loss = LayerLoss.of_moments(*moments_of(x, x @ weight.double().mT))
    covariance = np.cov(x[0].numpy().T, bias=True)
    expected = sum(
        float(delta[0, i, a] * covariance[a, b] * delta[0, i, b])
        for i in range(2)
        for a in range(3)
        for b in range(3)
    )
    assert loss.total(weight + delta) == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert loss.total(weight) == pytest.approx(0, abs=1e-5)


GOOD = LayerLoss.of_moments(*moments_of(*example(0)))


def changed(**fields: object) -> LayerLoss:
    good = {
        "gram": GOOD.gram,
        "cross": GOOD.cross,
        "power": GOOD.power,
        "input_mean": GOOD.input_mean,
        "output_mean": GOOD.output_mean,
    }
    return LayerLoss(**(good | fields))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: changed(gram=[1.0]), TypeError, "gram must be a torch.Tensor"),
        (lambda: changed(gram=torch.ones(2, 4, 3)), ValueError, r"gram .* \(2, 4, 4\)"),
        (lambda: changed(cross=torch.ones(3, 4)), ValueError, "cross must be"),
        (lambda: changed(cross=torch.full((2, 3, 4), torch.nan)), ValueError, "cross must be fin"),
        (lambda: changed(power=-1), ValueError, "power must be in"),
        (lambda: changed(input_mean=torch.ones(2, 3)), ValueError, "input_mean must have the"),
        (lambda: changed(output_mean=torch.ones(1, 3)), ValueError, "output_mean must have"),
        (lambda: GOOD.total(torch.ones(2, 3)), ValueError, r"weight must have the shape \(2, 3, 4"),
        (lambda: GOOD.bias(torch.ones(2, 3, 4).int()), TypeError, "weight must hold floating"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the argument, the value and the expectation are in the message."""
    with pytest.raises(error, match=message):
        call()
